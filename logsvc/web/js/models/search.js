/**
 * Search over the whole of one log: where the hits are, how many, and which of them is current.
 *
 * A hit is found (`count=none`) before hits are counted (`limit=0`); what is typed over is aborted.
 */

import { debounce } from '../helpers/timing.js'
import { Model, wasAborted } from './model.js'

const TYPING_MS = 180
const RECOUNT_MS = 3000 // a growing log is counted again, at most this often
const MOST_LISTED = 1000 // up to so many hits are listed, to know the current one's place among them
const SPAN_PAUSE_MS = 150 // between two such questions, while a log grows or is scrolled
const SPAN_LINES = 300 // lines asked for at once when hits on screen are marked by the service

/** Fires `change`, and `jump` (with `detail.n`) when the reader should see a hit. */
export class Search extends Model {
  constructor({ http, log }) {
    super()
    Object.assign(this, { http, log, query: { q: '', regex: false, ignoreCase: false } })
    this.#clear()
    this.findSoon = debounce(() => this.find(), TYPING_MS)
    this.recountSoon = debounce(() => this.#count(), RECOUNT_MS)
    this.topLine = () => 1 // set by the page: the first line on screen
    this.selectedLine = () => null // likewise: the selected line, if it is on screen
    log.addEventListener('change', () => this.#logChanged())
  }

  get active() {
    return this.query.q !== ''
  }

  /** Place of the current hit among all, from 1; null where it is not known. */
  get index() {
    if (!this.current) return null
    if (this.listed) {
      const at = this.listed.indexOf(this.current.n)
      if (at >= 0) return at + 1
    }
    return this.current.index
  }

  /** What to look for; finds the nearest hit soon, or at once when `now`. */
  set(changes, { now = false, quiet = false } = {}) {
    const query = { ...this.query, ...changes }
    if (JSON.stringify(query) === JSON.stringify(this.query)) return
    this.query = query
    this.#abort()
    this.#clear()
    this.searching = this.active
    this.changed()
    if (!this.active) this.findSoon.cancel()
    else if (quiet) this.#start()
    else if (now) this.find()
    else this.findSoon()
  }

  /** The rows are counted anew (user lines only, or all). */
  linesChanged() {
    if (!this.active) return
    this.#abort()
    this.#clear()
    this.#start()
  }

  /** Looks from the top of the screen on, then above it. */
  async find() {
    this.findSoon.cancel()
    if (!this.active) return
    const top = this.topLine()
    this.#start()
    await this.#step([{ after: top - 1 }, { before: top }])
  }

  /** The hit after the current one (or after the top of the screen); goes on from the start. */
  async next() {
    if (!this.active) return
    if (this.searching && !this.current) return void this.findSoon.flush()
    const from = this.current?.n ?? this.selectedLine() ?? this.topLine() - 1
    await this.#step([{ after: from }, { after: 0, wrapped: 'start' }], +1)
  }

  async previous() {
    if (!this.active) return
    const from = this.current?.n ?? this.selectedLine() ?? this.topLine()
    await this.#step([{ before: from }, { before: this.log.totalLines + 1, wrapped: 'end' }], -1)
  }

  /** Hits in a line that is on screen, in code points; null: not known yet. */
  spansOf(line) {
    if (!this.active || this.error) return []
    if (this.current?.n === line.n && this.current.text === line.text) return this.current.spans
    if (!this.query.regex) {
      if (!this.marked.has(line)) this.marked.set(line, this.#literalSpans(line.text))
      return this.marked.get(line)
    }
    if (line.n < this.known.from || line.n > this.known.to) return null
    return this.known.spans.get(line.n) ?? []
  }

  /** Lines [first, last] are on screen: asks for the hits in them where only the service can tell. */
  needSpans(first, last) {
    if (!this.active || !this.query.regex || this.error || this.spanRequest) return
    if (first >= this.known.from && last <= this.known.to) return
    this.#fetchSpans(Math.max(1, first - 50), last)
  }

  close() {
    this.#abort()
  }

  async #step(attempts, direction = 0) {
    this.stepRequest?.abort()
    const request = new AbortController()
    this.stepRequest = request
    this.searching = true
    this.changed()
    try {
      for (const { wrapped, ...range } of attempts) {
        const { matches } = await this.#ask({ ...range, limit: 1, count: 'none' }, request.signal)
        if (!matches.length) continue
        this.#stand(matches[0], wrapped ?? null, direction)
        return
      }
      Object.assign(this, { current: null, wrapped: null, nothing: true })
    } catch (error) {
      if (!wasAborted(error)) this.error = error
    } finally {
      if (this.stepRequest === request) {
        this.stepRequest = null
        this.searching = false
        this.changed()
      }
    }
  }

  #stand(match, wrapped, direction) {
    const before = this.current?.index ?? null
    let index = null
    if (wrapped === 'start') index = 1
    else if (wrapped === 'end') index = this.exact ? this.total : null
    else if (before !== null && direction) index = before + direction
    Object.assign(this, { current: { ...match, index }, wrapped, nothing: false, error: null })
    this.dispatchEvent(new CustomEvent('jump', { detail: { n: match.n } }))
  }

  #start() {
    this.searching = false
    this.#count()
  }

  async #count() {
    this.countRequest?.abort()
    const request = new AbortController()
    this.countRequest = request
    this.counting = true
    this.recountPending = false
    this.changed()
    try {
      const { total, exact } = await this.#ask({ limit: 0, count: 'exact' }, request.signal)
      Object.assign(this, { total, exact, countedLines: this.log.totalLines })
      if (total > 0 && total <= MOST_LISTED && exact) {
        const { matches } = await this.#ask({ after: 0, limit: MOST_LISTED, count: 'none' }, request.signal)
        this.listed = matches.map(({ n }) => n)
      } else {
        this.listed = null
      }
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
    const { q, regex, ignoreCase } = this.query
    const query = { q, regex: regex ? 1 : 0, ignore_case: ignoreCase ? 1 : 0, lines: this.log.lines, ...page }
    return this.http.matches(this.log.stream.id, query, { signal })
  }

  /** As the service does it: left to right, not overlapping; ignore-case is simple Unicode folding. */
  #literalSpans(text) {
    this.needle ??= new RegExp(this.query.q.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), this.query.ignoreCase ? 'giu' : 'gu')
    const spans = []
    let points = 0
    let at = 0
    for (const hit of text.matchAll(this.needle)) {
      points += pointsIn(text, at, hit.index)
      const length = pointsIn(hit[0], 0, hit[0].length)
      spans.push([points, points + length])
      points += length
      at = hit.index + hit[0].length
    }
    return spans
  }

  #logChanged() {
    if (!this.active || this.error || this.counting || this.countedLines === null) return
    if (this.log.totalLines > this.countedLines && !this.recountPending) {
      this.recountPending = true
      this.recountSoon()
    }
  }

  #clear() {
    Object.assign(this, { current: null, total: null, exact: true, countedLines: null, listed: null, counting: false, searching: false })
    Object.assign(this, { wrapped: null, nothing: false, error: null, needle: null, marked: new WeakMap(), known: { from: 1, to: 0, spans: new Map() } })
    this.recountPending = false
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

function pointsIn(text, start, end) {
  let points = end - start
  for (let i = start; i < end; i += 1) if ((text.charCodeAt(i) & 0xfc00) === 0xdc00) points -= 1
  return points
}
