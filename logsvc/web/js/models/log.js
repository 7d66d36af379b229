/**
 * One log as it is read: how long it is, which lines it shows, what comes in live.
 *
 * A **row** is a place in what is shown, from 0: with `lines` "all" the line n is row n−1, with
 * "user" the u-th user line is row u−1.
 */

import { Connection } from './connection.js'
import { LineWindow } from './line-window.js'
import { Model } from './model.js'

const TAIL_LINES = 200
const LINE_END_BYTES = 16 * 1024 // of a cut progress line: enough for its last states
const MOST_LINE_ENDS = 200

/**
 * Fires `change` when anything to be shown changes, `place` (with `detail.row`) when the rows are
 * counted anew and the reader should stand elsewhere, and `continues` when it becomes so.
 */
export class Log extends Model {
  /** @param {object} options goesOn: a newer generation was known before; who opens this one wants to read it */
  constructor({ http, openFollow, stream, lines, goesOn = false }) {
    super()
    Object.assign(this, { http, openFollow, stream, lines, goesOn })
    this.continues = false // it went on in a newer generation while the reader followed it
    Object.assign(this, { ready: false, sealed: stream.sealed, nextStream: null, link: null, window: null })
    this.totalLines = 0
    this.totalUserLines = 0
    this.completeUserLines = 0
    this.partial = null
    this.following = true
    this.seen = 0 // rows there were when the reader stopped following
    this.lineEnds = new Map()
  }

  /** Lines shown, the unfinished last one included. */
  get count() {
    return this.lines === 'user' ? this.totalUserLines : this.totalLines
  }

  /** State of the connection, as models/connection.js names them. */
  get connection() {
    return this.link?.state ?? 'connecting'
  }

  /** When it is tried again, in milliseconds since the epoch. */
  get retryAt() {
    return this.link?.retryAt ?? null
  }

  /** Why there is no connection, where the service or the network said so. */
  get error() {
    return this.link?.error ?? null
  }

  get newLines() {
    return this.following ? 0 : Math.max(0, this.count - this.seen)
  }

  /** Reads the end of the log, then follows it; done once the service has answered, or has not. */
  async open() {
    this.close()
    this.partial = null
    this.lineEnds.clear()
    this.window = new LineWindow({
      rowOf: (line) => this.rowOf(line),
      fetchRows: (row, limit, signal) => this.#fetchRows(row, limit, signal),
    })
    this.window.addEventListener('change', () => this.changed())
    let known = false // the end of the log, as it is counted now
    this.link = new Connection({
      // the last line may be unfinished and hidden: look at it once more
      openSocket: () => this.openFollow({ stream: this.stream.id, from: Math.max(1, this.totalLines), lines: this.lines }),
      look: async (signal) => {
        await this.#look(known ? { from: Math.max(1, this.totalLines) } : { from: -TAIL_LINES }, signal)
        known = true
      },
      lastLine: (signal) => this.#lastLine(signal),
    })
    this.link.addEventListener('change', () => this.changed())
    this.link.addEventListener('frame', ({ data }) => this.#takeFrame(data))
    this.changed()
    await this.link.open()
  }

  close() {
    this.link?.close()
    this.window?.close()
  }

  /** Asks again for whatever could not be had. */
  retry() {
    this.window?.retry()
    this.link?.wake()
  }

  /** What the list of the job's logs says of this one: without a socket nobody else tells. */
  told(stream, nextStream) {
    this.stream = stream
    if (this.connection === 'open' || !stream.sealed) return
    this.#seal(nextStream)
    this.changed()
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

  /** When line `n` was received; null where there is no such line. */
  async receivedAt(n, signal) {
    const { lines } = await this.http.lines(this.stream.id, { from: n, limit: 1 }, { signal })
    return lines[0]?.received_at ?? null
  }

  /** The first line shown that was received at that time or later, else the last; null where there is none. */
  async lineAtTime(at, signal) {
    const ask = (place) => this.http.lines(this.stream.id, { ...place, limit: 1, lines: this.lines }, { signal })
    const { lines } = await ask({ received_from: at })
    return (lines[0] ?? (await ask({ from: -1 })).lines[0])?.n ?? null
  }

  /** Number of the line in a row; null where there is none. */
  async lineOf(row, signal) {
    if (this.lines === 'all') return row + 1
    const { lines } = await this.http.lines(this.stream.id, { user_from: row + 1, limit: 1, lines: 'user' }, { signal })
    return lines[0]?.n ?? null
  }

  /** Shows all lines, or user lines only; the reader stays at `anchor`, a line number (null: wherever). */
  async setLines(lines, anchor) {
    if (lines === this.lines) return
    this.lines = lines
    await this.open()
    if (this.lines !== lines) return
    const row = this.following || anchor === null ? null : await this.locate(anchor).catch(() => null)
    if (!this.following) this.seen = this.count
    this.dispatchEvent(new CustomEvent('place', { detail: { row } }))
  }

  setFollowing(following) {
    if (following === this.following) return
    this.following = following
    this.continues &&= following
    this.seen = this.count
    this.changed()
  }

  /** Lines from a row on, asked of the service, as its answer. */
  linesFrom(row, limit, signal) {
    const from = this.lines === 'user' ? { user_from: row + 1 } : { from: row + 1 }
    return this.http.lines(this.stream.id, { ...from, limit, lines: this.lines }, { signal })
  }

  async #fetchRows(row, limit, signal) {
    return this.#take(await this.linesFrom(row, limit, signal))
  }

  async #fetchEnd(line) {
    if (this.lineEnds.size >= MOST_LINE_ENDS) this.lineEnds.clear()
    this.lineEnds.set(line.n, '')
    const stop = line.offset + line.size_bytes
    try {
      const end = await this.http.rawText(this.stream.id, stop - LINE_END_BYTES, stop)
      this.lineEnds.set(line.n, end.replace(/^\ufffd+/, '')) // the range may begin within a character
      this.changed()
    } catch {
      this.lineEnds.delete(line.n)
    }
  }

