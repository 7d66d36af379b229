/** One job and its streams, kept fresh by asking now and then. */

import { naturalOrder } from '../helpers/format.js'
import { ASCEND_KINDS, filesByKind } from './file-tree.js'
import { Model, wasAborted } from './model.js'

const POLL_MS = 5000
const POLL_SHARE = 10 // a job with many files is asked for more rarely: so many times as long as an answer takes

export class Job extends Model {
  constructor({ http, id }) {
    super()
    Object.assign(this, { http, id, job: null, streams: null, error: null })
    this.byTask = new Map()
    this.trees = new Map()
    this.request = null
    this.timer = null
  }

  start() {
    this.reload()
    return this
  }

  stop() {
    clearTimeout(this.timer)
    this.request?.abort()
    this.request = null
  }

  async reload() {
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    const { signal } = request
    const began = performance.now()
    clearTimeout(this.timer)
    try {
      const [job, { streams }] = await Promise.all([this.http.job(this.id, { signal }), this.http.streams(this.id, { signal })])
      Object.assign(this, { job, error: null })
      this.#takeStreams(streams)
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    } finally {
      if (this.request === request) {
        this.request = null
        this.timer = setTimeout(() => this.#poll(), Math.max(POLL_MS, POLL_SHARE * (performance.now() - began)))
        this.changed()
      }
    }
  }

  get tasks() {
    const named = new Set([...(this.job?.tasks ?? []), ...this.byTask.keys()])
    return [...named].sort(naturalOrder)
  }

  /** [{kind, files: [{path, streams}]}] of a task: only kinds that it has; a file's streams are its generations, newest first. */
  tree(task) {
    if (!this.trees.has(task)) this.trees.set(task, filesByKind(this.byTask.get(task) ?? []))
    return this.trees.get(task)
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

  #poll() {
    if (!document.hidden) return this.reload()
    this.timer = setTimeout(() => this.#poll(), POLL_MS)
    return undefined
  }

  #takeStreams(streams) {
    this.streams = streams
    this.trees.clear()
    this.byTask = new Map()
    for (const stream of streams) {
      if (!this.byTask.has(stream.task)) this.byTask.set(stream.task, [])
      this.byTask.get(stream.task).push(stream)
    }
  }

  /** A task's own log, its newest generation; null where it has none. */
  ownLog(task) {
    const own = this.tree(task).find(({ kind }) => kind === 'ordinary')
    return own?.files[0].streams[0] ?? null
  }

  /** Kinds of Ascend logs that a task should have and does not. */
  missing(task) {
    const ascend = this.job?.accelerator === 'ascend' || (this.streams ?? []).some(({ kind }) => ASCEND_KINDS.includes(kind))
    const has = this.tree(task).map(({ kind }) => kind)
    return ascend ? ASCEND_KINDS.filter((kind) => !has.includes(kind)) : []
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
