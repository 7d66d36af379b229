/**
 * The log pane: shows the rows around one position of a log of any length.
 *
 * Only the rows on screen and a few either side are elements. The position is `top`: a row number
 * with a fraction of that row's height, so that 100 million rows are as exact as ten.
 */

import { perFrame } from '../helpers/timing.js'
import { createRow, fillRow } from './rows.js'
import { Scroller } from './scroller.js'

const ROW_PX = 20 // as --row in css/pane.css
const OVERSCAN = 6
const NO_SPANS = Object.freeze([])

export class LogPane {
  /**
   * @param {HTMLElement} host empty element that the pane fills
   * @param {object} options
   *   id: of the element with the rows; log, search: models; hrefOf(n): link to a line; onSelect(n): a line number was clicked;
   *   onMore(line): the rest of a cut line is wanted; words: what is written, see `setWords`.
   */
  constructor(host, { id, log, search, hrefOf, onSelect, onMore, words }) {
    Object.assign(this, { host, id, log, search, hrefOf, onSelect, onMore, words })
    Object.assign(this, { top: 0, selected: null, selectedEnd: null, wrap: false, times: false, revealed: null, rawLines: new Set() })
    this.rows = new Map() // row number -> element
    this.#build()
    this.redraw = perFrame(() => this.#draw())
    this.#listen()
    this.redraw()
  }

  // --- what others ask of it

  /** Number of the first line on screen (1 where none is known). */
  get topLine() {
    const row = Math.floor(this.top + 0.5)
    return this.log.lineAt(row)?.n ?? (this.log.lines === 'all' ? row + 1 : this.#nearestLine(row))
  }

  /** The selected line's number, null where none is selected or it is not on screen. */
  get selectedInView() {
    const shown = [...this.rows.values()].some((row) => row.drawn?.selected && row.number >= this.top - 1 && row.number < this.top + this.#rowsInView())
    return shown ? this.selected : null
  }

  /** First and last row in full view, from 0. */
  get shownRows() {
    const last = Math.min(this.log.count, Math.floor(this.top + this.#rowsInView()))
    return { first: Math.ceil(this.top - 0.01), last: Math.max(0, last - 1) }
  }

  /** Puts a row a third down the screen, unless it is well in view. */
  showRow(row, { reveal = false } = {}) {
    const inView = this.#rowsInView()
    if (row < this.top + 1 || row > this.top + inView - 3) {
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

  /** Marks line `n`, or lines [n, last]; null: none. */
  select(n, last = n) {
    Object.assign(this, { selected: n, selectedEnd: last })
    this.redraw()
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
    this.scroller.close()
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
    this.list = document.createElement('div')
    this.list.className = 'pane-rows'
    this.view.append(this.list)
    this.scroller = new Scroller({
      view: this.view,
      label: this.words.scrollbar,
      controls: this.view.id,
      onPixels: (px) => this.#scrollPixels(px),
      onFraction: (fraction) => this.#scrollTo(fraction),
      onPage: (direction) => this.scrollPages(direction),
    })
    this.host.replaceChildren(this.view, this.scroller.bar)
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
    this.list.addEventListener('click', (event) => this.#click(event), { signal })
    this.view.addEventListener('copy', (event) => this.#copy(event), { signal })
    document.addEventListener('selectionchange', () => this.#holdSelection(), { signal })
  }

  // --- scrolling

  #rowsInView() {
    return this.view.clientHeight / ROW_PX
  }

  /** Highest `top`; with wrapped lines known only once the end is on screen. */
  #lastTop() {
    return this.wrap && this.endTop?.count === this.log.count ? this.endTop.top : Math.max(0, this.log.count - this.#rowsInView())
  }

  #scrollPixels(px) {
    if (!px || !this.log.ready) return
    if (px < 0 && this.top > 0) this.log.setFollowing(false)
    if (this.wrap) this.top = this.#topAt(this.#pixelOf(this.top) + px)
    else this.top += px / ROW_PX
    this.#settle()
  }

  #scrollTo(fraction) {
    this.log.setFollowing(false)
    this.top = fraction * this.#lastTop()
    this.#settle()
  }

  #settle() {
    const last = this.#lastTop()
    this.top = Math.max(0, this.wrap ? Math.min(this.top, this.log.count) : Math.min(this.top, last))
    if (!this.wrap && this.top >= last - 0.01) this.log.setFollowing(true)
    this.redraw()
  }

  /** The browser scrolls the view itself when a selection is dragged past its edge, or for focus. */
  #absorbScroll() {
    const px = this.view.scrollTop
    if (!px) return
    this.view.scrollTop = 0
    this.#scrollPixels(px)
  }

  #placed(row) {
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
    const count = log.count
    const inView = this.#rowsInView()
    if (log.following) this.top = this.#lastTop()
    else if (!this.wrap) this.top = Math.min(this.top, this.#lastTop())
    this.top = Math.max(0, Math.min(this.top, count))
    const start = this.wrap && log.following ? count - Math.ceil(inView) : Math.floor(this.top)
    const first = Math.max(0, start - OVERSCAN)
    const end = Math.min(count, start + Math.ceil(inView) + 1 + OVERSCAN)
    log.need(first, end)
    this.#askSpans(first, end)
    this.#drawRows(first, end)
    this.#move(first, end)
    this.#reveal()
    const last = this.#lastTop()
    this.scroller.show({ fraction: last > 0 ? Math.min(1, this.top / last) : 0, share: count ? Math.min(1, inView / count) : 1 })
    this.onDraw?.()
  }

  #drawRows(first, end) {
    for (const [number, row] of this.rows) {
      if (number >= first && number < end) continue
      row.remove()
      this.rows.delete(number)
    }
    this.host.style.setProperty('--digits', String(Math.max(4, String(this.log.totalLines).length)))
    let before = null
    for (let number = first; number < end; number += 1) {
      let row = this.rows.get(number)
      if (!row) {
        row = createRow()
        row.number = number
        this.rows.set(number, row)
        if (before) before.after(row)
        else this.list.prepend(row)
      }
      this.#fill(row, number)
      before = row
    }
  }

  #fill(row, number) {
    const line = this.log.lineAt(number)
    const n = line?.n ?? (this.log.lines === 'all' ? number + 1 : null)
    fillRow(row, {
      line,
      spans: (line && this.search.spansOf(line)) || NO_SPANS,
      number: n,
      href: n === null ? '' : this.hrefOf(n),
      selected: n !== null && this.selected !== null && n >= this.selected && n <= this.selectedEnd,
      current: n !== null && n === this.search.current?.n,
      end: line?.cut ? this.log.endOf(line) : '',
      raw: n !== null && this.rawLines.has(n),
      times: this.times,
      words: this.words,
    })
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

  #move(first, end) {
    if (!this.wrap) {
      this.list.style.transform = `translateY(${(first - this.top) * ROW_PX}px)`
      return
    }
    const lowest = this.list.offsetHeight - this.view.clientHeight
    let y = this.#pixelOf(this.top)
    if (end === this.log.count && (this.log.following || y >= lowest - 1)) {
      y = Math.max(0, lowest)
      this.top = this.#topAt(y)
      this.endTop = { count: this.log.count, top: this.top }
      this.log.setFollowing(true)
    }
    this.list.style.transform = `translateY(${-y}px)`
  }

  /** Wrapped lines differ in height: where a position lies within the rows that are elements. */
  #pixelOf(top) {
    const row = this.rows.get(Math.floor(top))
    return row ? row.offsetTop + (top - Math.floor(top)) * row.offsetHeight : 0
  }

  #topAt(y) {
    const rows = [...this.rows.values()].sort((a, b) => a.number - b.number)
    if (!rows.length) return 0
    if (y < 0) return Math.max(0, rows[0].number + y / ROW_PX)
    const row = rows.find(({ offsetTop, offsetHeight }) => y < offsetTop + offsetHeight)
    if (row) return row.number + (y - row.offsetTop) / row.offsetHeight
    const lastRow = rows[rows.length - 1]
    return lastRow.number + 1 + (y - lastRow.offsetTop - lastRow.offsetHeight) / ROW_PX
  }

  /** Scrolls sideways to a hit, once its row is there. */
  #reveal() {
    const row = this.revealed === null ? null : this.rows.get(this.revealed)
    if (!row?.drawn?.line) return
    const mark = row.querySelector('mark')
    if (this.search.spansOf(row.drawn.line)?.length && !mark && !row.querySelector('.has-hit')) return
    this.revealed = null
    if (!mark) return
    const gutter = row.firstChild.getBoundingClientRect().right
    const box = mark.getBoundingClientRect()
    const view = this.view.getBoundingClientRect()
    if (box.left < gutter || box.right > view.right - 20) this.view.scrollLeft += box.left - gutter - (view.right - gutter) / 3
  }

