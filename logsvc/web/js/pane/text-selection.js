/**
 * What the reader marked: from one place in the log to another, also where no row is in the page.
 *
 * A place is `{row, offset}`: a row number and UTF-16 units of that row's text as shown; Infinity is
 * the text's end. The browser's own selection is kept as the part of it that is in the page: so it
 * looks, copies and reads out as any other, and a phone's handles move it.
 */

const WORD = /[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu
const EDGE_PX = 4 // so near to the view's edge a drag scrolls
const SCROLL_PER_SECOND = 40 // pixels for each pixel beyond it
const LONGEST_FRAME_MS = 250

export class TextSelection {
  /**
   * @param {object} options
   *   view: the element that scrolls; list: its RowList; rowCount(): rows of the log;
   *   onScroll(px): a drag is past the edge; onChange(): something else is marked.
   */
  constructor({ view, list, rowCount, onScroll, onChange }) {
    Object.assign(this, { view, list, rowCount, onScroll, onChange, anchor: null, head: null, drag: null })
    this.drawn = null // the browser's selection as it was last set here
    this.listening = new AbortController()
    const { signal } = this.listening
    view.addEventListener('mousedown', (event) => this.#press(event), { signal })
    document.addEventListener('selectionchange', () => this.read(), { signal })
  }

  get empty() {
    return !this.anchor || (this.anchor.row === this.head.row && this.anchor.offset === this.head.offset)
  }

  /** First and last place, in the log's order; null where nothing is marked. */
  get range() {
    if (this.empty) return null
    return isBefore(this.head, this.anchor) ? { first: this.head, last: this.anchor } : { first: this.anchor, last: this.head }
  }

  set(anchor, head) {
    Object.assign(this, { anchor, head })
    this.draw()
    this.onChange()
  }

  all() {
    this.set({ row: 0, offset: 0 }, { row: Math.max(0, this.rowCount() - 1), offset: Infinity })
  }

  clear() {
    if (!this.anchor) return
    Object.assign(this, { anchor: null, head: null })
    this.draw()
    this.onChange()
  }

  /** Moves the end that the reader moves by so many rows. */
  extend(rows) {
    const row = Math.max(0, Math.min(this.rowCount() - 1, this.head.row + rows))
    this.set(this.anchor, { row, offset: this.head.offset })
  }

  close() {
    this.#release()
    this.listening.abort()
  }

  /** Lets the browser mark that part which is in the page; after each drawing of rows. */
  draw() {
    const selection = document.getSelection()
    const part = this.#inPage()
    if (!part) {
      if (this.drawn && this.#isOurs(selection)) selection.removeAllRanges()
      this.drawn = null
      return
    }
    this.drawn = part
    if (!isDrawn(selection, part)) selection.setBaseAndExtent(part.anchor.node, part.anchor.offset, part.head.node, part.head.offset)
  }

  /** Takes over what was done to the browser's selection: by touch, by a key, by a click elsewhere. */
  read() {
    const selection = document.getSelection()
    if (this.drag || (this.drawn ? isDrawn(selection, this.drawn) : !selection.rangeCount)) return
    const anchor = this.#placeOf(selection.anchorNode, selection.anchorOffset)
    const head = this.#placeOf(selection.focusNode, selection.focusOffset)
    if (!anchor || !head || selection.isCollapsed) {
      this.drawn = null
      this.clear()
      return
    }
    const sameAnchor = this.drawn && selection.anchorNode === this.drawn.anchor.node && selection.anchorOffset === this.drawn.anchor.offset
    this.set(sameAnchor ? this.anchor : anchor, head) // the anchor may be far outside of the page
  }

  #inPage() {
    const { range } = this
    const rows = this.list.all()
    if (!range || !rows.length) return null
    const top = rows[0].row
    const bottom = rows[rows.length - 1].row
    if (range.last.row < top || range.first.row > bottom) return null
    const clamp = ({ row, offset }) => (row < top ? { row: top, offset: 0 } : row > bottom ? { row: bottom, offset: Infinity } : { row, offset })
    const node = (place) => nodeAt(this.list.get(place.row).parts.text, place.offset)
    return { anchor: node(clamp(this.anchor)), head: node(clamp(this.head)) }
  }

  #isOurs(selection) {
    return selection.rangeCount > 0 && this.list.element.contains(selection.anchorNode)
  }

  #placeOf(node, offset) {
    const row = (node?.nodeType === Node.ELEMENT_NODE ? node : node?.parentElement)?.closest('.row')
    if (!row || !this.list.element.contains(row)) return null
    return { row: row.row, offset: offsetOf(row.parts.text, node, offset) }
  }

  // --- the mouse

  #press(event) {
    if (event.button !== 0 || event.target.closest('a, button') || !event.target.closest('.pane-rows, .pane-view')) return
    event.preventDefault() // the browser would mark what it has, and lose it with its row
    this.view.focus({ preventScroll: true })
    const place = this.#placeAt(event)
    if (!place) return this.clear()
    const unit = ['word', 'row'][Math.min(event.detail, 3) - 2] ?? 'place'
    const origin = this.#around(place, unit)
    this.drag = { origin: event.shiftKey && this.anchor ? [this.anchor, this.anchor] : origin, unit, event, frame: null, listening: new AbortController() }
    const { signal } = this.drag.listening
    document.addEventListener('mousemove', (moved) => this.#move(moved), { signal })
    document.addEventListener('mouseup', () => this.#release(), { signal })
    window.addEventListener('blur', () => this.#release(), { signal })
    this.#reach(event)
    return undefined
  }

  #move(event) {
    if (!(event.buttons & 1)) return this.#release()
    this.drag.event = event
    this.#reach(event)
    this.drag.frame ??= requestAnimationFrame((now) => this.#beyondEdge(now))
    return undefined
  }

  /** Marks up to the mouse, by whole words or rows where it began with two or three clicks. */
  #reach(event) {
    const place = this.#placeAt(event)
    if (!place) return
    const [from, to] = this.drag.origin
    const [start, end] = this.#around(place, this.drag.unit)
    if (isBefore(start, from)) this.set(to, start)
    else this.set(from, isBefore(end, to) ? to : end)
  }

  /** Scrolls as long as the mouse is held past an edge. */
  #beyondEdge(now) {
    if (!this.drag) return
    this.drag.frame = null
    const { clientX, clientY } = this.drag.event
    const box = this.view.getBoundingClientRect()
    const down = past(clientY, box.top + EDGE_PX, box.bottom - EDGE_PX)
    const right = past(clientX, box.left + EDGE_PX, box.right - EDGE_PX)
    if (!down && !right) {
      this.drag.scrolledAt = null
      return
    }
    const share = (SCROLL_PER_SECOND * Math.min(LONGEST_FRAME_MS, now - (this.drag.scrolledAt ?? now))) / 1000
    this.drag.scrolledAt = now
    if (down) this.onScroll(down * share)
    if (right) this.view.scrollLeft += right * share
    this.#reach(this.drag.event)
    this.drag.frame = requestAnimationFrame((now) => this.#beyondEdge(now))
  }

  #release() {
    if (!this.drag) return
    cancelAnimationFrame(this.drag.frame)
    this.drag.listening.abort()
    this.drag = null
    if (this.empty) this.clear()
  }

  #placeAt({ clientX, clientY }) {
    const box = this.view.getBoundingClientRect()
    const y = Math.min(box.bottom - 1, Math.max(box.top, clientY))
    const rows = this.list.all()
    const row = rows.find((one) => one.getBoundingClientRect().bottom > y) ?? rows[rows.length - 1]
    if (!row) return null
    const text = row.parts.text
    const { top, bottom } = row.getBoundingClientRect()
    if (y >= bottom) return { row: row.row, offset: Infinity }
    const left = row.parts.number.getBoundingClientRect().right
    if (clientX < left && top >= box.top) return { row: row.row, offset: 0 }
    const caret = caretAt(Math.min(box.right - 1, clientX), y)
    if (caret && text.contains(caret.node)) return { row: row.row, offset: offsetOf(text, caret.node, caret.offset) }
    return { row: row.row, offset: clientX <= text.getBoundingClientRect().left ? 0 : Infinity }
  }

  #around(place, unit) {
    if (unit === 'place') return [place, place]
    if (unit === 'row') return [{ row: place.row, offset: 0 }, { row: place.row, offset: Infinity }]
    const text = this.list.get(place.row)?.parts.text.textContent ?? ''
    for (const word of text.matchAll(WORD)) {
      const end = word.index + word[0].length
      if (end >= place.offset) return word.index <= place.offset ? [{ row: place.row, offset: word.index }, { row: place.row, offset: end }] : [place, place]
    }
    return [place, place]
  }
}

