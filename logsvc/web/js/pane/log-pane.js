/**
 * The log pane: shows the rows around one position of a log of any length.
 *
 * Only the rows on screen and a few either side are elements. `position` says which these are; whoever
 * scrolls moves it, and the pane draws.
 */

import { perFrame } from '../helpers/timing.js'
import { Overview } from '../models/overview.js'
import { CopyNotice } from './copy-notice.js'
import { Copying } from './copying.js'
import { LineRange } from './line-range.js'
import { Minimap } from './minimap.js'
import { Position } from './position.js'
import { RowList } from './row-list.js'
import { hitBehind } from './rows.js'
import { Scroller } from './scroller.js'
import { TextSelection } from './text-selection.js'
import { ROW_PX, Viewport } from './viewport.js'

const NO_SPANS = Object.freeze([])

export class LogPane {
  /**
   * @param {HTMLElement} host empty element that the pane fills
   * @param {object} options
   *   id: of the element with the rows; log, search: models; hrefOf(n): link to a line;
   *   onSelect(n, last): a line was chosen, or lines n to last (else null); onMore(line, hit): the rest of a cut line is wanted, `hit` as `hitBehind` says;
   *   words: what is written, see `setWords`.
   */
  constructor(host, { id, log, search, hrefOf, onSelect, onMore, words }) {
    Object.assign(this, { host, id, log, search, hrefOf, onSelect, onMore, words })
    Object.assign(this, { times: false, start: null, revealed: null, toShow: null, timeLine: null, rawLines: new Set() })
    this.overview = new Overview({ log, search })
    this.#build()
    this.redraw = perFrame(() => this.#draw())
    this.#listen()
    this.redraw()
  }

  // --- what others ask of it

  /** The selected line's number, null where none is selected or it is not on screen. */
  get selectedInView() {
    const shown = this.list.all().some(({ row, shown: { selected } }) => selected && this.position.sees(row))
    return shown ? this.lineRange.first : null
  }

  /** Jumps to line `n`; `reveal`: also sideways to its hit, `atTop`: as the first on screen. */
  async showLine(n, { reveal = false, atTop = false } = {}) {
    const row = await this.log.locate(n)
    this.position.show(row, { atTop })
    this.revealed = reveal || this.revealed === row ? row : null
  }

  /** Marks line `n`, or lines [n, last], and shows where they begin, unless the reader chose them here; null: none. */
  select(n, last = n) {
    if (this.lineRange.set(n, last)) this.toShow = n
    this.redraw()
  }

  /** Marks the line that stands for a moment in other logs; null: none. */
  markTime(n) {
    if (n === this.timeLine) return
    this.timeLine = n
    this.redraw()
  }

  /** Marks the whole log, for copying. */
  selectAll() {
    this.selection.all()
  }

  /** Returns: whether anything was marked. */
  clearSelection() {
    const marked = !this.selection.empty
    this.selection.clear()
    return marked
  }

  /** Moves the marked text's end, or that of the chosen lines, by so many rows. */
  extendSelection(rows) {
    if (this.selection.empty) {
      const { first, last } = this.position.shownRows
      const row = this.lineRange.extend(rows, rows > 0 ? first : last)
      if (row !== null) this.position.reach(row)
    } else {
      this.selection.extend(rows)
      this.position.reach(this.selection.head.row)
    }
  }

  /** As `extendSelection`, by whole screens. */
  extendPages(count) {
    this.extendSelection(count * Math.max(1, Math.floor(this.viewport.rows) - 2))
  }

  /** Chooses the next error line after where the reader stands, or with −1 the one before. */
  async showError(direction) {
    const from = this.selectedInView ?? (direction > 0 ? this.position.topLine - 1 : this.position.topLine)
    const n = await this.overview.error(from, direction)
    if (n !== null) this.onSelect(n, null)
  }

  setColumns({ wrap, times }) {
    if (wrap === this.position.wrap && times === this.times) return
    this.times = times
    this.host.classList.toggle('is-wrapped', wrap)
    this.host.classList.toggle('has-times', times)
    this.position.setWrap(wrap)
  }

  setWords(words) {
    this.words = words
    this.view.setAttribute('aria-label', words.label)
    this.redraw()
  }

  /** The file goes on from another: {label, href} of the way back, which stands before its first line; null where it does not. */
  setStart(start) {
    this.start = start
    this.redraw()
  }

  focus() {
    this.view.focus({ preventScroll: true })
  }

  close() {
    this.redraw.cancel()
    for (const part of [this.scroller, this.minimap, this.overview, this.selection, this.notice]) part.close()
    this.copying.cancel()
    this.sizes.disconnect()
    this.listening.abort()
    this.host.replaceChildren()
  }

  // --- elements

  #build() {
    this.host.classList.add('pane')
    this.view = document.createElement('div')
    this.view.id = this.id
    this.view.className = 'pane-view'
    this.view.tabIndex = 0
    this.view.setAttribute('role', 'log')
    this.view.setAttribute('aria-live', 'off') // thousands of lines a second are no announcement
    this.view.setAttribute('aria-label', this.words.label)
    this.list = new RowList({ rowPx: ROW_PX })
    this.view.append(this.list.element)
    this.viewport = new Viewport({ view: this.view, log: this.log })
    this.lineRange = new LineRange({ log: this.log, onSelect: (first, last) => this.onSelect(first, last) })
    this.position = new Position({
      log: this.log,
      view: this.view,
      list: this.list,
      viewport: this.viewport,
      lineOf: (row) => this.lineRange.lineOf(row),
      isHeld: () => !this.selection.empty,
      onChange: () => this.redraw(),
    })
    this.selection = new TextSelection({
      view: this.view,
      list: this.list,
      rowCount: () => this.log.count,
      onScroll: (px) => this.position.scrollPixels(px),
      onChange: () => this.selection.empty || this.log.setFollowing(false), // new lines must not push away what the reader is marking
    })
    this.copying = new Copying({ log: this.log, optionsOf: (line) => this.#shownAs(line) })
    this.notice = new CopyNotice({ copying: this.copying, words: () => this.words })
    this.minimap = new Minimap({
      overview: this.overview,
      rowCount: () => this.log.count,
      onRow: (row) => this.position.centre(row),
      onMark: (kind, row) => this.#showMark(kind, row),
      describe: (counts) => this.words.mapPart(counts),
    })
    this.scroller = new Scroller({
      view: this.view,
      label: this.words.scrollbar,
      controls: this.view.id,
      onPixels: (px) => this.position.scrollPixels(px),
      onFraction: (fraction) => this.position.toFraction(fraction),
      onPage: (direction) => this.position.scrollPages(direction),
    })
    this.host.replaceChildren(this.view, this.minimap.element, this.scroller.bar, this.notice.element)
  }

  #listen() {
    this.listening = new AbortController()
    const { signal } = this.listening
    this.sizes = new ResizeObserver(() => this.redraw())
    this.sizes.observe(this.view)
    this.log.addEventListener('change', this.redraw, { signal })
    this.log.addEventListener('place', ({ detail }) => this.#placed(detail.row), { signal })
    this.search.addEventListener('change', this.redraw, { signal })
    this.view.addEventListener('scroll', () => this.position.absorbScroll(), { signal })
    this.list.element.addEventListener('click', (event) => this.#click(event), { signal })
    document.addEventListener('copy', (event) => this.#copy(event), { signal })
  }

  // --- drawing

  #draw() {
    const { log } = this
    if (!log.ready) return
    if (this.toShow !== null) this.#showSelected()
    this.position.keep()
    this.host.style.setProperty('--digits', String(Math.max(4, String(log.totalLines).length)))
    this.#drawRows()
    this.selection.draw()
    this.#reveal()
    this.#showPlace()
    this.onDraw?.()
  }

  #drawRows() {
    const { top, wrap } = this.position
    const plain = this.viewport.plainRows(top)
    if (!wrap) this.#drawBetween(plain)
    else if (!this.#drawBetween(this.viewport.wrappedRows(top))) this.#drawBetween(plain)
  }

  /** Returns: whether these rows fill the screen, as far as there are any. */
  #drawBetween({ first, end }) {
    this.log.need(first, end)
    this.#askSpans(first, end)
    const columns = this.position.wrap ? Infinity : this.viewport.columnsInReach
    if (!this.list.draw(first, end, (row) => this.#shownAt(row), columns)) this.redraw()
    return this.position.lay(first, end) >= this.view.clientHeight || (first === 0 && end === this.log.count)
  }

  #showPlace() {
    const { count } = this.log
    const { top, fraction } = this.position
    const inView = this.viewport.rows
    this.scroller.show({ fraction, share: count ? Math.min(1, inView / count) : 1 })
    this.minimap.show({ top, inView })
  }

  #placed(row) {
    this.selection.clear() // its rows are others now
    if (row !== null) this.position.placeAnchor(row)
    else this.redraw()
  }

  #showSelected() {
    const n = this.toShow
    this.toShow = null
    this.showLine(n).catch(() => {}) // the log says itself that it cannot be read
  }

  #shownAt(row) {
    const line = this.log.lineAt(row)
    const n = this.lineRange.lineOf(row)
    const spans = line ? this.search.spansOf(line) : null
    return {
      line,
      spans: spans?.length ? spans : NO_SPANS,
      number: n,
      href: n === null ? '' : this.hrefOf(n),
      selected: this.lineRange.has(n),
      atTime: n !== null && n === this.timeLine,
      current: n !== null && n === this.search.current?.n,
      ...(line ? this.#shownAs(line) : { end: '', raw: false }),
      times: this.times,
      start: row === 0 ? this.start : null,
      words: this.words,
    }
  }

  #shownAs(line) {
    return { end: line.cut ? this.log.endOf(line) : '', raw: this.rawLines.has(line.n) }
  }

