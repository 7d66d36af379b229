/**
 * The rows that are elements just now: which they are, how they share the nodes and the time that
 * there are, and where a position lies among them.
 */

import { changesText, createRow, nodesWanted, paintRow, prepareRow } from './rows.js'

const MOST_NODES = 960 // of all rows; with what stands around them fewer than 1,000
const ROW_NODES = 5 // of a row without its text: itself, its number, and the element of its text
const TIME_NODES = 2
const EXTRA_NODES = 5 // of the buttons behind a text
const LEAST_TEXT_NODES = 2
const LONG_CHARACTERS = 4096
const FRAME_CHARACTERS = 128 * 1024 // of long lines laid out in one frame; the others follow in the next ones

export class RowList {
  constructor({ rowPx }) {
    this.rowPx = rowPx
    this.element = document.createElement('div')
    this.element.className = 'pane-rows'
    this.rows = new Map() // row number -> element
    this.spare = []
  }

  get(number) {
    return this.rows.get(number)
  }

  /** The rows, from above. */
  all() {
    return [...this.element.children]
  }

  /**
   * Makes rows [first, end) the ones in the page.
   *
   * @param {(number: number) => object} shownAt what stands in a row, as `prepareRow` takes it
   * @param {number} columns characters of each row that may be seen
   * @returns {boolean} whether all are drawn; else call again in the next frame
   */
  draw(first, end, shownAt, columns) {
    this.#drop(first, end)
    let left = FRAME_CHARACTERS
    let whole = true
    let before = null
    for (let number = first; number < end; number += 1) {
      const row = this.rows.get(number) ?? this.#insert(number, before)
      const shown = shownAt(number)
      const characters = shown.line?.text.length ?? 0
      if (characters > LONG_CHARACTERS && changesText(row, shown)) {
        if (left <= 0) {
          shown.line = null
          whole = false
        }
        left -= characters
      }
      prepareRow(row, shown)
      before = row
    }
    this.#paint(columns)
    return whole
  }

  /** Rows differ in height where lines wrap: pixels from the list's top to a position. */
  pixelOf(top) {
    const row = this.rows.get(Math.floor(top))
    return row ? row.offsetTop + (top - Math.floor(top)) * row.offsetHeight : 0
  }

  /** The position so many pixels below the list's top. */
  topAt(y) {
    const rows = this.all()
    if (!rows.length) return 0
    if (y < 0) return Math.max(0, rows[0].row + Math.max(-1, y / this.rowPx)) // what is above is not known yet
    const row = rows.find(({ offsetTop, offsetHeight }) => y < offsetTop + offsetHeight)
    if (row) return row.row + (y - row.offsetTop) / row.offsetHeight
    const last = rows[rows.length - 1]
    return last.row + 1
  }

  #drop(first, end) {
    for (const [number, row] of this.rows) {
      if (number >= first && number < end) continue
      row.remove()
      this.rows.delete(number)
      this.spare.push(row)
    }
  }

  #insert(number, before) {
    const row = this.spare.pop() ?? createRow()
    row.row = number
    this.rows.set(number, row)
    if (before) before.after(row)
    else this.element.prepend(row)
    return row
  }

  /** Colourful rows share what nodes the plain ones leave. */
  #paint(columns) {
    const rows = this.all()
    this.spare.length = Math.min(this.spare.length, rows.length)
    const fixed = rows.reduce((sum, { shown, folded }) => sum + ROW_NODES + (shown.times ? TIME_NODES : 0) + (folded?.folded || shown.line?.cut ? EXTRA_NODES : 0), 0)
    const nodes = fairShare(rows.map(nodesWanted), MOST_NODES - fixed)
    for (const row of rows) paintRow(row, { nodes, columns: row.shown.current ? Infinity : columns }) // a hit may stand far right
  }
}

/** The most that each may have, so that together they have no more than there is. */
export function fairShare(wanted, available) {
  let left = available
  const ascending = [...wanted].sort((a, b) => a - b)
  for (const [i, nodes] of ascending.entries()) {
    const share = left / (ascending.length - i)
    if (nodes > share) return Math.max(LEAST_TEXT_NODES, Math.floor(share))
    left -= nodes
  }
  return Infinity
}
