/**
 * What the page shows, as the part of its address behind `#`, which never reaches the service.
 *
 * A job: `#job=…&task=worker-0&file=<path>&gen=1&line=42&q=loss&lines=user`, and a further pane
 * beside it as `pane=<task>|<file>|<gen>|<line>`. The list of jobs: `#owner=me&status=failed&sort=name`.
 * What is as usual is left out: `file` for a task's own log, `gen` for generation 0. `from` and `to` are the
 * span of the job's chart (times, or Unix milliseconds, as Grafana writes them), `readings` and `cards` what it shows.
 */

import { spanInAddress } from './chart-span.js'
import { Model } from './model.js'

export const MOST_PANES = 4
export const MOST_CONTEXT = 5 // lines around a hit
const LINES = ['all', 'user']
const LEVELS = ['error', 'warning']
const SCOPES = ['log', 'job', 'all']

/** Filters and order of the list of jobs, by their names in the API; `find` is its `q`. */
export const EMPTY_LIST = Object.freeze({
  find: '',
  owner: '',
  name: '',
  id: '',
  type: '',
  status: '',
  created_after: '',
  created_before: '',
  algorithm: '',
  resource_pool: '',
  flag: '',
  sort: '',
})

/** One pane's log and where in it; `lineEnd` where several lines are meant. */
export const EMPTY_PANE = Object.freeze({ task: '', file: '', gen: 0, line: null, lineEnd: null })

/** What is searched: in which lines, in which logs (lists with commas between), and how its hits are shown. */
export const EMPTY_SEARCH = Object.freeze({
  ...{ q: '', regex: false, ignoreCase: false, word: false, level: '', since: '', until: '' },
  ...{ scope: 'log', tasks: '', ranks: '', kinds: '', proc: false },
  ...{ hits: false, context: 0 },
})

/** What the job's chart shows: from when to when (the job's whole life), which readings, which tasks and cards (all). */
export const EMPTY_CHART = Object.freeze({ from: '', to: '', readings: '', cards: '' })

const EMPTY = Object.freeze({ job: '', ...EMPTY_PANE, panes: Object.freeze([]), lines: '', ...EMPTY_SEARCH, ...EMPTY_CHART, list: EMPTY_LIST })

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
    const place = this.#with(changes, changes.job !== this.place.job)
    const hash = formatPlace(place)
    if (hash === formatPlace(this.place)) return
    this.place = place
    history[replace ? 'replaceState' : 'pushState'](null, '', `${location.pathname}${location.search}${hash || '#'}`)
    this.changed()
  }

  /** The address of another place, for links. */
  href(changes) {
    return formatPlace(this.#with(changes, true)) || '#'
  }

  /** Another job begins afresh; the list keeps its filters meanwhile. */
  #with(changes, afresh) {
    const { list } = this.place
    return 'job' in changes && afresh ? { ...EMPTY, list, ...changes } : { ...this.place, ...changes }
  }

  #read() {
    const place = parsePlace(location.hash)
    if (formatPlace(place) === formatPlace(this.place)) return
    this.place = place.job ? { ...place, list: this.place.list } : place
    this.changed()
  }
}

/** What a search is told of a place. */
export function queryOf({ q, regex, ignoreCase, word, level, since, until }) {
  return { q, regex, ignoreCase, word, level, since, until }
}

/** All that a place says of a search. */
export function searchOf(place) {
  return Object.fromEntries(Object.keys(EMPTY_SEARCH).map((name) => [name, place[name]]))
}

/** The panes of a place, the first one first. */
export function panesOf({ task, file, gen, line, lineEnd, panes }) {
  return [{ task, file, gen, line, lineEnd }, ...panes]
}

/** Changes of an address that make these its panes. */
export function withPanes([first, ...panes]) {
  return { ...EMPTY_PANE, ...first, panes: panes.slice(0, MOST_PANES - 1) }
}

