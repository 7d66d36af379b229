/**
 * The text of many lines for the clipboard, also of lines that are not in the page.
 *
 * It is what the rows show: progress folded, no colours, controls by their visible names.
 */

import { fillClipboard } from '../helpers/clipboard.js'
import { Model, wasAborted } from '../models/model.js'
import { shownText } from './rows.js'

export const MOST_COPIED_BYTES = 32 * 1024 * 1024
const PAGE_LINES = 5000

/**
 * Fires `change`; `state` is null, or one of `{name: 'collecting', done, total}`, `{name: 'ready', lines, text}`
 * (the browser wants a click before it takes the text), `{name: 'copied', lines}`, `{name: 'tooMuch', bytes}`,
 * `{name: 'failed', error}`.
 */
export class Copying extends Model {
  /** @param {{log: object, optionsOf: (line: object) => object}} options optionsOf: how a line is shown, as `shownText` takes it */
  constructor({ log, optionsOf }) {
    super()
    Object.assign(this, { log, optionsOf, state: null, request: null })
  }

  /** The text if all its lines are at hand, else null. */
  atHand(range) {
    const texts = []
    for (let row = range.first.row; row <= range.last.row; row += 1) {
      const line = this.log.lineAt(row)
      if (!line || line.cut) return null
      texts.push(this.#textIn(line, row, range))
    }
    return texts.join('\n')
  }

  /** Fetches the lines, then fills the clipboard; no range: there is nothing to copy. */
  async copy(range) {
    this.cancel()
    if (!range) return undefined
    const request = new AbortController()
    const { signal } = request
    this.request = request
    const lines = range.last.row - range.first.row + 1
    this.#set({ name: 'collecting', done: 0, total: lines })
    try {
      const bytes = await this.#sizeOf(range, signal)
      if (bytes > MOST_COPIED_BYTES) return this.#set({ name: 'tooMuch', bytes })
      const text = await this.#collect(range, signal)
      await this.write({ text, lines })
    } catch (error) {
      if (!wasAborted(error)) this.#set({ name: 'failed', error })
    }
    return undefined
  }

  /** Fills the clipboard; where the browser refuses without a click, `ready` asks for one. */
  async write({ text, lines }) {
    const written = await fillClipboard(text)
    this.#set(written ? { name: 'copied', lines } : { name: 'ready', text, lines })
  }

  cancel() {
    this.request?.abort()
    this.request = null
    this.#set(null)
  }

  #set(state) {
    this.state = state
    this.changed()
  }

  async #sizeOf({ first, last }, signal) {
    const [start, stop] = await Promise.all([first, last].map(({ row }) => this.#line(row, signal)))
    if (!start || !stop) return 0
    return (stop.offset ?? 0) + (stop.size_bytes ?? stop.text.length) - start.offset
  }

  async #line(row, signal) {
    const held = this.log.lineAt(row)
    if (held && held.offset !== null) return held
    return (await this.log.linesFrom(row, 1, signal)).lines[0] ?? null
  }

  async #collect(range, signal) {
    const texts = []
    const total = range.last.row - range.first.row + 1
    for (let row = range.first.row; row <= range.last.row; ) {
      const { lines } = await this.log.linesFrom(row, Math.min(PAGE_LINES, range.last.row - row + 1), signal)
      if (!lines.length) break
      for (const line of lines) {
        texts.push(this.#textIn(line.cut ? await this.#whole(line, signal) : line, row, range))
        row += 1
      }
      this.#set({ name: 'collecting', done: texts.length, total })
    }
    return texts.join('\n')
  }

  async #whole(line, signal) {
    const text = await this.log.http.rawText(this.log.stream.id, line.offset, line.offset + line.size_bytes, { signal })
    return { ...line, text }
  }

  #textIn(line, row, { first, last }) {
    const text = shownText(line, this.optionsOf(line))
    return text.slice(row === first.row ? first.offset : 0, row === last.row ? last.offset : undefined)
  }
}
