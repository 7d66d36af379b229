/** The one place that opens a WebSocket: lines of a stream as they are committed. */

import { Backoff } from '../helpers/timing.js'

const QUIET_MS = 3000 // a connection that held this long was a good one, and so was one that brought lines

/**
 * Follows one stream; reconnects by itself from the line after the last one received.
 *
 * Fires `frame` (its `data` is the frame of docs/http-api.md) and `state` when `state` changes:
 * "connecting", "open", "waiting" (until `retryAt`, milliseconds since the epoch) or "closed".
 * Fires `refused` when a connection ends before it opened: the caller may ask over HTTP why.
 */
export class FollowSocket extends EventTarget {
  constructor({ stream, from, lines }) {
    super()
    Object.assign(this, { stream, next: from, lines, state: 'connecting', retryAt: null, finished: false })
    this.backoff = new Backoff()
    this.timer = null
    this.socket = null
    this.wake = () => this.state === 'waiting' && this.retryNow()
    window.addEventListener('online', this.wake)
  }

  open() {
    this.#connect()
    return this
  }

  /** Does not wait for the rest of the back-off. */
  retryNow() {
    if (this.state !== 'waiting') return
    clearTimeout(this.timer)
    this.#connect()
  }

  close() {
    window.removeEventListener('online', this.wake)
    clearTimeout(this.timer)
    this.#setState('closed')
    this.socket?.close()
    this.socket = null
  }

  #connect() {
    this.#setState('connecting')
    const url = new URL(`api/v1/streams/${encodeURIComponent(this.stream)}/follow`, document.baseURI)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    url.search = new URLSearchParams({ from: this.next, lines: this.lines })
    const socket = new WebSocket(url)
    let openedAt = null
    this.socket = socket
    socket.onopen = () => {
      openedAt = performance.now()
      if (socket === this.socket) this.#setState('open')
    }
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return
      const frame = JSON.parse(data)
      if (frame.through >= this.next) {
        this.next = frame.through + 1
        this.backoff.reset()
      }
      if (frame.sealed && frame.next_stream) this.finished = true
      if (frame.gap) this.next = Math.max(this.next, frame.gap.first_line + frame.gap.count)
      this.dispatchEvent(new MessageEvent('frame', { data: frame }))
    }
    socket.onclose = () => {
      if (socket !== this.socket || this.state === 'closed') return
      if (this.finished) {
        this.close() // the file goes on in another stream
        return
      }
      if (openedAt !== null && performance.now() - openedAt > QUIET_MS) this.backoff.reset()
      const waitMs = this.backoff.nextMs()
      this.retryAt = Date.now() + waitMs
      this.#setState('waiting')
      this.timer = setTimeout(() => this.#connect(), waitMs)
      if (openedAt === null) this.dispatchEvent(new Event('refused'))
    }
  }

  #setState(state) {
    if (state === this.state && state !== 'waiting') return
    this.state = state
    this.dispatchEvent(new Event('state'))
  }
}
