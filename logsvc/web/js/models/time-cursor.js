/**
 * One moment in all logs side by side: where the reader chose a line, or where the active log is
 * scrolled while times are locked, the others show what they had received by then.
 */

import { Model } from './model.js'

/** Fires `change` when the moment, or the line that it marks in a log, is another. */
export class TimeCursor extends Model {
  constructor({ reader }) {
    super()
    Object.assign(this, { reader, at: null, marks: new Map(), request: null, wanted: null })
  }

  /** Line of a pane that was received at the moment, null where there is none. */
  lineIn(pane) {
    return this.reader.panes.length > 1 ? (this.marks.get(pane.id) ?? null) : null
  }

  /** The reader chose line `n` of a pane: the others go to the moment it was received. */
  async choose(pane, n) {
    if (this.reader.panes.length < 2 || !pane.log) return
    const at = await this.#ask((signal) => pane.log.receivedAt(n, signal))
    if (at) await this.#show(at, { from: pane, line: n })
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
    this.marks = new Map([[from.id, line], ...others.map((pane, i) => [pane.id, found[i]])])
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