  // --- clicks, selection, copy

  #click(event) {
    const row = event.target.closest('.row')
    const line = row?.drawn?.line
    const action = event.target.closest('.row-button')?.dataset.action
    if (action === 'raw') {
      if (!this.rawLines.delete(line.n)) this.rawLines.add(line.n)
      this.redraw()
    } else if (action === 'more') {
      this.onMore(line)
    } else if (event.target.closest('.row-number') && row.drawn.number !== null && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault()
      this.onSelect(row.drawn.number)
    }
  }

  /** New lines must not push away what the reader is marking. */
  #holdSelection() {
    const selection = document.getSelection()
    if (!this.log.following || selection.isCollapsed || !this.list.contains(selection.anchorNode)) return
    this.log.setFollowing(false)
  }

  #copy(event) {
    const selection = document.getSelection()
    if (selection.rangeCount !== 1 || selection.isCollapsed) return
    const range = selection.getRangeAt(0)
    const texts = [...this.list.children].filter((row) => range.intersectsNode(row.parts.text)).map((row) => selectedText(row.parts.text, range))
    if (texts.length < 2) return
    event.clipboardData.setData('text/plain', texts.join('\n'))
    event.preventDefault()
  }
}

function selectedText(node, range) {
  const part = document.createRange()
  part.selectNodeContents(node)
  if (node.contains(range.startContainer)) part.setStart(range.startContainer, range.startOffset)
  if (node.contains(range.endContainer)) part.setEnd(range.endContainer, range.endOffset)
  return part.toString()
}
