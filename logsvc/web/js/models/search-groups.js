/** The hits of a search, by job and log: which logs have some, how many, and those loaded so far. */

import { naturalOrder } from '../helpers/format.js'
import { snippet } from '../helpers/snippet.js'
import { KINDS } from './file-tree.js'

/** The hits of one log. */
export class Group {
  constructor({ stream, job, task, kind, path, generation, rank = null, total = null }) {
    Object.assign(this, { stream, job, task, kind, path, generation, rank, total })
    Object.assign(this, { hits: [], complete: false, open: true, request: null, error: null })
  }

  /** Hits that are known to be there and not loaded yet; 0 where all are, null where nobody knows. */
  get missing() {
    if (this.total !== null) return Math.max(0, this.total - this.hits.length)
    return this.complete ? 0 : null
  }

  /** The next hits, in order. */
  take(matches, next) {
    const last = this.hits.at(-1)?.n ?? 0
    this.hits.push(...matches.filter(({ n }) => n > last).map((match) => ({ ...listedLine(match), before: listedLines(match.before), after: listedLines(match.after), group: this })))
    this.complete = next === null
    this.error = null
  }

  /** Loads anew, from the first hit on. */
  forget() {
    this.request?.abort()
    Object.assign(this, { hits: [], complete: false, request: null, error: null })
  }
}

/** Groups in the order in which they are shown: jobs as the service gives them, a job's logs as its tree has them. */
export class Groups {
  constructor() {
    this.byStream = new Map()
    this.byJob = new Map() // id -> {id, open, groups}, in the order in which they came
  }

  get jobs() {
    return [...this.byJob.values()]
  }

  get size() {
    return this.byStream.size
  }

  /** Matching lines counted so far. */
  get total() {
    let total = 0
    for (const group of this.byStream.values()) total += group.total ?? group.hits.length
    return total
  }

  get inOrder() {
    return this.jobs.flatMap(({ groups }) => groups)
  }

  get(stream) {
    return this.byStream.get(stream) ?? null
  }

  /** Makes sure that these logs stand in the list; `total` where it is known. */
  add(found) {
    const touched = new Set()
    for (const { total, ...of } of found) {
      let group = this.byStream.get(of.stream)
      if (!group) {
        group = new Group(of)
        this.byStream.set(of.stream, group)
        touched.add(this.#job(of.job, group))
      }
      if (total !== undefined) group.total = total
    }
    for (const job of touched) job.groups.sort(treeOrder)
  }

  /** What stands before this log's first hit. */
  before(stream) {
    let before = 0
    for (const group of this.inOrder) {
      if (group.stream === stream) return before
      before += group.total ?? 0
    }
    return null
  }

  abort() {
    for (const group of this.byStream.values()) group.request?.abort()
  }

  #job(id, group) {
    if (!this.byJob.has(id)) this.byJob.set(id, { id, open: true, groups: [] })
    const job = this.byJob.get(id)
    job.groups.push(group)
    return job
  }
}

/** What a list keeps of a line, which may be long. */
function listedLine({ n, text, spans, level, system }) {
  return { n, level, system, pieces: snippet(text, spans) }
}

function listedLines(lines = []) {
  return lines.map(listedLine)
}

function treeOrder(a, b) {
  return naturalOrder(a.task, b.task) || KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || naturalOrder(a.path, b.path) || b.generation - a.generation
}
