/** The jobs that one may see, filtered by the service, kept fresh by asking now and then. */

import { debounce } from '../helpers/timing.js'
import { Model, wasAborted } from './model.js'

const POLL_MS = 5000
const TYPING_MS = 200
const PAGE = 100

export class JobList extends Model {
  constructor({ http }) {
    super()
    Object.assign(this, { http, jobs: null, next: null, error: null, loading: false, filters: { q: '', status: '' } })
    this.reloadSoon = debounce(() => this.reload(), TYPING_MS)
    this.request = null
    this.timer = null
  }

  get filtered() {
    return Boolean(this.filters.q || this.filters.status)
  }

  start() {
    this.reload()
    this.timer ??= setInterval(() => document.hidden || this.loading || this.reload(), POLL_MS)
  }

  stop() {
    clearInterval(this.timer)
    this.timer = null
    this.request?.abort()
    this.reloadSoon.cancel()
  }

  filter(changes) {
    this.filters = { ...this.filters, ...changes }
    this.changed()
    this.reloadSoon()
  }

  /** The first page anew; jobs further down stay as they were. */
  async reload() {
    const key = JSON.stringify(this.filters)
    await this.#load({}, (answer) => {
      const fresh = new Set(answer.jobs.map((job) => job.id))
      const more = this.shownKey === key && this.jobs ? this.jobs.slice(PAGE).filter((job) => !fresh.has(job.id)) : []
      this.jobs = [...answer.jobs, ...more]
      if (!more.length) this.next = answer.next
      this.shownKey = key
    })
  }

  async more() {
    if (!this.next) return
    await this.#load({ cursor: this.next }, (answer) => {
      const known = new Set(this.jobs.map((job) => job.id))
      this.jobs = [...this.jobs, ...answer.jobs.filter((job) => !known.has(job.id))]
      this.next = answer.next
    })
  }

  async #load(page, take) {
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    this.loading = true
    this.changed()
    try {
      take(await this.http.jobs({ ...this.filters, ...page, limit: PAGE }, { signal: request.signal }))
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
