/** What fits on the screen: which rows must be elements for it, and how much of each. */

export const ROW_PX = 20 // as --row in css/tokens.css
const OVERSCAN = 3
const COLUMN_STEP = 1024
const LEAST_CH_PX = 6 // no character of the log's font is narrower
const UNCERTAINTY = 2 // a text takes so many times less room than its length says: controls, combining marks

export class Viewport {
  /** @param {{view: HTMLElement, log: object}} options */
  constructor({ view, log }) {
    Object.assign(this, { view, log })
  }

  /** Rows of one line's height that fit. */
  get rows() {
    return this.view.clientHeight / ROW_PX
  }

  /** Characters of a row that does not wrap which are in view or near it. */
  get columnsInReach() {
    const seen = (this.view.scrollLeft + 2 * this.view.clientWidth) / LEAST_CH_PX
    return COLUMN_STEP * Math.ceil(seen / COLUMN_STEP)
  }

  /** Rows on screen and a few either side, where each is one line high; enough of them in any case. */
  plainRows(top) {
    const { count, following } = this.log
    const fit = Math.ceil(this.rows)
    const start = following ? Math.min(Math.floor(top), count - fit) : Math.floor(top)
    return { first: Math.max(0, start - OVERSCAN), end: Math.min(count, start + fit + 1 + OVERSCAN) }
  }

  /** Where lines wrap: so many rows as likely fill the screen and one above it. */
  wrappedRows(top) {
    const { count, following } = this.log
    const lines = Math.ceil(this.rows) + OVERSCAN
    const start = following ? count : Math.min(count - 1, Math.floor(top))
    let first = start
    for (let left = lines; left > 0 && first > 0; ) left -= this.#linesIn((first -= 1))
    let end = start
    for (let left = lines; left > 0 && end < count; end += 1) left -= this.#linesIn(end)
    return { first, end }
  }

  #linesIn(row) {
    const columns = this.view.clientWidth / LEAST_CH_PX
    return Math.max(1, Math.floor((this.log.lineAt(row)?.text.length ?? 0) / columns / UNCERTAINTY))
  }
}