  #askSpans(first, end) {
    if (!this.search.active) return
    let from = null
    let to = null
    for (let row = first; row < end; row += 1) {
      const line = this.log.lineAt(row)
      if (!line || line.partial) continue
      from ??= line.n
      to = line.n
    }
    if (from !== null) this.search.needSpans(from, to)
  }

  /** Scrolls sideways to a hit, once its row is there. */
  #reveal() {
    const row = this.revealed === null ? null : this.list.get(this.revealed)
    if (!row?.shown.line) return
    const mark = row.querySelector('mark')
    if (this.search.spansOf(row.shown.line)?.length && !mark && !row.querySelector('.has-hit')) return
    this.revealed = null
    if (!mark) return
    const gutter = (row.parts.time ?? row.parts.number).getBoundingClientRect().right
    const box = mark.getBoundingClientRect()
    const view = this.view.getBoundingClientRect()
    if (box.left < gutter || box.right > view.right - 20) this.view.scrollLeft += box.left - gutter - (view.right - gutter) / 3
  }

  // --- clicks and copy

  #click(event) {
    const row = event.target.closest('.row')
    const action = event.target.closest('.row-button')?.dataset.action
    const number = event.target.closest('.row-number') ? row.shown.number : null
    if (action === 'raw') {
      const { n } = row.shown.line
      if (!this.rawLines.delete(n)) this.rawLines.add(n)
      this.redraw()
    } else if (action === 'more') {
      this.onMore(row.shown.line, hitBehind(row.shown.line, row.shown.spans))
    } else if (number !== null && !event.ctrlKey && !event.metaKey) {
      event.preventDefault()
      this.selection.clear()
      this.focus()
      this.lineRange.choose(number, { upTo: event.shiftKey })
    }
  }

  async #showMark(kind, row) {
    const n = await this.overview.nearest(kind, row).catch(() => null)
    if (n === null) this.position.centre(row)
    else this.onSelect(n, null)
  }

  /** The marked text, else the chosen lines. */
  async #copy(event) {
    this.selection.read()
    if (event.target.closest?.('input, textarea, dialog') || !this.#copies(document.getSelection())) return
    event.preventDefault()
    const text = this.selection.range && this.copying.atHand(this.selection.range)
    if (text !== null) event.clipboardData.setData('text/plain', text)
    else this.copying.copy(this.selection.range ?? (await this.lineRange.rows()))
  }

  #copies(selection) {
    if (!this.selection.empty) return true
    return selection.isCollapsed && this.lineRange.first !== null && this.host.contains(document.activeElement)
  }
}
