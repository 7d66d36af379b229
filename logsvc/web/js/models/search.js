/**
 * Search over the whole of one log: where the hits are, how many, and which of them is current.
 *
 * A hit is found (`count=none`) before hits are counted; what is typed over is aborted.
 */

import { debounce } from '../helpers/timing.js'
import { Model, wasAborted } from './model.js'
import { LiteralMarker, isActive, lineParameters } from './search-query.js'
import { inTurn } from './search-turn.js'

export const TYPING_MS = 180
const RECOUNT_MS = 3000 // a growing log is counted again, at most this often
const SPAN_PAUSE_MS = 150 // between two such questions, while a log grows or is scrolled
const SPAN_LINES = 300 // lines asked for at once when hits on screen are marked by the service
const NO_QUERY = Object.freeze({ q: '', regex: false, ignoreCase: false, word: false, level: '', since: '', until: '' })

/** Fires `change`, and `jump` (with `detail.n`) when the reader should see a hit. */
export class Search extends Model {
  /** @param {(direction: number) => Promise<boolean>} goOn shows the nearest hit in another log, false where there is none */
  constructor({ http, log, goOn }) {
    super()
    Object.assign(this, { http, log, goOn, query: NO_QUERY, lookedAt: null })
    this.#clear()
    this.findSoon = debounce(() => this.find(), TYPING_MS)
    this.recountSoon = debounce(() => this.#count(), RECOUNT_MS)
    this.topLine = () => 1 // set by the page: the first line on screen
    this.selectedLine = () => null // likewise: the selected line, if it is on screen
    log.addEventListener('change', () => this.#logChanged())
  }

  get active() {
    return isActive(this.query)
  }

  /** Place of the current hit among all, from 1; null where it is not known. */
  get index() {
    return this.current?.index ?? null
  }

  /** What the API is asked for. */
  get parameters() {
    return lineParameters(this.query, this.log.lines)
  }

  /** What to look for. Finds the nearest hit soon; `quiet`: only counts, and the hit on `line` is the current one. */
  set(changes, { quiet = false, line = null } = {}) {
    const query = { ...this.query, ...changes }
    const same = JSON.stringify(query) === JSON.stringify(this.query)
    if (same && (!quiet || !line || line === this.lookedAt)) return
    if (quiet) this.lookedAt = line
    if (!same) {
      this.query = query
      this.#abort()
      this.#clear()
    }
    if (!this.active) this.changed()
    else if (quiet) this.#look()
    else this.#findSoon()
  }

  /** The rows are counted anew (user lines only, or all). */
  linesChanged() {
    if (!this.active) return
    this.#abort()
    this.#clear()
    this.#look()
  }

  /** Looks from the top of the screen on, then above it. */
  async find() {
    this.findSoon.cancel()
    if (!this.active) return
    const top = this.topLine()
    if ((await this.#step([{ after: top - 1 }, { before: top }])) && this.current) this.#count()
  }

  /** The hit after the current one (or after the top of the screen); goes on in the next log, or from the start. */
  async next() {
    if (!this.active) return
    if (this.searching && !this.current) return void this.findSoon.flush()
    const from = this.current?.n ?? this.selectedLine() ?? this.topLine() - 1
    await this.#walk([{ after: from }, { after: 0, wrapped: 'start' }], +1)
  }

  async previous() {
    if (!this.active) return
    const from = this.current?.n ?? this.selectedLine() ?? this.topLine()
    await this.#walk([{ before: from }, { before: this.log.totalLines + 1, wrapped: 'end' }], -1)
  }

  /** Hits in a line that is on screen, in code points; null: not known yet. */
  spansOf(line) {
    if (!this.active || this.error) return []
    if (this.current?.n === line.n && this.current.text === line.text) return this.current.spans
    if (!this.query.regex || !this.query.q) {
      if (!this.marked.has(line)) this.marked.set(line, this.marker.spans(line))
      return this.marked.get(line)
    }
    if (line.n < this.known.from || line.n > this.known.to) return null
    return this.known.spans.get(line.n) ?? []
  }

  /** Lines [first, last] are on screen: asks for the hits in them where only the service can tell. */
  needSpans(first, last) {
    if (!this.active || !this.query.regex || !this.query.q || this.error || this.spanRequest) return
    if (first >= this.known.from && last <= this.known.to) return
    this.#fetchSpans(Math.max(1, first - 50), last)
  }

  close() {
    this.#abort()
  }

  #findSoon() {
    this.searching = true
    this.changed()
    this.findSoon()
  }

  /** Finds whether the reader looks at a hit, then counts. */
  async #look() {
    const line = this.lookedAt
    if (line && line !== this.current?.n) {
      this.current = null
      if (!(await this.#step([{ after: line - 1 }], { only: line }))) return
      if (this.total !== null && !this.current) return
    } else if (this.total !== null) return
    this.#count()
  }

  async #walk([onwards, around], direction) {
    if (!(await this.#step([onwards], { direction, last: false }))) return
    if (this.stood) return
    if (await this.goOn(direction)) return
    if (!(await this.#step([around], { direction }))) return
    if (this.current && this.index === null) this.#count()
  }

  /**
   * Stands at the first match of the first range that has one (and where `only` says so, only on that line).
   *
   * Returns: false where somebody else asked meanwhile.
   */
  async #step(attempts, { direction = 0, only = null, last = true } = {}) {
    this.stepRequest?.abort()
    const request = new AbortController()
    this.stepRequest = request
    Object.assign(this, { searching: true, stood: false })
    this.changed()
    try {
      let exact = true
      for (const { wrapped, ...range } of attempts) {
        const answer = await this.#ask({ ...range, limit: 1, count: 'none' }, request.signal)
        exact &&= answer.exact
        const [match] = answer.matches
        if (!match) continue
        if (only === null || match.n === only) this.#stand(match, { wrapped: wrapped ?? null, direction, quiet: only !== null })
        return true
      }
      if (last && only === null) Object.assign(this, { current: null, wrapped: null, total: 0, exact, countedLines: this.log.totalLines })
    } catch (error) {
      if (wasAborted(error)) return false
      this.error = error
      return false
    } finally {
      if (this.stepRequest === request) {
        this.stepRequest = null
        this.searching = false
        this.changed()
      }
    }
    return true
  }

  #stand(match, { wrapped, direction, quiet }) {
    const before = this.index
    let index = null
    if (wrapped === 'start') index = 1
    else if (wrapped === 'end') index = this.exact ? this.total : null
    else if (before !== null && direction) index = before + direction
    Object.assign(this, { current: { ...match, index }, wrapped, error: null, stood: true, lookedAt: match.n })
    if (!quiet) this.dispatchEvent(new CustomEvent('jump', { detail: { n: match.n } }))
  }

  /** Counts the whole log; the same answer tells how many stand before the current hit. */
  async #count() {
    this.countRequest?.abort()
    const request = new AbortController()
    this.countRequest = request
    this.counting = true
    this.recountPending = false
    this.changed()
    const { current } = this
    try {
      const page = current && current.index === null ? { after: current.n - 1, limit: 1 } : { limit: 0 }
      const { total, exact, preceding = null } = await this.#ask({ ...page, count: 'exact' }, request.signal)
      Object.assign(this, { total, exact, countedLines: this.log.totalLines })
      if (current && current === this.current && preceding !== null && page.limit) this.current = { ...current, index: preceding + 1 }
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    } finally {
      if (this.countRequest === request) {
        Object.assign(this, { counting: false, countRequest: null })
        this.changed()
      }
    }
  }

  async #fetchSpans(first, last) {
    const request = new AbortController()
    this.spanRequest = request
    const complete = this.log.totalLines - (this.log.partial ? 1 : 0)
    try {
      const limit = Math.min(1000, Math.max(SPAN_LINES, last - first + 1))
      const { matches, next } = await this.#ask({ after: first - 1, limit, count: 'none' }, request.signal)
      this.known = { from: first, to: next ?? complete, spans: new Map(matches.map(({ n, spans }) => [n, spans])) }
    } catch (error) {
      if (!wasAborted(error)) this.error = error
    } finally {
      if (this.spanRequest === request) {
        this.changed()
        setTimeout(() => this.#spansIdle(request), SPAN_PAUSE_MS)
      }
    }
  }

  #spansIdle(request) {
    if (this.spanRequest !== request) return
    this.spanRequest = null
    this.changed()
  }

  #ask(page, signal) {
    const ask = () => this.http.matches(this.log.stream.id, { ...this.parameters, ...page }, { signal })
    return inTurn(ask, { signal, onWait: (waiting) => this.#setWaiting(waiting) })
  }

  #setWaiting(waiting) {
    if (waiting === this.waiting) return
    this.waiting = waiting
    this.changed()
  }

  #logChanged() {
    if (!this.active || this.error || this.counting || this.countedLines === null) return
    if (this.log.totalLines > this.countedLines && !this.recountPending) {
      this.recountPending = true
      this.recountSoon()
    }
  }

  #clear() {
    Object.assign(this, { current: null, total: null, exact: true, countedLines: null, counting: false, searching: false, stood: false })
    Object.assign(this, { wrapped: null, error: null, waiting: false, recountPending: false })
    Object.assign(this, { marker: new LiteralMarker(this.query), marked: new WeakMap(), known: { from: 1, to: 0, spans: new Map() } })
  }

  #abort() {
    for (const name of ['stepRequest', 'countRequest', 'spanRequest']) {
      this[name]?.abort()
      this[name] = null
    }
    this.findSoon?.cancel()
    this.recountSoon?.cancel()
  }
}
