/** The lines that the reader chose by their numbers: one, or several in a row. */

export class LineRange {
  /** @param {{log: object, onSelect: (first: number, last: number|null) => void}} options onSelect: the reader chose others */
  constructor({ log, onSelect }) {
    Object.assign(this, { log, onSelect, first: null, last: null })
    this.from = null // where the choice began
    this.to = null // and the end that moves
  }

  /** Takes over a choice that was made elsewhere: by the address. Returns: whether it is another one. */
  set(first, last) {
    if (first === this.first && last === this.last) return false
    Object.assign(this, { first, last, from: first, to: last })
    return true
  }

  has(n) {
    return n !== null && this.first !== null && n >= this.first && n <= this.last
  }

  /** Number of the line in a row; null where it is not known yet. */
  lineOf(row) {
    return this.log.lineAt(row)?.n ?? (this.log.lines === 'all' ? row + 1 : null)
  }

  /** Line `n` was clicked; `upTo`: the choice reaches from where it began to there. */
  choose(n, { upTo = false } = {}) {
    this.#choose(upTo ? (this.from ?? n) : n, n)
  }

  /** Moves the end by so many rows; begins at `row` where there is none. Returns: the end's row, null where it is not known. */
  extend(rows, row) {
    const at = this.to === null ? row : this.#rowOf(this.to, row) + rows
    const end = Math.max(0, Math.min(this.log.count - 1, at))
    const n = this.lineOf(end)
    if (n === null) return null
    this.#choose(this.from ?? n, n)
    return end
  }

  /** The chosen rows, from the start of the first to the end of the last; null where all of them are hidden. */
  async rows() {
    const first = await this.#locate(this.first)
    const last = (await this.#locate(this.last + 1)) - 1
    return last < first ? null : { first: { row: first, offset: 0 }, last: { row: last, offset: Infinity } }
  }

  /** Row of the first line shown at or after line `n`, or behind the last. */
  async #locate(n) {
    if (n > this.log.totalLines) return this.log.count
    const row = await this.log.locate(n)
    if (this.log.lines === 'all') return row
    const { lines } = await this.log.linesFrom(row, 1)
    return lines.length && lines[0].n < n ? row + 1 : row
  }

  #choose(from, to) {
    Object.assign(this, { from, to, first: Math.min(from, to), last: Math.max(from, to) })
    this.onSelect(this.first, this.last > this.first ? this.last : null)
  }

  #rowOf(n, near) {
    if (this.log.lines === 'all') return n - 1
    for (let row = Math.max(0, near - 200); row < near + 400; row += 1) if (this.log.lineAt(row)?.n === n) return row
    return near
  }
}
