/** Which files of a job are to be downloaded: all of them until some are left out. */

import { naturalOrder } from '../helpers/format.js'
import { Model } from './model.js'

export class DownloadChoice extends Model {
  constructor(job) {
    super()
    this.job = job
    this.left = new Set() // ids of streams that are left out: what comes meanwhile is in
  }

  /** [{task, streams}] in the order of the job page. */
  get tasks() {
    const grouped = new Map()
    for (const stream of this.#streams) grouped.set(stream.task, [...(grouped.get(stream.task) ?? []), stream])
    return [...grouped].map(([task, streams]) => ({ task, streams })).sort((a, b) => naturalOrder(a.task, b.task))
  }

  isChosen(stream) {
    return !this.left.has(stream.id)
  }

  /** How many of these, and how much. */
  sum(streams = this.#streams) {
    const chosen = streams.filter((stream) => this.isChosen(stream))
    return { count: chosen.length, of: streams.length, bytes: chosen.reduce((sum, { size_bytes: size }) => sum + size, 0) }
  }

  choose(streams, yes) {
    for (const { id } of streams) {
      if (yes) this.left.delete(id)
      else this.left.add(id)
    }
    this.changed()
  }

  chooseAll(yes) {
    this.choose(this.#streams, yes)
  }

  /** Parameters of the download: nothing for all of it, whole tasks by their name. */
  get query() {
    if (this.left.size === 0) return {}
    const query = { task: [], stream: [] }
    for (const { task, streams } of this.tasks) {
      const chosen = streams.filter((stream) => this.isChosen(stream))
      if (chosen.length === streams.length) query.task.push(task)
      else query.stream.push(...chosen.map(({ id }) => id))
    }
    return query
  }

  /** The only file, which needs no zip; null where there are several or none. */
  get single() {
    const chosen = this.#streams.filter((stream) => this.isChosen(stream))
    return chosen.length === 1 ? chosen[0] : null
  }

  get #streams() {
    return this.job.streams ?? []
  }
}
