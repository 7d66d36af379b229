/**
 * The hits of a search as a list, over one log, a job's logs or every log that one may see.
 *
 * First the first hits are asked for (`count=none`), beside them how many there are in which log; the
 * rest is loaded log by log, as far as somebody looks at it. What nobody waits for any more is aborted.
 */

import { debounce } from '../helpers/timing.js'
import { EMPTY_SEARCH, queryOf, searchOf } from './address.js'
import { JobNames } from './job-names.js'
import { placeOf } from './job.js'
import { Model, wasAborted } from './model.js'
import { Groups } from './search-groups.js'
import { isActive, lineParameters, scopeParameters } from './search-query.js'
import { inTurn } from './search-turn.js'
import { TYPING_MS } from './search.js'

const PAGE = 100
const LOOK_MS = 3000 // how often it is looked whether a count is out of date
const AGE_MS = 10000 // over all jobs nobody says that logs have grown
const REST_FACTOR = 10 // a count that took long is not asked for often
const PATTERN = ['regex', 'ignoreCase', 'word']
const NONE_LEFT_OUT = Object.freeze({ ids: new Set(), count: 0 })
const BEHIND_THE_LAST = Number.MAX_SAFE_INTEGER

/** Fires `change`. */
export class Hits extends Model {
  constructor({ http, reader, address, recent }) {
    super()
    Object.assign(this, { http, reader, address, recent, key: '', jobNames: new JobNames({ http }) })
    this.#clear()
    this.typed = false // while the address changes because somebody types
    this.typing = false // set by the page: the field has the focus
    this.watched = null // search of the log on screen
    this.takeTotal = () => this.#takeTotal()
    this.startSoon = debounce(() => this.#start(), TYPING_MS)
    setInterval(() => document.hidden || this.#refresh(), LOOK_MS)
    for (const model of [address, reader]) model.addEventListener('change', () => this.#sync())
    this.#sync()
  }

  /** Where is searched: "log", "job" or "all"; outside a job there is only "all". */
  get scope() {
    const { job, scope } = this.address.place
    return job ? scope : 'all'
  }

  get active() {
    return isActive(this.address.place)
  }

  /** Matching lines in the whole scope; null: not counted yet. */
  get total() {
    if (this.scope === 'log') return this.reader.active?.search?.total ?? null
    return this.counted ? this.groups.total : null
  }

  get exact() {
    return this.scope === 'log' ? (this.reader.active?.search?.exact ?? true) : this.countExact
  }

  /** Where the reader stands, {stream, n}; null where at no hit. */
  get current() {
    const { stream, search } = this.reader.active ?? {}
    return search?.current ? { stream: stream.id, n: search.current.n } : null
  }

  /** Place of a log's hit among all of the scope; null where it is not known. */
  indexOf(stream, index) {
    if (!this.counted || index === null) return null
    const before = this.groups.before(stream)
    return before === null ? null : before + index
  }

  /** Looks for something else, there or elsewhere. Back undoes it, unless it goes on with what is being typed. */
  ask(changes) {
    const { place } = this.address
    const typing = 'q' in changes
    if (typing || PATTERN.some((name) => name in changes)) this.reader.active?.search?.set(queryOf({ ...place, ...changes }))
    this.typed = typing
    this.address.go(changes, { replace: typing && place.q !== '' && changes.q !== '' })
    this.typed = false
  }

  /** Only lines received since the selected line was, or since the first one on screen. */
  async sinceLine() {
    const { stream, place, view } = this.reader.active
    try {
      const { lines } = await this.http.lines(stream.id, { from: place.line ?? view.position.topLine, limit: 1 })
      if (lines.length) this.ask({ since: lines[0].received_at, until: '' })
    } catch (error) {
      this.error = error
      this.changed()
    }
  }

  /** Looks for nothing any more. */
  clear() {
    const { scope } = this.address.place
    this.address.go({ ...EMPTY_SEARCH, scope })
  }

  /** Hits of a log are on screen that are not there yet. */
  need(group) {
    if (group.request || group.error || group.missing === 0) return
    this.#load(group)
  }

  toggle(group) {
    group.open = !group.open
    this.changed()
  }

  /** Tries again whatever failed. */
  retry() {
    for (const group of this.groups.inOrder) group.error = null
    if (this.error) this.#start()
    else this.changed()
  }

  /** Opens a hit's log on its line; in the pane that shows this log already, if there is one. */
  open({ n, group }) {
    const { reader, address } = this
    const pane = reader.panes.find(({ stream }) => stream?.id === group.stream)
    const place = { ...placeOf(group), line: n, lineEnd: null }
    this.recent.add(address.place.q)
    if (pane) reader.activate(pane)
    if (group.job === address.place.job) reader.go(reader.active, place)
    else address.go({ job: group.job, ...place, lines: address.place.lines, ...searchOf(address.place), scope: this.scope })
    this.changed()
  }

  /** To the next hit (direction 1) or the one before (-1), in whichever log of the scope it is. */
  step(direction) {
    const { active } = this.reader
    if (!this.active) return
    this.recent.add(this.address.place.q)
    this.wrapped = null
    if (!active?.search) this.openFirst()
    else if (this.scope !== 'log' && this.counted && !this.groups.get(active.stream.id) && !this.leftOut.ids.has(active.stream.id)) this.goOn(active.stream.id, direction)
    else if (direction > 0) active.search.next()
    else active.search.previous()
  }

  /** The nearest hit in another log of the scope; false where there is none. */
  async goOn(stream, direction) {
    if (this.scope === 'log') return false
    if (!this.counted) await this.counting
    if (!this.counted) return false
    const order = this.groups.inOrder
    const here = order.findIndex((group) => group.stream === stream)
    if (!order.length || (here >= 0 && order.length === 1)) return false
    const at = here < 0 && direction < 0 ? 0 : here
    const group = order[(at + direction + order.length) % order.length]
    const page = direction > 0 ? { after: 0 } : { before: BEHIND_THE_LAST }
    this.stepRequest?.abort()
    const request = new AbortController()
    this.stepRequest = request
    try {
      const { matches } = await this.#ask(group, { ...page, limit: 1, count: 'none' }, request.signal)
      if (!order[at + direction]) this.wrapped = direction > 0 ? 'start' : 'end'
      if (matches.length) this.open({ ...matches[0], group })
      return matches.length > 0
    } catch (error) {
      if (wasAborted(error)) return true
      this.error = error
      this.changed()
      return false
    }
  }

  /** The first hit of all, for one who searches from the list of jobs. */
  openFirst() {
    const group = this.groups.inOrder.find(({ hits }) => hits.length)
    if (group) this.open(group.hits[0])
  }

  // --- what is asked

  #sync() {
    this.#watch(this.reader.active?.search ?? null)
    const { place } = this.address
    const wanted = this.active && (this.scope !== 'log' || place.hits) ? JSON.stringify(this.#question()) : ''
    if (wanted === this.key) return
    this.key = wanted
    this.#abort()
    this.#clear()
    if (wanted && this.typed) this.startSoon()
    else if (wanted) this.#start()
    this.changed()
  }

  /** The log on screen counts itself: its list need not. */
  #watch(search) {
    if (search === this.watched) return
    this.watched?.removeEventListener('change', this.takeTotal)
    this.watched = search
    search?.addEventListener('change', this.takeTotal)
  }

  #takeTotal() {
    const group = this.scope === 'log' && this.groups.get(this.reader.active?.stream?.id)
    if (!group || group.total === this.watched.total) return
    group.total = this.watched.total
    this.changed()
  }

  #question() {
    const { place } = this.address
    const { scope } = this
    const stream = scope === 'log' ? (this.reader.active?.stream?.id ?? null) : null
    const job = scope === 'job' ? place.job : ''
    return { scope, stream, context: place.context, query: lineParameters(place, place.lines || 'all'), many: scope === 'log' ? null : scopeParameters(place, job) }
  }