/** Address part behind `#` -> place; anything unknown or malformed is left out. */
export function parsePlace(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ''))
  const text = (name) => given.get(name) ?? ''
  const job = text('job')
  return {
    job,
    task: text('task'),
    file: text('file'),
    gen: parseGeneration(given.get('gen')),
    ...parseLines(given.get('line')),
    panes: job ? given.getAll('pane').slice(0, MOST_PANES - 1).map(parsePane) : [],
    lines: oneOf(LINES, text('lines'), ''),
    q: text('q'),
    regex: given.get('regex') === '1',
    ignoreCase: given.get('case') === '0',
    word: given.get('word') === '1',
    level: LEVELS.filter((level) => text('level').split(',').includes(level)).join(','),
    since: text('since'),
    until: text('until'),
    scope: oneOf(SCOPES, text('scope'), 'log'),
    tasks: text('tasks'),
    ranks: text('ranks'),
    kinds: text('kinds'),
    proc: given.get('proc') === '1',
    hits: given.get('hits') === '1',
    context: Math.min(MOST_CONTEXT, Math.max(0, Math.floor(Number(text('context'))) || 0)),
    ...(job ? { ...spanInAddress(text('from'), text('to')), readings: text('readings'), cards: text('cards') } : EMPTY_CHART),
    list: job ? EMPTY_LIST : Object.fromEntries(Object.keys(EMPTY_LIST).map((name) => [name, text(name)])),
  }
}

/** Place -> "#…", or "" for the list of all jobs. */
export function formatPlace(place) {
  const named = new URLSearchParams()
  const set = (name, value) => value && named.set(name, value)
  if (place.job) {
    named.set('job', place.job)
    set('task', place.task)
    set('file', place.file)
    set('gen', place.gen)
    set('line', formatLines(place))
    for (const pane of place.panes) named.append('pane', [pane.task, pane.file, pane.gen || '', formatLines(pane)].join('|'))
    set('from', place.from)
    set('to', place.to)
    set('readings', place.readings)
    set('cards', place.cards)
  } else {
    for (const name of Object.keys(EMPTY_LIST)) set(name, place.list[name])
  }
  set('lines', place.lines)
  set('q', place.q)
  set('regex', place.regex && '1')
  set('case', place.ignoreCase && '0')
  set('word', place.word && '1')
  set('level', place.level)
  set('since', place.since)
  set('until', place.until)
  set('scope', place.scope !== 'log' && place.scope)
  set('tasks', place.tasks)
  set('ranks', place.ranks)
  set('kinds', place.kinds)
  set('proc', place.proc && '1')
  set('hits', place.hits && '1')
  set('context', place.context)
  const text = named.toString().replaceAll('%2F', '/').replaceAll('%2C', ',').replaceAll('%3A', ':').replaceAll('%7C', '|')
  return text && `#${text}`
}

/** `<task>|<file>|<gen>|<line>`; a file's name may hold the sign itself. */
function parsePane(text) {
  const [task, ...rest] = text.split('|')
  const line = rest.length > 2 ? rest.pop() : ''
  const gen = rest.length > 1 ? rest.pop() : ''
  return { task, file: rest.join('|'), gen: parseGeneration(gen), ...parseLines(line) }
}

function parseGeneration(text) {
  const generation = Number(text)
  return Number.isSafeInteger(generation) && generation > 0 ? generation : 0
}

/** "42" or "42-60" -> {line, lineEnd}. */
function parseLines(text) {
  const found = /^(\d+)(?:-(\d+))?$/.exec(text ?? '')
  const [first, last] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])].sort((a, b) => a - b)
  if (!(first > 0) || !Number.isSafeInteger(last)) return { line: null, lineEnd: null }
  return { line: first, lineEnd: last > first ? last : null }
}

function formatLines({ line, lineEnd }) {
  return line ? `${line}${lineEnd ? `-${lineEnd}` : ''}` : ''
}

function oneOf(known, text, otherwise) {
  return known.includes(text) ? text : otherwise
}
