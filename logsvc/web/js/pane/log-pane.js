/**
 * The log pane: shows the rows around one position of a log of any length.
 *
 * Only the rows on screen and a few either side are elements. The position is `top`: a row number
 * with a fraction of that row's height, so that 100 million rows are as exact as ten.
 */

import { perFrame } from '../helpers/timing.js'
import { Overview } from '../models/overview.js'
import { CopyNotice } from './copy-notice.js'
import { Copying } from './copying.js'
import { LineRange } from './line-range.js'
import { Minimap } from './minimap.js'
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
    Object.assign(this, { top: 0, wrap: false, times: false, start: null, revealed: null, toShow: null, timeLine: null, rawLines: new Set() })
    this.overview = new Overview({ log, search })
    this.#build()
    this.redraw = perFrame(() => this.#draw())
    this.#listen()
    this.redraw()
  }

  // --- what others ask of it

  /** Number of the first line on screen (1 where none is known). */
  get topLine() {
    const row = Math.floor(this.top + 0.5)
    return this.lineRange.lineOf(row) ?? this.#nearestLine(row)
  }

  /** The selected line's number, null where none is selected or it is not on screen. */
  get selectedInView() {
    const shown = this.list.all().some(({ row, shown: { selected } }) => selected && row >= this.top - 1 && row < this.top + this.#rowsInView())
    return shown ? this.lineRange.first : null
  }

  /** First and last row on screen, from 0; in full view where none wraps. */
  get shownRows() {
    const most = Math.max(0, this.log.count - 1)
    if (!this.wrap) return { first: Math.ceil(this.top - 0.01), last: Math.min(most, Math.max(0, Math.floor(this.top + this.#rowsInView()) - 1)) }
    const bottom = this.list.topAt(this.list.pixelOf(this.top) + this.view.clientHeight - 1)
    return { first: Math.min(most, Math.floor(this.top)), last: Math.min(most, Math.floor(bottom)) }
  }

  /** How far down the log its last row on screen is, 0-1, and when the first line on screen was received (null: not known). */
  get place() {
    const { first, last } = this.shownRows
    return { share: this.log.count ? (last + 1) / this.log.count : 1, receivedAt: this.log.lineAt(first)?.received_at ?? null }
  }

  /** Puts a row a third down the screen, unless it is well in view; or at the top. */
  showRow(row, { reveal = false, atTop = false } = {}) {
    const inView = this.#rowsInView()
    if (atTop) {
      this.log.setFollowing(false)
      this.top = row
    } else if (row < this.top + 1 || row > this.top + inView - 3) {
      this.log.setFollowing(false)
      this.top = Math.max(0, row - Math.floor(inView / 3))
    } else if (row < this.log.count - 1) {
      this.log.setFollowing(false)
    }
    this.revealed = reveal || this.revealed === row ? row : null
    this.redraw()
  }

  /** Jumps to line `n`. */
  async showLine(n, options) {
    const row = await this.log.locate(n)
    this.showRow(row, options)
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
      const { first, last } = this.shownRows
      const line = this.lineRange.extend(rows, rows > 0 ? first : last)
      if (line !== null) this.#reach(line)
    } else {
      this.selection.extend(rows)
      this.#reach(this.selection.head.row)
    }
  }

  /** As `extendSelection`, by whole screens. */
  extendPages(count) {
    this.extendSelection(count * Math.max(1, Math.floor(this.#rowsInView()) - 2))
  }

  /** Chooses the next error line after where the reader stands, or with −1 the one before. */
  async showError(direction) {
    const from = this.selectedInView ?? (direction > 0 ? this.topLine - 1 : this.topLine)
    const n = await this.overview.error(from, direction)
    if (n !== null) this.onSelect(n, null)
  }

  setColumns({ wrap, times }) {
    if (wrap === this.wrap && times === this.times) return
    Object.assign(this, { wrap, times })
    this.host.classList.toggle('is-wrapped', wrap)
    this.host.classList.toggle('has-times', times)
    this.top = Math.floor(this.top)
    this.redraw()
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

  scrollRows(count) {
    this.#scrollPixels(count * ROW_PX)
  }

  scrollPages(count) {
    this.#scrollPixels(count * Math.max(ROW_PX, this.view.clientHeight - 2 * ROW_PX))
  }

  toStart() {
    this.log.setFollowing(false)
    this.top = 0
    this.redraw()
  }

  toEnd() {
    this.log.setFollowing(true)
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
    this.selection = new TextSelection({
      view: this.view,
      list: this.list,
      rowCount: () => this.log.count,
      onScroll: (px) => this.#scrollPixels(px),
      onChange: () => this.selection.empty || this.log.setFollowing(false), // new lines must not push away what the reader is marking
    })
    this.copying = new Copying({ log: this.log, optionsOf: (line) => this.#shownAs(line) })
    this.notice = new CopyNotice({ copying: this.copying, words: () => this.words })
    this.minimap = new Minimap({
      overview: this.overview,
      rowCount: () => this.log.count,
      onRow: (row) => this.#scrollTo(row - this.#rowsInView() / 2),
      onMark: (kind, row) => this.#showMark(kind, row),
      describe: (counts) => this.words.mapPart(counts),
    })
    this.scroller = new Scroller({
      view: this.view,
      label: this.words.scrollbar,
      controls: this.view.id,
      onPixels: (px) => this.#scrollPixels(px),
      onFraction: (fraction) => this.#scrollTo(fraction * this.#lastTop()),
      onPage: (direction) => this.scrollPages(direction),
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
    this.view.addEventListener('scroll', () => this.#absorbScroll(), { signal })
    this.list.element.addEventListener('click', (event) => this.#click(event), { signal })
    document.addEventListener('copy', (event) => this.#copy(event), { signal })
  }

  // --- scrolling

  #rowsInView() {
    return this.viewport.rows
  }

  /** Highest `top`; with wrapped lines known only once the end is on screen. */
  #lastTop() {
    return this.wrap && this.endTop?.count === this.log.count ? this.endTop.top : Math.max(0, this.log.count - this.#rowsInView())
  }

  #scrollPixels(px) {
    if (!px || !this.log.ready) return
    if (px < 0 && this.top > 0) this.log.setFollowing(false)
    if (this.wrap) this.top = this.list.topAt(this.list.pixelOf(this.top) + px)
    else this.top += px / ROW_PX
    this.#settle()
  }

  #scrollTo(top) {
    this.log.setFollowing(false)
    this.top = top
    this.#settle()
  }

  #settle() {
    const last = this.#lastTop()
    this.top = Math.max(0, this.wrap ? Math.min(this.top, this.log.count) : Math.min(this.top, last))
    if (!this.wrap && this.top >= last - 0.01 && this.selection.empty) this.log.setFollowing(true)
    this.redraw()
  }

  /** The browser scrolls the view itself, for focus or where a phone's selection is dragged. */
  #absorbScroll() {
    const px = this.view.scrollTop
    if (this.view.scrollLeft !== this.scrolledLeft) this.redraw() // long rows grow to the right
    this.scrolledLeft = this.view.scrollLeft
    if (!px) return
    this.view.scrollTop = 0
    this.#scrollPixels(px)
  }

  /** Scrolls just so far that a row is in view. */
  #reach(row) {
    const { first, last } = this.shownRows
    if (row < first) this.#scrollPixels((row - this.top) * ROW_PX)
    else if (row > last) this.#scrollPixels((row + 1 - this.#rowsInView() - this.top) * ROW_PX)
    this.redraw()
  }

  #placed(row) {
    this.selection.clear() // its rows are others now
    if (row !== null) this.top = Math.max(0, row - this.anchorOffset)
    this.redraw()
  }

  /** Line to stay at when rows are counted anew; remembers how far down the screen it stands. */
  anchor() {
    const { first, last } = this.shownRows
    for (let row = first; row <= last; row += 1) {
      const line = this.log.lineAt(row)
      if (line && !line.system) {
        this.anchorOffset = row - this.top
        return line.n
      }
    }
    this.anchorOffset = 0
    return this.log.count ? this.topLine : null
  }

  #nearestLine(row) {
    for (let distance = 1; distance < 100; distance += 1) {
      const line = this.log.lineAt(row + distance) ?? this.log.lineAt(row - distance)
      if (line) return line.n
    }
    return 1
  }

  // --- drawing

  #draw() {
    const { log } = this
    if (!log.ready) return
    if (this.toShow !== null) this.#showSelected()
    if (log.following) this.top = this.#lastTop()
    else if (!this.wrap) this.top = Math.min(this.top, this.#lastTop())
    this.top = Math.max(0, Math.min(this.top, log.count))
    this.host.style.setProperty('--digits', String(Math.max(4, String(log.totalLines).length)))
    this.#drawRows()
    this.selection.draw()
    this.#reveal()
    this.#showPlace()
    this.onDraw?.()
  }

  #drawRows() {
    const plain = this.viewport.plainRows(this.top)
    if (!this.wrap) this.#drawBetween(plain)
    else if (!this.#drawBetween(this.viewport.wrappedRows(this.top))) this.#drawBetween(plain)
  }

  /** Returns: whether these rows fill the screen, as far as there are any. */
  #drawBetween({ first, end }) {
    this.log.need(first, end)
    this.#askSpans(first, end)
    const columns = this.wrap ? Infinity : this.viewport.columnsInReach
    if (!this.list.draw(first, end, (row) => this.#shownAt(row), columns)) this.redraw()
    return this.#move(first, end) >= this.view.clientHeight || (first === 0 && end === this.log.count)
  }

  #showPlace() {
    const { count } = this.log
    const inView = this.#rowsInView()
    const last = this.#lastTop()
    this.scroller.show({ fraction: last > 0 ? Math.min(1, this.top / last) : 0, share: count ? Math.min(1, inView / count) : 1 })
    this.minimap.show({ top: this.top, inView })
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

  /** Puts the rows where they belong. Returns: pixels from the screen's top to the last row's end. */
  #move(first, end) {
    const { list } = this
    if (!this.wrap) {
      list.element.style.transform = `translateY(${(first - this.top) * ROW_PX}px)`
      return (end - this.top) * ROW_PX
    }
    const height = list.element.offsetHeight
    const lowest = height - this.view.clientHeight
    let y = list.pixelOf(this.top)
    if (end === this.log.count && (this.log.following || y >= lowest - 1)) {
      y = Math.max(0, lowest)
      this.top = list.topAt(y)
      this.endTop = { count: this.log.count, top: this.top }
      if (this.selection.empty) this.log.setFollowing(true)
    }
    list.element.style.transform = `translateY(${-y}px)`
    return height - y
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
    if (n === null) this.#scrollTo(row - this.#rowsInView() / 2)
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
