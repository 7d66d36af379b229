/**
 * Where the reader stands in a log of any length, and what moves that place.
 *
 * It is `top`: a row number with a fraction of that row's height, so that 100 million rows are as
 * exact as ten. Whoever scrolls up stops following; whoever comes to the end follows.
 */

import { ROW_PX } from './viewport.js'

export class Position {
  /**
   * @param {object} options
   *   log: its model; view: the element that shows a part of the list; list: the rows that are elements; viewport: what fits;
   *   lineOf(row): number of the line in a row, null where it is not known; isHeld(): new lines must not push the rows away;
   *   onChange(): the rows belong elsewhere now.
   */
  constructor({ log, view, list, viewport, lineOf, isHeld, onChange }) {
    Object.assign(this, { log, view, list, viewport, lineOf, isHeld, onChange })
    Object.assign(this, { top: 0, wrap: false, wrappedEnd: null, anchorOffset: 0, scrolledLeft: 0 })
  }

  // --- where it is

  /** Number of the first line on screen (1 where none is known). */
  get topLine() {
    const row = Math.floor(this.top + 0.5)
    return this.lineOf(row) ?? this.#nearestLine(row)
  }

  /** First and last row on screen, from 0; in full view where none wraps. */
  get shownRows() {
    const most = Math.max(0, this.log.count - 1)
    if (!this.wrap) return { first: Math.ceil(this.top - 0.01), last: Math.min(most, Math.max(0, Math.floor(this.top + this.viewport.rows) - 1)) }
    const bottom = this.list.topAt(this.list.pixelOf(this.top) + this.view.clientHeight - 1)
    return { first: Math.min(most, Math.floor(this.top)), last: Math.min(most, Math.floor(bottom)) }
  }

  /** How far down the log its last row on screen is, 0-1. */
  get share() {
    return this.log.count ? (this.shownRows.last + 1) / this.log.count : 1
  }

  /** When the first line on screen was received; null: not known. */
  get receivedAt() {
    return this.log.lineAt(this.shownRows.first)?.received_at ?? null
  }

  /** How far `top` has come on its way, 0-1. */
  get fraction() {
    const last = this.#lastTop()
    return last > 0 ? Math.min(1, this.top / last) : 0
  }

  /** Whether a row is on screen, or a part of it. */
  sees(row) {
    return row >= this.top - 1 && row < this.top + this.viewport.rows
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

  // --- what moves it

  /** Puts a row a third down the screen, unless it is well in view; or at the top. */
  show(row, { atTop = false } = {}) {
    const inView = this.viewport.rows
    const away = row < this.top + 1 || row > this.top + inView - 3
    if (atTop) this.top = row
    else if (away) this.top = Math.max(0, row - Math.floor(inView / 3))
    if (atTop || away || row < this.log.count - 1) this.log.setFollowing(false)
    this.onChange()
  }

  /** Scrolls just so far that a row is in view. */
  reach(row) {
    const { first, last } = this.shownRows
    if (row < first) this.scrollPixels((row - this.top) * ROW_PX)
    else if (row > last) this.scrollPixels((row + 1 - this.viewport.rows - this.top) * ROW_PX)
    this.onChange()
  }

  /** Puts a row in the middle of the screen. */
  centre(row) {
    this.#scrollTo(row - this.viewport.rows / 2)
  }

  toStart() {
    this.log.setFollowing(false)
    this.top = 0
    this.onChange()
  }

  /** To the end, and along with it. */
  toEnd() {
    this.log.setFollowing(true)
    this.onChange()
  }

  toFraction(fraction) {
    this.#scrollTo(fraction * this.#lastTop())
  }

  scrollRows(count) {
    this.scrollPixels(count * ROW_PX)
  }

  scrollPages(count) {
    this.scrollPixels(count * Math.max(ROW_PX, this.view.clientHeight - 2 * ROW_PX))
  }

  scrollPixels(px) {
    if (!px || !this.log.ready) return
    if (px < 0 && this.top > 0) this.log.setFollowing(false)
    if (this.wrap) this.top = this.list.topAt(this.list.pixelOf(this.top) + px)
    else this.top += px / ROW_PX
    this.#settle()
  }

  /** The browser scrolls the view itself, for focus or where a phone's selection is dragged. */
  absorbScroll() {
    const { scrollTop: px, scrollLeft } = this.view
    if (scrollLeft !== this.scrolledLeft) this.onChange() // long rows grow to the right
    this.scrolledLeft = scrollLeft
    if (!px) return
    this.view.scrollTop = 0
    this.scrollPixels(px)
  }

  /** The line that `anchor` gave is in this row now. */
  placeAnchor(row) {
    this.top = Math.max(0, row - this.anchorOffset)
    this.onChange()
  }

  setWrap(wrap) {
    this.wrap = wrap
    this.top = Math.floor(this.top)
    this.onChange()
  }

  // --- for those who draw

  /** Keeps it within the log as it is now, and at its end where that is followed. */
  keep() {
    const { count, following } = this.log
    if (following) this.top = this.#lastTop()
    else if (!this.wrap) this.top = Math.min(this.top, this.#lastTop())
    this.top = Math.max(0, Math.min(this.top, count))
  }

  /** Rows [first, end) are elements: puts them where they belong. Returns: pixels from the screen's top to the last row's end. */
  lay(first, end) {
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
      this.wrappedEnd = { count: this.log.count, top: this.top }
      if (!this.isHeld()) this.log.setFollowing(true)
    }
    list.element.style.transform = `translateY(${-y}px)`
    return height - y
  }

  /** Highest `top`; with wrapped lines known only once the end is on screen. */
  #lastTop() {
    return this.wrap && this.wrappedEnd?.count === this.log.count ? this.wrappedEnd.top : Math.max(0, this.log.count - this.viewport.rows)
  }

  #scrollTo(top) {
    this.log.setFollowing(false)
    this.top = top
    this.#settle()
  }

  #settle() {
    const last = this.#lastTop()
    this.top = Math.max(0, this.wrap ? Math.min(this.top, this.log.count) : Math.min(this.top, last))
    if (!this.wrap && this.top >= last - 0.01 && !this.isHeld()) this.log.setFollowing(true)
    this.onChange()
  }

  #nearestLine(row) {
    for (let distance = 1; distance < 100; distance += 1) {
      const line = this.log.lineAt(row + distance) ?? this.log.lineAt(row - distance)
      if (line) return line.n
    }
    return 1
  }
}
