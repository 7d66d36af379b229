/** The jobs that one may see, filtered and ordered by the service, kept fresh by asking now and then. */

import { debounce } from '../helpers/timing.js'
import { EMPTY_LIST } from './address.js'
import { Model, wasAborted } from './model.js'

const POLL_MS = 5000
const TYPING_MS = 200
const PAGE = 100
const MOST_RELOADED = 500 // jobs asked for anew at once; those further down stay as they were
const NEWEST_FIRST = '-created_at'

export class JobList extends Model {
  constructor({ http, address }) {
    super()
    Object.assign(this, { http, address, jobs: null, next: null, error: null, loading: false, shown: null })
    this.scrollTop = 0 // where the reader left the list
    this.reloadSoon = debounce(() => this.reload(), TYPING_MS)
    this.request = null
    this.timer = null
  }

  get filters() {
    return this.address.place.list
  }

  /** Names of the filters that are set, `owner` and `sort` left aside. */
  get activeFilters() {
    return Object.keys(EMPTY_LIST).filter((name) => !['owner', 'sort'].includes(name) && this.filters[name])
  }

  /** {by, descending} */
  get order() {
    const sort = this.filters.sort || NEWEST_FIRST
    return { by: sort.replace(/^-/, ''), descending: sort.startsWith('-') }
  }

  start() {
    this.timer ??= setInterval(() => document.hidden || this.loading || this.reload(), POLL_MS)
    this.reload()
    this.watch ??= () => this.#placeChanged()
    this.address.addEventListener('change', this.watch)
  }

  stop() {
    clearInterval(this.timer)
    this.timer = null
    this.address.removeEventListener('change', this.watch)
    this.request?.abort()
    this.reloadSoon.cancel()
  }

  /** Shows other jobs; the address says which. */
  filter(changes) {
    this.address.go({ list: { ...this.filters, ...changes } }, { replace: true })
  }

  clearFilters() {
    const { owner, sort } = this.filters
    this.filter({ ...EMPTY_LIST, owner, sort })
  }

  /** By this column; once more: the other way round. Times start with the latest. */
  sortBy(column) {
    const { by, descending } = this.order
    const latestFirst = column === 'created_at' || column === 'ended_at'
    const down = by === column ? !descending : latestFirst
    const sort = `${down ? '-' : ''}${column}`
    this.filter({ sort: sort === NEWEST_FIRST ? '' : sort })
  }

  /** What is loaded once more, up to a bound. */
  async reload() {
    const key = JSON.stringify(this.filters)
    const held = this.shown === key ? (this.jobs ?? []) : []
    const limit = Math.min(MOST_RELOADED, Math.max(PAGE, held.length))
    await this.#load({ limit }, (answer) => {
      const fresh = keepSame(answer.jobs, held)
      const last = answer.next ? held.findIndex(({ id }) => id === fresh.at(-1).id) : -1
      const ids = new Set(fresh.map(({ id }) => id))
      const below = last < 0 ? [] : held.slice(last + 1).filter(({ id }) => !ids.has(id))
      if (!below.length) this.next = answer.next
      if (this.shown !== key) this.scrollTop = 0
      this.jobs = [...fresh, ...below]
      this.shown = key
    })
  }

  async more() {
    if (!this.next || this.loading) return
    await this.#load({ cursor: this.next, limit: PAGE }, (answer) => {
      const known = new Set(this.jobs.map((job) => job.id))
      this.jobs = [...this.jobs, ...answer.jobs.filter((job) => !known.has(job.id))]
      this.next = answer.next
    })
  }

  #placeChanged() {
    if (this.address.place.job || JSON.stringify(this.filters) === this.shown) return
    this.changed()
    this.reloadSoon()
  }

  async #load(page, take) {
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    this.loading = true
    this.changed()
    try {
      take(await this.http.jobs({ ...askOf(this.filters), ...page }, { signal: request.signal }))
      this.error = null
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    } finally {
      if (this.request === request) {
        this.loading = false
        this.changed()
      }
    }
  }
}

/** Filters as the service wants them: days begin at midnight where the reader is, the last one counts whole. */
export function askOf({ find, created_after: from, created_before: to, ...others }) {
  const named = Object.fromEntries(Object.entries(others).map(([name, value]) => [name, value.trim()]))
  return { ...named, q: find.trim(), created_after: midnight(from, 0), created_before: midnight(to, 1), sort: others.sort || NEWEST_FIRST }
}

/** "2026-11-24" -> the moment it begins, `days` later; "" where it is no date. */
function midnight(day, days) {
  const found = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day)
  if (!found) return ''
  const date = new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3]) + days)
  return date.toISOString()
}

/** Answers with the objects held where nothing changed: their rows need not be drawn again. */
function keepSame(jobs, held) {
  const byId = new Map(held.map((job) => [job.id, job]))
  return jobs.map((job) => {
    const before = byId.get(job.id)
    return before && JSON.stringify(before) === JSON.stringify(job) ? before : job
  })
}