  #start() {
    this.#abort()
    this.#clear()
    const { scope, stream, many } = this.#question()
    this.searching = true
    if (scope !== 'log') {
      this.#first(many)
      this.counting = this.#count(many)
    } else if (stream) {
      const { task, kind, path, generation, rank, job } = this.reader.active.stream
      this.groups.add([{ stream, job, task, kind, path, generation, rank }])
      this.searching = false
      this.#takeTotal()
      this.need(this.groups.get(stream))
    }
    this.changed()
  }

  /** The first hits, before anything is counted. */
  #first(many) {
    return this.#request('firstRequest', async (signal) => {
      const { context, query } = this.#question()
      const answer = await this.#inTurn(() => this.http.search({ ...many, ...query, context, limit: PAGE, count: 'none' }, { signal }), signal)
      this.searched = answer.searched_streams
      this.#takeLeftOut(answer)
      const found = new Map()
      for (const match of answer.matches) {
        if (!found.has(match.stream)) found.set(match.stream, [])
        found.get(match.stream).push(match)
      }
      this.groups.add([...found.values()].map(([match]) => groupOf(match)))
      const cut = answer.cursor === null ? null : answer.matches.at(-1)
      for (const [stream, matches] of found) {
        const group = this.groups.get(stream)
        if (!group.hits.length) group.take(matches, stream === cut?.stream ? cut.n : null)
      }
    })
  }

  #count(many) {
    const began = performance.now()
    return this.#request('countRequest', async (signal) => {
      const { query } = this.#question()
      const size = this.#jobSize()
      const answer = await this.#inTurn(() => this.http.search({ ...many, ...query, limit: 0, count: 'exact' }, { signal }), signal)
      this.groups.add(answer.totals.map(groupOf))
      Object.assign(this, { counted: true, countExact: answer.exact, searched: answer.searched_streams, error: null })
      this.#takeLeftOut(answer)
      Object.assign(this, { countedSize: size, countedAt: performance.now(), tookMs: performance.now() - began })
    })
  }

  #takeLeftOut({ left_out: ids, left_out_streams: count }) {
    this.leftOut = { ids: new Set(ids), count }
  }

  async #load(group) {
    const request = new AbortController()
    group.request = request
    try {
      const after = group.hits.at(-1)?.n ?? 0
      const { matches, next } = await this.#ask(group, { after, limit: PAGE, count: 'none', context: this.address.place.context }, request.signal)
      group.take(matches, next)
      if (next === null && group.total !== null) group.total = group.hits.length // newer than the count
    } catch (error) {
      if (wasAborted(error)) return
      group.error = error
    } finally {
      if (group.request === request) {
        group.request = null
        this.changed()
      }
    }
  }

  /** Counts again where logs have grown; the list stays as it is meanwhile. */
  #refresh() {
    if (!this.key || !this.counted || this.countRequest || this.scope === 'log') return
    const age = performance.now() - this.countedAt
    const grown = this.scope === 'job' ? this.#jobSize() !== this.countedSize : age > AGE_MS
    if (grown && age > REST_FACTOR * this.tookMs) this.#count(this.#question().many)
  }

  #jobSize() {
    return (this.reader.job?.streams ?? []).reduce((size, stream) => size + stream.size_bytes, 0)
  }

  async #request(name, work) {
    this[name]?.abort()
    const request = new AbortController()
    this[name] = request
    try {
      await work(request.signal)
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    } finally {
      if (this[name] === request) {
        this[name] = null
        this.searching = Boolean(this.firstRequest || (this.countRequest && !this.counted))
        this.changed()
      }
    }
  }

  #ask(group, page, signal) {
    const { query } = this.#question()
    return this.#inTurn(() => this.http.matches(group.stream, { ...query, ...page }, { signal }), signal)
  }

  #inTurn(ask, signal) {
    return inTurn(ask, {
      signal,
      onWait: (waiting) => {
        if (waiting === this.waiting) return
        this.waiting = waiting
        this.changed()
      },
    })
  }

  #clear() {
    Object.assign(this, { groups: new Groups(), searching: false, waiting: false, error: null })
    Object.assign(this, { counted: false, countExact: true, countedAt: 0, countedSize: 0, tookMs: 0, searched: null, leftOut: NONE_LEFT_OUT, wrapped: null })
  }

  #abort() {
    this.startSoon?.cancel()
    this.groups.abort()
    for (const name of ['firstRequest', 'countRequest', 'stepRequest']) {
      this[name]?.abort()
      this[name] = null
    }
  }
}

function groupOf({ stream, job, task, kind, path, generation, rank, total }) {
  return { stream, job, task, kind, path, generation, rank, total }
}