function isBefore(a, b) {
  return a.row < b.row || (a.row === b.row && a.offset < b.offset)
}

function past(at, least, most) {
  return at < least ? at - least : at > most ? at - most : 0
}

function isDrawn(selection, { anchor, head }) {
  return selection.anchorNode === anchor.node && selection.anchorOffset === anchor.offset && selection.focusNode === head.node && selection.focusOffset === head.offset
}

/** UTF-16 units of an element's text before a place in it. */
function offsetOf(text, node, offset) {
  const before = document.createRange()
  before.selectNodeContents(text)
  if (before.comparePoint(node, offset) < 0) return 0
  if (before.comparePoint(node, offset) > 0) return Infinity
  before.setEnd(node, offset)
  return before.toString().length
}

function nodeAt(text, offset) {
  let left = offset
  let last = null
  const walk = document.createTreeWalker(text, NodeFilter.SHOW_TEXT)
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (left <= node.data.length) return { node, offset: left }
    left -= node.data.length
    last = node
  }
  return last ? { node: last, offset: last.data.length } : { node: text, offset: 0 }
}

function caretAt(x, y) {
  if (document.caretPositionFromPoint) {
    const caret = document.caretPositionFromPoint(x, y)
    return caret && { node: caret.offsetNode, offset: caret.offset }
  }
  const range = document.caretRangeFromPoint(x, y)
  return range && { node: range.startContainer, offset: range.startOffset }
}
