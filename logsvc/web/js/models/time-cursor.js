/**
 * One moment in all logs side by side and on the chart: where the reader chose a line or a place on the chart,
 * or where the active log is scrolled while times are locked, the others show what they had received by then.
 */

import { Model } from './model.js'

/** Fires `change` when the moment, or the line that it marks in a log, is another. */
export class TimeCursor extends Model {
  constructor({ reader }) {
    super()
    Object.assign(this, { reader, at: null, marks: new Map(), request: null, wanted: null, chosen: null })
  }

  /** Line of a pane that was received at the moment, null where there is none. */
  lineIn(pane) {
    return this.marks.get(pane.id) ?? null
  }

  /** The reader chose line `n` of a pane: the others go to the moment it was received. */
  async choose(pane, n) {
    if (!pane.log) return
    this.chosen = `${pane.id} ${n}`
    const at = await this.#ask((signal) => pane.log.receivedAt(n, signal))
    if (at) await this.#show(at, { from: pane, line: n })
  }

  /** The address names line `n` of a pane: this is the moment; logs beside it stay where they are. */
  async named(pane, n) {
    if (n === null || !pane.log || this.chosen === `${pane.id} ${n}`) return
    this.chosen = `${pane.id} ${n}`
    this.at = (await this.#ask((signal) => pane.log.receivedAt(n, signal))) ?? this.at
    this.changed()
  }

  /** The reader chose a moment on the chart: all logs go there, and mark their line of it. */
  async showMoment(at) {
    await this.#show(at, { from: null, line: null })
  }

  /** The reader chose a span on the chart: all logs begin with its first line. */
  async showFrom(at) {
    await this.#show(at, { from: null, line: null, atTop: true })
  }

  /** The active pane's first line on screen was received at this moment; asked for as fast as answers come. */
  async scrolled(pane, at) {
    if (this.reader.panes.length < 2 || !at || at === this.at) return
    const idle = this.wanted === null
    this.wanted = { at, from: pane }
    if (!idle) return
    while (this.wanted) {
      const next = this.wanted
      await this.#show(next.at, { from: next.from, line: next.from.view?.position.topLine ?? null, atTop: true })
      if (this.wanted === next) this.wanted = null
    }
  }

  /** The active pane follows its log: so do the others. */
  followed(pane) {
    for (const { log, view } of this.reader.panes) if (log !== pane.log && log && !log.following) view?.position.toEnd()
  }

  async #show(at, { from, line, atTop = false }) {
    const others = this.reader.panes.filter((pane) => pane !== from && pane.log)
    const found = await this.#ask((signal) => Promise.all(others.map((pane) => pane.log.lineAtTime(at, signal))))
    if (!found) return
    this.at = at
    this.marks = new Map(others.map((pane, i) => [pane.id, found[i]]))
    if (from && others.length) this.marks.set(from.id, line)
    await Promise.all(others.map((pane, i) => (found[i] ? pane.view?.showLine(found[i], { atTop }) : null))).catch(() => {})
    this.changed()
  }

  /** What was asked for before is not wanted any more; null where it failed. */
  #ask(question) {
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    return question(request.signal).catch(() => null)
  }
}
