/** What is open: the job, and side by side the logs of it that the address names. */

import { panesOf, queryOf, withPanes, MOST_PANES } from './address.js'
import { Chart } from './chart.js'
import { Job } from './job.js'
import { Log } from './log.js'
import { Model } from './model.js'
import { Hits } from './search-hits.js'
import { RecentSearches } from './search-recent.js'
import { Search } from './search.js'
import { TimeCursor } from './time-cursor.js'

/** Fires `change` when the job, the panes or the active one are others. */
export class Reader extends Model {
  constructor({ http, openFollow, address, settings }) {
    super()
    Object.assign(this, { http, openFollow, address, settings, job: null, chart: null, panes: [], active: null })
    address.addEventListener('change', () => this.sync())
    this.cursor = new TimeCursor({ reader: this })
    this.hits = new Hits({ http, reader: this, address, recent: new RecentSearches() })
  }

  /** Opens and closes what the address asks for. */
  sync() {
    const { job } = this.address.place
    if (job !== (this.job?.id ?? '')) this.#openJob(job)
    else this.#syncPanes()
  }

  /** The task of the active pane, else the first. */
  get task() {
    return this.active?.stream?.task || this.active?.place.task || this.job?.tasks[0] || ''
  }

  /** The pane that keys, search and the list of files act on. */
  activate(pane) {
    if (pane === this.active) return
    this.active = pane
    this.changed()
  }

  /** Another line, or another log, in a pane. */
  go(pane, changes, options) {
    this.address.go(this.#changed(pane, changes), options)
  }

  /** The reader chose a line, or lines: logs beside it show what came at the same time. */
  choose(pane, line, lineEnd = null, options) {
    this.go(pane, { line, lineEnd }, options)
    this.cursor.choose(pane, line)
  }

  /** Goes to what was typed (see `parseJump`); to a line once more where it is chosen already. */
  async jump(pane, { line = null, lineEnd = null, share, at }) {
    const { log } = pane
    const last = Math.max(0, log.count - 1)
    const n = line ?? (at ? await log.lineAtTime(at) : await log.lineOf(Math.round(share * last)))
    if (n === null) return
    if (pane.place.line === n && pane.place.lineEnd === lineEnd) pane.view?.showLine(n)
    this.choose(pane, n, lineEnd)
  }

  href(pane, changes) {
    return this.address.href(this.#changed(pane, changes))
  }

  get canOpenBeside() {
    return this.panes.length < MOST_PANES
  }

  /** Opens a log beside those that are open. */
  openBeside(place) {
    if (!this.canOpenBeside) return
    this.address.go(withPanes([...panesOf(this.address.place), place]))
    this.activate(this.panes.at(-1))
  }

  /** Opens these logs side by side, and nothing else. */
  compare(streams) {
    this.address.go(withPanes(streams.map((stream) => this.job.startOf(stream))))
  }

  closePane(pane) {
    const places = panesOf(this.address.place).filter((_, at) => this.panes[at] !== pane)
    this.panes = this.panes.filter((one) => one !== pane)
    pane.close()
    this.address.go(withPanes(places))
  }

  setLines(lines) {
    this.settings.set('userLines', lines === 'user')
    this.address.go({ lines }, { replace: true })
  }

  /** Loads anew whatever could not be loaded. */
  retry() {
    this.job?.reload()
    for (const { log } of this.panes) log?.retry()
  }

  #openJob(id) {
    this.job?.stop()
    for (const pane of this.panes) pane.close()
    Object.assign(this, { panes: [], active: null, job: id ? new Job({ http: this.http, id }) : null })
    const { job } = this
    this.chart = job && new Chart({ http: this.http, address: this.address, job })
    job?.addEventListener('change', () => {
      if (job !== this.job) return
      this.#tellPanes()
      this.#syncPanes()
      this.changed()
    })
    job?.start()
    this.changed()
  }

  /** What became of the logs that are open; whoever follows a file goes on in its newest generation. */
  #tellPanes() {
    for (const pane of this.panes) {
      if (!pane.log) continue
      const stream = this.job.byId(pane.stream.id) ?? pane.stream
      const next = this.job.next(stream)
      pane.log.told(stream, next?.id ?? null)
      if (next && pane.log.continues) this.go(pane, this.job.startOf(this.job.newest(stream)))
    }
  }

  /** A pane whose log stays keeps its object, with its place on screen and its search. */
  #syncPanes() {
    if (!this.job?.streams) return
    const before = this.panes
    const left = [...before]
    this.panes = panesOf(this.address.place).map((place) => {
      const stream = this.job.find(place)
      const at = left.findIndex((pane) => pane.stream?.id === stream?.id)
      const pane = at < 0 ? this.#openPane(stream) : left.splice(at, 1)[0]
      pane.place = place
      return pane
    })
    for (const pane of left) pane.close()
    if (!this.panes.includes(this.active)) this.active = this.panes[Math.max(0, before.indexOf(this.active))] ?? this.panes[0]
    for (const pane of this.panes) this.#syncPane(pane)
    this.changed()
    this.#nameFirst()
  }

  #openPane(stream) {
    if (!stream) return new Pane({ stream })
    const log = new Log({ http: this.http, openFollow: this.openFollow, stream, lines: this.#lines, goesOn: this.job.next(stream) !== null })
    log.addEventListener('continues', () => this.job.reload())
    log.open()
    return new Pane({ stream, log, search: new Search({ http: this.http, log, goOn: (direction) => this.hits.goOn(stream.id, direction) }) })
  }

  /** The log stays; filter or query may be others. A query from the address marks and counts, it does not move the reader. */
  #syncPane({ log, search, place, anchor }) {
    if (!log) return
    if (log.lines !== this.#lines) {
      log.setLines(this.#lines, anchor())
      search.linesChanged()
    }
    search.set(queryOf(this.address.place), { quiet: true, line: place.line })
  }

  /** A link to a job opens its first log: from now on the address says which, and how it is shown. */
  #nameFirst() {
    const [first] = this.panes
    if (!first.stream) return
    this.address.go({ ...this.job.placeOf(first.stream), lines: this.#lines }, { replace: true })
  }

  get #lines() {
    return this.address.place.lines || (this.settings.get('userLines') ? 'user' : 'all')
  }

  #changed(pane, changes) {
    return withPanes(panesOf(this.address.place).map((place, at) => (this.panes[at] === pane ? { ...place, ...changes } : place)))
  }
}

/** One log that is open; without a log where the job has none such. */
class Pane {
  constructor({ stream, log = null, search = null }) {
    Object.assign(this, { stream, log, search, place: null })
    this.id = Pane.count += 1
    this.view = null // set by the page: the rows on screen
  }

  /** The line that the reader should stay at when rows are counted anew. */
  anchor = () => this.view?.position.anchor() ?? null

  close() {
    this.log?.close()
    this.search?.close()
  }

  static count = 0
}
