/**
 * Where in the whole log errors, warnings and matches stand: how many of each in every part of it.
 *
 * Asked anew when something else is searched, and while the log grows every few seconds at most.
 */

import { Model, wasAborted } from './model.js'

const GROWTH_MS = 5000
const QUERY_MS = 300
const EVERY_LINE = Object.freeze({ q: '^', regex: 1 })

/** Fires `change` when there is something new in `counts`. */
export class Overview extends Model {
  constructor({ log, search }) {
    super()
    Object.assign(this, { log, search, buckets: 500, timer: null, request: null, asked: null, answeredAt: -Infinity })
    this.counts = null // {rows, errors, warnings, matches}: rows, and what is among them, in equal parts
    this.listening = new AbortController()
    const { signal } = this.listening
    for (const model of [log, search]) model.addEventListener('change', () => this.#plan(), { signal })
    document.addEventListener('visibilitychange', () => this.#plan(), { signal })
  }

  /** How finely the log is to be counted; a screen shows no more parts than it has pixels. */
  setBuckets(buckets) {
    this.buckets = Math.min(2000, Math.max(1, Math.floor(buckets)))
    this.#plan()
  }

  /** What stands in the rows [first, end): counts, and null for matches where nothing is searched. */
  within(first, end) {
    const { rows, errors, warnings, matches } = this.counts
    const from = Math.max(0, Math.floor((first * errors.length) / rows))
    const to = Math.min(errors.length, Math.max(from + 1, Math.ceil((end * errors.length) / rows)))
    const sum = (parts) => parts && parts.slice(from, to).reduce((all, count) => all + count, 0)
    return { first: Math.floor((from * rows) / errors.length), end: Math.floor((to * rows) / errors.length), errors: sum(errors), warnings: sum(warnings), matches: sum(matches) }
  }

  /** Number of the first line at or after a row that is an error, a warning or a match; null: none. */
  async nearest(kind, row, signal) {
    const { lines } = await this.log.linesFrom(row, 1, signal)
    return lines.length ? this.#step(kind, { after: lines[0].n - 1 }, signal) : null
  }

  /** Number of the next (or, with direction −1, the last) error line after line `n`, around the end where there is none. */
  async error(n, direction) {
    const around = direction > 0 ? { after: 0 } : { before: this.log.totalLines + 1 }
    return (await this.#step('errors', direction > 0 ? { after: n } : { before: n })) ?? this.#step('errors', around)
  }

  close() {
    this.listening.abort()
    this.request?.abort()
    clearTimeout(this.timer)
  }

  async #step(kind, range, signal) {
    const { log } = this
    const what = kind === 'matches' ? this.search.parameters : { ...EVERY_LINE, level: kind === 'errors' ? 'error' : 'warning', lines: log.lines }
    const { matches } = await log.http.matches(log.stream.id, { ...what, ...range, limit: 1, count: 'none' }, { signal })
    return matches[0]?.n ?? null
  }

  get #query() {
    const { log, search, buckets } = this
    return { ...(search.active && !search.error ? search.parameters : { lines: log.lines }), buckets }
  }

  #plan() {
    const { log } = this
    if (!log.ready || !log.count || document.hidden) return
    const query = JSON.stringify(this.#query)
    const other = query !== this.asked?.query
    if (!other && this.asked.count === log.count) return
    if (other) this.request?.abort()
    else if (this.timer || this.request) return
    clearTimeout(this.timer)
    const waitMs = this.answeredAt === -Infinity ? 0 : other ? QUERY_MS : Math.max(0, this.answeredAt + GROWTH_MS - performance.now())
    this.timer = setTimeout(() => this.#ask(), waitMs)
  }

  async #ask() {
    const { log } = this
    this.timer = null
    const request = new AbortController()
    const query = this.#query
    this.request = request
    this.asked = { query: JSON.stringify(query), count: log.count }
    try {
      const answer = await log.http.overview(log.stream.id, query, { signal: request.signal })
      if (answer.lines === log.lines) this.counts = answer
      this.changed()
    } catch (error) {
      if (!wasAborted(error)) this.asked = { ...this.asked, count: null } // once more, a while later
    } finally {
      if (this.request === request) {
        Object.assign(this, { request: null, answeredAt: performance.now() })
        this.#plan()
      }
    }
  }
}
