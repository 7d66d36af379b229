/** The one place that opens a WebSocket: lines of a stream as they are committed. */

const OPEN_MS = 10_000 // a proxy may take the request and never answer it

/**
 * One connection that follows a stream from line `from` on.
 *
 * Fires `open`, `frame` (its `data` is the frame of docs/http-api.md) and at last, once, `close`.
 * `next` is the line after the last one received, `heard` whether anything was, `finished` whether
 * the service has no more to say: the file goes on in another stream.
 */
export class FollowSocket extends EventTarget {
  constructor({ stream, from, lines }) {
    super()
    Object.assign(this, { stream, from, lines, next: from, opened: false, heard: false, finished: false, socket: null })
  }

  open() {
    const url = new URL(`api/v1/streams/${encodeURIComponent(this.stream)}/follow`, document.baseURI)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    url.search = new URLSearchParams({ from: this.from, lines: this.lines })
    this.socket = new WebSocket(url)
    this.socket.onopen = () => this.#opened()
    this.socket.onmessage = ({ data }) => this.#take(JSON.parse(data))
    this.socket.onclose = () => this.#ended()
    this.timer = setTimeout(() => this.close(), OPEN_MS)
    return this
  }

  /** Whether it has brought lines that were not known when it was opened. */
  get progressed() {
    return this.next > this.from + 1
  }

  /** Ends it at once, also where the other side does not answer any more. */
  close() {
    if (!this.socket) return
    this.socket.close()
    this.#ended()
  }

  #opened() {
    clearTimeout(this.timer)
    this.opened = true
    this.dispatchEvent(new Event('open'))
  }

  #take(frame) {
    this.heard = true
    if (frame.through >= this.next) this.next = frame.through + 1
    if (frame.gap) this.next = Math.max(this.next, frame.gap.first_line + frame.gap.count)
    if (frame.sealed && frame.next_stream) this.finished = true
    this.dispatchEvent(new MessageEvent('frame', { data: frame }))
  }

  #ended() {
    if (!this.socket) return
    clearTimeout(this.timer)
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null
    this.socket = null
    this.dispatchEvent(new Event('close'))
  }
}
