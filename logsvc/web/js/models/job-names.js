/** Names of jobs of which only the id is known; asked for one by one, by whoever shows them. */

import { Model } from './model.js'

export class JobNames extends Model {
  constructor({ http }) {
    super()
    Object.assign(this, { http, names: new Map() })
  }

  /** A job's name; "" while it is not known, and where it has none. */
  get(job) {
    if (!this.names.has(job)) this.#ask(job)
    return this.names.get(job)
  }

  async #ask(job) {
    this.names.set(job, '')
    try {
      const { name } = await this.http.job(job)
      this.names.set(job, name ?? '')
      this.changed()
    } catch {
      this.names.delete(job) // asked for again when it is shown again
    }
  }
}
