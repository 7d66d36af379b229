/**
 * A bounded cache of a log's lines, by row: row 0 is the first line, or the first user line.
 *
 * Whoever shows rows says which (`need`); pages around them are fetched, at most two at a time,
 * newest wish first. Pages used longest ago are dropped, never those on screen or beside it.
 */

import { Model, wasAborted } from './model.js'

const PAGE_ROWS = 100
const MOST_PAGES = 96 // ~10,000 lines
const MOST_CHARACTERS = 16 * 1024 * 1024 // whichever comes first; lines may be 64 KiB long
const MOST_REQUESTS = 2
const RETRY_MS = 2000

export class LineWindow extends Model {
  /** @param {(row: number, limit: number, signal: AbortSignal) => Promise<object[]>} fetchRows lines from a row on */
  constructor({ fetchRows, rowOf }) {
    super()
    Object.assign(this, { fetchRows, rowOf, error: null, count: 0, characters: 0 })
    this.pages = new Map() // page number -> {rows: Map row -> line, characters}; in order of use
    this.wanted = []
    this.kept = { first: 0, last: -1 } // pages on screen and beside it
    this.requests = new Map() // page number -> AbortController
    this.retryTimer = null
    this.closed = false
  }

  get(row) {
    return this.pages.get(pageOf(row))?.rows.get(row) ?? null
  }

  put(line) {
    const row = this.rowOf(line)
    if (row < 0) return
    const number = pageOf(row)
    const page = this.#page(number)
    const more = line.text.length - (page.rows.get(row)?.text.length ?? 0)
    page.characters += more
    this.characters += more
    page.rows.set(row, line)
    this.#trim(number)
  }

  /** Rows [first, end) are or will soon be on screen; a page either side is fetched ahead. */
  need(first, end, count) {
    if (end <= first) return
    const firstPage = pageOf(first)
    const lastPage = pageOf(end - 1)
    const shown = range(firstPage, lastPage)
    const around = [lastPage + 1, firstPage - 1].filter((page) => page >= 0 && page * PAGE_ROWS < count)
    this.count = count
    this.wanted = [...shown.filter((page) => this.#missing(page, first, end) !== null), ...around.filter((page) => this.#missing(page) !== null)]
    this.kept = { first: firstPage - 1, last: lastPage + 1 }
    for (const page of [...around, ...shown]) this.#touch(page)
    this.#trim(lastPage)
    this.#makeWay(shown)
    this.#pump()
  }

  retry() {
    clearTimeout(this.retryTimer)
    this.retryTimer = null
    this.#pump()
  }

  close() {
    this.closed = true
    clearTimeout(this.retryTimer)
    for (const request of this.requests.values()) request.abort()
    this.pages.clear()
  }

  /** Who jumps somewhere else does not wait for what was left behind. */
  #makeWay(shown) {
    if (this.requests.size < MOST_REQUESTS || !this.wanted.some((page) => shown.includes(page))) return
    for (const [number, request] of this.requests) {
      if (this.#isKept(number)) continue
      this.requests.delete(number)
      request.abort()
    }
  }

  #pump() {
    while (!this.closed && this.retryTimer === null && this.requests.size < MOST_REQUESTS) {
      const page = this.wanted.find((number) => !this.requests.has(number))
      if (page === undefined) return
      this.#fetch(page)
    }
  }

  async #fetch(number) {
    const start = this.#missing(number)
    this.wanted = this.wanted.filter((page) => page !== number)
    if (start === null) return
    const request = new AbortController()
    this.requests.set(number, request)
    try {
      const lines = await this.fetchRows(start, (number + 1) * PAGE_ROWS - start, request.signal)
      if (this.closed) return
      for (const line of lines) this.put(line)
      this.error = null
      // an answer may end early, at 8 MiB of text: the next `need` asks for the rest
    } catch (error) {
      if (wasAborted(error) || this.closed) return
      this.error = error
      this.wanted.unshift(number)
      this.retryTimer ??= setTimeout(() => this.retry(), RETRY_MS)
    } finally {
      if (this.requests.get(number) === request) this.requests.delete(number)
      if (!this.closed) {
        this.changed()
        this.#pump()
      }
    }
  }

  /** First row of a page (within [first, end)) that is not held, or null. */
  #missing(number, first = 0, end = Infinity) {
    const rows = this.pages.get(number)?.rows
    const from = Math.max(number * PAGE_ROWS, first)
    const to = Math.min((number + 1) * PAGE_ROWS, end, this.count)
    for (let row = from; row < to; row += 1) if (!rows?.has(row)) return row
    return null
  }

  #page(number) {
    if (!this.pages.has(number)) this.pages.set(number, { rows: new Map(), characters: 0 })
    return this.pages.get(number)
  }

  #touch(number) {
    const page = this.pages.get(number)
    if (!page) return
    this.pages.delete(number)
    this.pages.set(number, page)
  }

  #isKept(number) {
    return number >= this.kept.first && number <= this.kept.last
  }

  #trim(present) {
    if (this.pages.size <= MOST_PAGES && this.characters <= MOST_CHARACTERS) return
    for (const [number, { characters }] of this.pages) {
      if (number === present || this.#isKept(number)) continue
      this.pages.delete(number)
      this.characters -= characters
      if (this.pages.size <= MOST_PAGES && this.characters <= MOST_CHARACTERS) return
    }
  }
}

function pageOf(row) {
  return Math.floor(row / PAGE_ROWS)
}

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}
