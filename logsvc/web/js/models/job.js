/** One job and its streams, kept fresh by asking now and then. */

import { naturalOrder } from '../helpers/format.js'
import { Model, wasAborted } from './model.js'

const POLL_MS = 5000
export const KINDS = ['ordinary', 'proc', 'plog', 'device', 'mindspore', 'other']

export class Job extends Model {
  constructor({ http, id }) {
    super()
    Object.assign(this, { http, id, job: null, streams: null, error: null })
    this.request = null
    this.timer = null
  }

  start() {
    this.reload()
    this.timer = setInterval(() => document.hidden || this.request || this.reload(), POLL_MS)
    return this
  }

  stop() {
    clearInterval(this.timer)
    this.request?.abort()
  }

  async reload() {
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    const { signal } = request
    try {
      const [job, { streams }] = await Promise.all([this.http.job(this.id, { signal }), this.http.streams(this.id, { signal })])
      Object.assign(this, { job, streams, error: null })
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    } finally {
      if (this.request === request) {
        this.request = null
        this.changed()
      }
    }
  }

  get tasks() {
    const named = new Set([...(this.job?.tasks ?? []), ...(this.streams ?? []).map((stream) => stream.task)])
    return [...named].sort(naturalOrder)
  }

  /** [{kind, files: [{path, streams}]}] of a task: only kinds that it has; a file's streams are its generations, newest first. */
  tree(task) {
    return KINDS.map((kind) => {
      const files = new Map()
      for (const stream of this.streams ?? []) {
        if (stream.task !== task || stream.kind !== kind) continue
        if (!files.has(stream.path)) files.set(stream.path, [])
        files.get(stream.path).push(stream)
      }
      const sorted = [...files].sort(([a], [b]) => naturalOrder(a, b))
      return { kind, files: sorted.map(([path, streams]) => ({ path, streams: streams.sort((a, b) => b.generation - a.generation) })) }
    }).filter(({ files }) => files.length > 0)
  }

  /** The stream that a place names: the file's newest generation unless it says which; null where there is none. */
  find({ task, file, gen }) {
    if (!task) return this.#first()
    const files = this.tree(task).flatMap(({ files: some }) => some)
    const chosen = file ? files.find(({ path }) => path === file) : (files.find(({ path }) => path === this.ordinaryPath(task)) ?? files[0])
    if (!chosen) return null
    return chosen.streams.find((stream) => stream.generation === gen) ?? null
  }

  byId(id) {
    return this.streams?.find((stream) => stream.id === id) ?? null
  }

  /** The generation of the same file that came after, or before; null where there is none. */
  next(stream) {
    return this.#generations(stream).findLast(({ generation }) => generation > stream.generation) ?? null
  }

  previous(stream) {
    return this.#generations(stream).find(({ generation }) => generation < stream.generation) ?? null
  }

  newest(stream) {
    return this.#generations(stream)[0] ?? stream
  }

  ordinaryPath(task) {
    return ownPath(this.id, task)
  }

  /** How an address names a stream. */
  placeOf(stream) {
    return placeOf(stream)
  }

  /** How an address names a stream, and no line of it. */
  startOf(stream) {
    return { ...this.placeOf(stream), line: null, lineEnd: null }
  }

  /** All generations of a file, newest first. */
  #generations({ task, path }) {
    const same = (this.streams ?? []).filter((stream) => stream.task === task && stream.path === path)
    return same.sort((a, b) => b.generation - a.generation)
  }

  /** Worker 0's own log, its newest generation; else the first log there is. */
  #first() {
    for (const task of ['worker-0', ...this.tasks]) {
      const file = this.tree(task)[0]?.files[0]
      if (file) return file.streams[0]
    }
    return null
  }
}

/** How an address names a stream: `file` is left out for a task's own log. */
export function placeOf({ job, task, path, generation }) {
  return { task, file: path === ownPath(job, task) ? '' : path, gen: generation }
}

function ownPath(job, task) {
  return `modelarts-job-${job}-${task}.log`
}
