/**
 * One log as it is read: how long it is, which lines it shows, what comes in live.
 *
 * A **row** is a place in what is shown, from 0: with `lines` "all" the line n is row n−1, with
 * "user" the u-th user line is row u−1.
 */

import { LineWindow } from './line-window.js'
import { Model, wasAborted } from './model.js'

const TAIL_LINES = 200
const LINE_END_BYTES = 16 * 1024 // of a cut progress line: enough for its last states
const MOST_LINE_ENDS = 200

/**
 * Fires `change` when anything to be shown changes, and `place` (with `detail.row`) when the rows
 * are counted anew and the reader should stand elsewhere.
 */
export class Log extends Model {
  constructor({ http, openFollow, stream, lines }) {
    super()
    Object.assign(this, { http, openFollow, stream, lines })
    Object.assign(this, { ready: false, error: null, sealed: stream.sealed, nextStream: null, connection: 'connecting', retryAt: null })
    this.totalLines = 0
    this.totalUserLines = 0
    this.completeUserLines = 0
    this.partial = null
    this.following = true
    this.seen = 0 // rows there were when the reader stopped following
    this.window = null
    this.socket = null
    this.opening = new AbortController()
    this.lineEnds = new Map()
  }

  /** Lines shown, the unfinished last one included. */
  get count() {
    return this.lines === 'user' ? this.totalUserLines : this.totalLines
  }

  get newLines() {
    return this.following ? 0 : Math.max(0, this.count - this.seen)
  }

  /** Reads the end of the log, then follows it. */
  async open() {
    this.opening.abort()
    this.opening = new AbortController()
    const { signal } = this.opening
    this.window?.close()
    this.window = new LineWindow({
      rowOf: (line) => this.rowOf(line),
      fetchRows: (row, limit, pageSignal) => this.#fetchRows(row, limit, pageSignal),
    })
    this.window.addEventListener('change', () => this.changed())
    this.socket?.close()
    this.socket = null
    this.partial = null
    this.lineEnds.clear()
    try {
      this.#take(await this.http.lines(this.stream.id, { from: -TAIL_LINES, limit: TAIL_LINES, lines: this.lines }, { signal }))
      Object.assign(this, { ready: true, error: null })
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
      this.changed()
      return
    }
    this.#connect()
    this.changed()
  }

  close() {
    this.opening.abort()
    this.window?.close()
    this.socket?.close()
  }

  retry() {
    if (!this.ready) return this.open()
    this.window.retry()
    this.socket?.retryNow()
    return undefined
  }

  lineAt(row) {
    if (this.partial && row === this.rowOf(this.partial)) return this.partial
    return this.window?.get(row) ?? null
  }

  need(first, end) {
    this.window?.need(first, end, this.count)
  }

  /** The end of a cut progress line, for its last state; "" until it is there, and for other lines. */
  endOf(line) {
    if (!line.cut || line.partial || !/[\r\b]/.test(line.text)) return ''
    if (!this.lineEnds.has(line.n)) this.#fetchEnd(line)
    return this.lineEnds.get(line.n) ?? ''
  }

  rowOf(line) {
    if (this.lines === 'all') return line.n - 1
    return line.u == null ? -1 : line.u - 1
  }

  /** Row of line `n`; among user lines that of the first at or after it. */
  async locate(n, signal) {
    if (this.lines === 'all') return Math.min(n, Math.max(1, this.totalLines)) - 1
    const answer = await this.http.lines(this.stream.id, { from: n, limit: 1, lines: 'user' }, { signal })
    return answer.lines.length ? answer.lines[0].u - 1 : Math.max(0, this.totalUserLines - 1)
  }

  /** Shows all lines, or user lines only; the reader stays at `anchor`, a line number (null: wherever). */
  async setLines(lines, anchor) {
    if (lines === this.lines) return
    this.lines = lines
    await this.open()
    if (!this.ready || this.lines !== lines) return
    const row = this.following || anchor === null ? null : await this.locate(anchor).catch(() => null)
    if (!this.following) this.seen = this.count
    this.dispatchEvent(new CustomEvent('place', { detail: { row } }))
  }

  setFollowing(following) {
    if (following === this.following) return
    this.following = following
    this.seen = this.count
    this.changed()
  }

