/** The one place that calls the service over HTTP. */

const BASE = new URL('api/v1/', document.baseURI)

/** An answer that is no answer; `code` as in docs/http-api.md, or "network" where none came. */
export class ApiError extends Error {
  constructor({ status = 0, code, message, detail = null }) {
    super(message)
    Object.assign(this, { name: 'ApiError', status, code, detail })
  }
}

/**
 * Fires `unauthorized` on a 401, `lost` when the service does not answer, `found` when it does again.
 */
export class Http extends EventTarget {
  constructor() {
    super()
    this.lost = false
  }

  jobs(filters, options) {
    return this.#json('jobs', filters, options)
  }

  job(job, options) {
    return this.#json(`jobs/${encodeURIComponent(job)}`, {}, options)
  }

  utilization(job, span, options) {
    return this.#json(`jobs/${encodeURIComponent(job)}/utilization`, span, options)
  }

  streams(job, options) {
    return this.#json(`jobs/${encodeURIComponent(job)}/streams`, {}, options)
  }

  lines(stream, window, options) {
    return this.#json(`streams/${encodeURIComponent(stream)}/lines`, window, options)
  }

  matches(stream, query, options) {
    return this.#json(`streams/${encodeURIComponent(stream)}/matches`, query, options)
  }

  overview(stream, query, options) {
    return this.#json(`streams/${encodeURIComponent(stream)}/overview`, query, options)
  }

  search(query, options) {
    return this.#json('search', query, options)
  }

  /** Bytes [start, end) of a stream, as text. */
  async rawText(stream, start, end, options) {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await this.rawBytes(stream, start, end, options))
  }

  async rawBytes(stream, start, end, options = {}) {
    const url = this.rawUrl(stream)
    const answer = await this.#send(url, { ...options, headers: { Range: `bytes=${start}-${end - 1}` } })
    return new Uint8Array(await answer.arrayBuffer())
  }

  rawUrl(stream) {
    return new URL(`streams/${encodeURIComponent(stream)}/raw`, BASE)
  }

  /** Verbatim bytes, to be saved as a file. */
  saveUrl(stream) {
    return `${this.rawUrl(stream).href}?download=1`
  }

  /** The page with a log's full text. */
  plainUrl(stream, options) {
    return new URL(`plain/${encodeURIComponent(stream)}?${new URLSearchParams(options)}`, document.baseURI).href
  }

  /** Files of a job as a zip: those of `task` and `stream`, lists; all where neither is given. */
  downloadUrl(job, { task = [], stream = [] } = {}) {
    const query = new URLSearchParams([...task.map((name) => ['task', name]), ...stream.map((id) => ['stream', id])]).toString()
    return new URL(`jobs/${encodeURIComponent(job)}/download${query && `?${query}`}`, BASE).href
  }

  async #json(path, parameters, options = {}) {
    const url = new URL(path, BASE)
    for (const [name, value] of Object.entries(parameters)) {
      for (const one of [value].flat()) if (one !== undefined && one !== null && one !== '') url.searchParams.append(name, one)
    }
    const answer = await this.#send(url, options)
    try {
      return await answer.json()
    } catch (error) {
      throw this.#broken(error)
    }
  }

  async #send(url, { signal, headers } = {}) {
    let answer
    try {
      answer = await fetch(url, { signal, headers, credentials: 'same-origin', cache: 'no-store' })
    } catch (error) {
      throw this.#broken(error)
    }
    this.#setLost(false)
    if (answer.ok) return answer
    const body = await answer.json().catch(() => ({}))
    if (answer.status === 401) this.dispatchEvent(new Event('unauthorized'))
    throw new ApiError({
      status: answer.status,
      code: body.error?.code ?? `http_${answer.status}`,
      message: body.error?.message ?? answer.statusText,
      detail: body.error?.detail ?? null,
    })
  }

  /** No answer, or one that broke off. */
  #broken(error) {
    if (error.name === 'AbortError') return error
    this.#setLost(true)
    return new ApiError({ code: 'network', message: String(error.message ?? error) })
  }

  #setLost(lost) {
    if (lost === this.lost) return
    this.lost = lost
    this.dispatchEvent(new Event(lost ? 'lost' : 'found'))
  }
}
