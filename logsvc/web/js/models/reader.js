/** What is open: the job, the log and the search that the address names. */

import { Job } from './job.js'
import { Log } from './log.js'
import { Model } from './model.js'
import { Search } from './search.js'

export class Reader extends Model {
  constructor({ http, openFollow, address, settings }) {
    super()
    Object.assign(this, { http, openFollow, address, settings, job: null, log: null, search: null, missing: false })
    this.anchor = () => null // set by the page: the line that the reader should stay at
    address.addEventListener('change', () => this.sync())
  }

  /** Opens and closes what the address asks for. */
  sync() {
    const { job } = this.address.place
    if (job !== (this.job?.id ?? '')) this.#openJob(job)
    else this.#syncLog()
  }

  /** The task that the address names, else that of the log on screen, else the first. */
  get task() {
    return this.address.place.task || this.log?.stream.task || this.job?.tasks[0] || ''
  }

  setLines(lines) {
    this.settings.set('userLines', lines === 'user')
    this.address.go({ lines }, { replace: true })
  }

  /** Loads anew whatever could not be loaded. */
  retry() {
    this.job?.reload()
    this.log?.retry()
  }

  #openJob(id) {
    this.job?.stop()
    this.#closeLog()
    this.missing = false
    this.job = id ? new Job({ http: this.http, id }) : null
    const { job } = this
    job?.addEventListener('change', () => {
      if (job !== this.job) return
      this.#syncLog()
      this.changed()
    })
    job?.start()
    this.changed()
  }

  #syncLog() {
    const { place } = this.address
    if (!this.job?.streams) return
    const stream = this.job.find(place)
    const missing = stream === null && Boolean(place.task)
    if (missing !== this.missing) {
      this.missing = missing
      this.changed()
    }
    if (!stream) {
      if (this.log) this.#closeLog()
      return
    }
    if (stream.id !== this.log?.stream.id) this.#openLog(stream)
    else this.#syncView()
  }

  #openLog(stream) {
    this.#closeLog()
    const { place } = this.address
    const lines = place.lines || (this.settings.get('userLines') ? 'user' : 'all')
    this.log = new Log({ http: this.http, openFollow: this.openFollow, stream, lines })
    this.search = new Search({ http: this.http, log: this.log })
    this.log.open()
    this.#syncSearch()
    this.changed()
    this.address.go({ ...this.job.placeOf(stream), lines }, { replace: true })
  }

  /** The log stays; filter or query may be others. */
  #syncView() {
    const { lines } = this.address.place
    if (lines && lines !== this.log.lines) {
      this.log.setLines(lines, this.anchor())
      this.search.linesChanged()
    }
    this.#syncSearch()
  }

  /** A query from the address marks and counts, it does not move the reader. */
  #syncSearch() {
    const { q, regex, ignoreCase } = this.address.place
    this.search.set({ q, regex, ignoreCase }, { quiet: true })
  }

  #closeLog() {
    this.log?.close()
    this.search?.close()
    Object.assign(this, { log: null, search: null })
    this.changed()
  }
}