  async #fetchRows(row, limit, signal) {
    const from = this.lines === 'user' ? { user_from: row + 1 } : { from: row + 1 }
    return this.#take(await this.http.lines(this.stream.id, { ...from, limit, lines: this.lines }, { signal }))
  }

  async #fetchEnd(line) {
    if (this.lineEnds.size >= MOST_LINE_ENDS) this.lineEnds.clear()
    this.lineEnds.set(line.n, '')
    const stop = line.offset + line.size_bytes
    try {
      const end = await this.http.rawText(this.stream.id, stop - LINE_END_BYTES, stop, { signal: this.opening.signal })
      this.lineEnds.set(line.n, end.replace(/^\ufffd+/, '')) // the range may begin within a character
      this.changed()
    } catch (error) {
      if (!wasAborted(error)) this.lineEnds.delete(line.n)
    }
  }

  /** Keeps what an answer says of the whole log; its lines go into the window. */
  #take(answer) {
    if (answer.total_lines >= this.totalLines) {
      this.totalLines = answer.total_lines
      this.totalUserLines = answer.total_user_lines
    }
    const lines = answer.lines.filter((line) => !line.partial)
    const open = answer.lines.find((line) => line.partial)
    if (open && open.n >= (this.partial?.n ?? 0)) this.partial = open
    for (const line of lines) this.#takeLine(line)
    return lines
  }

  #takeLine(line) {
    this.window.put(line)
    this.totalLines = Math.max(this.totalLines, line.n)
    if (line.u != null) {
      this.completeUserLines = Math.max(this.completeUserLines, line.u)
      this.totalUserLines = Math.max(this.totalUserLines, line.u)
    }
  }

  #connect() {
    // the last line may be unfinished and hidden: look at it once more
    const socket = this.openFollow({ stream: this.stream.id, from: Math.max(1, this.totalLines), lines: this.lines })
    this.socket = socket
    socket.addEventListener('frame', ({ data }) => socket === this.socket && this.#takeFrame(data))
    socket.addEventListener('state', () => {
      if (socket !== this.socket) return
      this.connection = socket.state
      this.retryAt = socket.retryAt
      this.changed()
    })
    socket.addEventListener('refused', () => socket === this.socket && this.#askWhy())
  }

  #takeFrame(frame) {
    for (const line of frame.lines ?? []) this.#takeLine(line)
    if (frame.lines?.length) this.sealed = false // a later chunk opens a stream again
    if (frame.through !== undefined) {
      this.totalLines = Math.max(this.totalLines, frame.through)
      if (this.partial && frame.through >= this.partial.n) this.#dropPartial()
    }
    if (frame.gap) this.totalLines = Math.max(this.totalLines, frame.gap.first_line + frame.gap.count - 1)
    if (frame.partial) this.#takePartial(frame.partial)
    if (frame.sealed) Object.assign(this, { sealed: true, nextStream: frame.next_stream ?? this.nextStream })
    this.changed()
  }

  #takePartial(partial) {
    if (partial.n < this.socket.next) return
    if (this.lines === 'user' && partial.system) {
      if (this.partial) this.#dropPartial() // the platform's mark came in late: no user line any more
      return
    }
    const u = partial.u !== undefined ? partial.u : this.completeUserLines + 1
    this.partial = { offset: null, system: false, level: null, received_at: null, ...partial, u, partial: true }
    this.totalLines = Math.max(this.totalLines, partial.n)
    if (u !== null) this.totalUserLines = Math.max(this.totalUserLines, u)
  }

  /** The unfinished line is finished, perhaps as one that is not shown. */
  #dropPartial() {
    if (this.partial.u != null && this.partial.u > this.completeUserLines) this.totalUserLines = this.completeUserLines
    this.partial = null
  }

  /** A refused WebSocket does not say why; the same question over HTTP does. */
  async #askWhy() {
    try {
      this.#take(await this.http.lines(this.stream.id, { from: -1, limit: 1, lines: this.lines }))
      this.error = null
    } catch (error) {
      if (error.status === 404 || error.status === 403 || error.status === 410) {
        this.error = error
        this.socket?.close()
      }
    }
    this.changed()
  }
}
