/**
 * What the page shows, as the part of its address behind `#`, which never reaches the service:
 * `#job=…&task=worker-0&file=<path>&gen=1&line=42&q=loss&regex=1&case=0&lines=user`.
 *
 * `file` is left out for a task's own log, `gen` for generation 0.
 */

import { Model } from './model.js'

const EMPTY = Object.freeze({ job: '', task: '', file: '', gen: 0, line: null, q: '', regex: false, ignoreCase: false, lines: '' })

/** Fires `change` when the place changes, by a link, by back and forward, or by `go`. */
export class Address extends Model {
  constructor() {
    super()
    this.place = parsePlace(location.hash)
    window.addEventListener('popstate', () => this.#read())
    window.addEventListener('hashchange', () => this.#read())
  }

  /** Shows another place; `replace` where Back should pass over the present one. */
  go(changes, { replace = false } = {}) {
    const place = 'job' in changes && changes.job !== this.place.job ? { ...EMPTY, ...changes } : { ...this.place, ...changes }
    const hash = formatPlace(place)
    if (hash === formatPlace(this.place)) return
    this.place = place
    history[replace ? 'replaceState' : 'pushState'](null, '', `${location.pathname}${location.search}${hash || '#'}`)
    this.changed()
  }

  /** The address of another place, for links. */
  href(changes) {
    const place = 'job' in changes ? { ...EMPTY, ...changes } : { ...this.place, ...changes }
    return formatPlace(place) || '#'
  }

  #read() {
    const place = parsePlace(location.hash)
    if (formatPlace(place) === formatPlace(this.place)) return
    this.place = place
    this.changed()
  }
}

/** Address part behind `#` -> place; anything unknown or malformed is left out. */
export function parsePlace(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ''))
  const line = Number(given.get('line'))
  const generation = Number(given.get('gen'))
  const lines = given.get('lines')
  return {
    job: given.get('job') ?? '',
    task: given.get('task') ?? '',
    file: given.get('file') ?? '',
    gen: Number.isSafeInteger(generation) && generation > 0 ? generation : 0,
    line: Number.isSafeInteger(line) && line > 0 ? line : null,
    q: given.get('q') ?? '',
    regex: given.get('regex') === '1',
    ignoreCase: given.get('case') === '0',
    lines: lines === 'user' || lines === 'all' ? lines : '',
  }
}

/** Place -> "#…", or "" for the list of jobs. */
export function formatPlace(place) {
  if (!place.job) return ''
  const named = new URLSearchParams({ job: place.job })
  if (place.task) named.set('task', place.task)
  if (place.file) named.set('file', place.file)
  if (place.gen) named.set('gen', place.gen)
  if (place.line) named.set('line', place.line)
  if (place.q) {
    named.set('q', place.q)
    if (place.regex) named.set('regex', '1')
    if (place.ignoreCase) named.set('case', '0')
  }
  if (place.lines) named.set('lines', place.lines)
  return `#${named.toString().replaceAll('%2F', '/')}`
}