  /** Lines from a place on; where there are more than it takes to fill a screen, those at the end. */
  async #look({ from }, signal) {
    const ask = (start) => this.http.lines(this.stream.id, { from: start, limit: TAIL_LINES, lines: this.lines }, { signal })
    let answer = await ask(from)
    if (from > 0 && answer.lines.length === TAIL_LINES) answer = await ask(-TAIL_LINES)
    const unfinished = answer.lines.at(-1)?.partial ? answer.lines.at(-1).n : null
    if (this.partial && this.partial.n !== unfinished) this.#dropPartial()
    if (this.ready && answer.total_lines > this.totalLines) this.sealed = false // a later chunk opens a stream again
    this.#take(answer)
    this.ready = true
    this.changed()
  }

  async #lastLine(signal) {
    const { total_lines: total, lines } = await this.http.lines(this.stream.id, { from: -1, limit: 1 }, { signal })
    return lines.at(-1)?.partial ? total - 1 : total
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

  #takeFrame(frame) {
    for (const line of frame.lines ?? []) this.#takeLine(line)
    if (frame.lines?.length) this.sealed = false
    if (frame.through !== undefined) {
      this.totalLines = Math.max(this.totalLines, frame.through)
      if (this.partial && frame.through >= this.partial.n) this.#dropPartial()
    }
    if (frame.gap) this.#takeGap(frame.gap)
    if (frame.partial) this.#takePartial(frame.partial)
    if (frame.sealed) this.#seal(frame.next_stream)
    this.changed()
  }

  /** Lines that the service did not wait with: their rows are fetched when they come on screen. */
  #takeGap({ first_line: first, count }) {
    this.totalLines = Math.max(this.totalLines, first + count - 1)
    if (this.lines === 'all') return
    // how many of them are user lines, only the service knows; if it does not answer, the next line tells
    this.#learnTotals().catch(() => {})
  }

  async #learnTotals() {
    const { window } = this
    const answer = await this.http.lines(this.stream.id, { from: -1, limit: 1, lines: this.lines })
    if (window !== this.window) return // opened anew meanwhile
    this.#take(answer)
    this.changed()
  }

  #seal(nextStream) {
    const goesOn = Boolean(nextStream) && !this.nextStream && !this.goesOn
    Object.assign(this, { sealed: true, nextStream: nextStream ?? this.nextStream })
    if (!goesOn || !this.following) return
    this.continues = true
    this.dispatchEvent(new Event('continues'))
  }

  #takePartial(partial) {
    if (partial.n < this.link.next) return
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
}
