/** One line of a terminal of endless width: where written text ends up once the cursor has moved about. */

import { PLAIN } from './ansi.js'

const TAB_COLUMNS = 8
const MOST_COLUMNS = 100_000 // a hostile log may ask for a million
const SIMPLE = /^[\x20-\x7e]*$/
const COMBINING = /\p{M}/u
// East Asian wide and fullwidth, and what is an emoji by itself
const WIDE =
  /[\p{Emoji_Presentation}\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\u3247\u3250-\ua4c6\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18df2}\u{1aff0}-\u{1b2fb}\u{1d300}-\u{1d376}\u{1f200}-\u{1f2ff}\u{1f300}-\u{1f320}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u

export class Grid {
  constructor() {
    this.texts = [] // a column's character; undefined: nothing was written there; null: right half of the one before
    this.styles = []
    this.hits = []
    this.column = 0
  }

  /** Writes text from the cursor on; `isHit(i)` says whether its i-th UTF-16 unit belongs to a hit. */
  write(text, style, isHit) {
    if (SIMPLE.test(text)) {
      for (let i = 0; i < text.length; i += 1) this.put(text[i], style, isHit(i), 1)
      return
    }
    let at = 0
    for (const character of text) {
      if (character === '\t') this.#to(this.column + TAB_COLUMNS - (this.column % TAB_COLUMNS))
      else if (this.column > 0 && COMBINING.test(character)) this.#combine(character)
      else this.put(character, style, isHit(at), WIDE.test(character) ? 2 : 1)
      at += character.length
    }
  }

  /** Writes into the columns at the cursor what takes `width` of them. */
  put(text, style, hit, width) {
    const { texts, column } = this
    if (texts[column] === null) texts[column - 1] = undefined
    if (texts[column + width] === null) texts[column + width] = undefined
    this.#fill(column, text, style, hit)
    if (width === 2) this.#fill(column + 1, null, style, hit)
    this.column = column + width
  }

  /** @param {{by: string, count: number}} move as the tokens of ansi.js have it */
  move({ by, count }) {
    const { texts, column } = this
    if (by === 'start') this.#to(0)
    else if (by === 'back') this.#to(column - count)
    else if (by === 'forward') this.#to(column + count)
    else if (by === 'column') this.#to(count)
    else if (by === 'eraseRight') texts.length = Math.min(texts.length, column)
    else if (by === 'eraseLeft') this.#blank(0, column + 1)
    else if (by === 'eraseAll') texts.length = 0
    else if (by === 'blank') this.#blank(column, column + count)
    else if (by === 'delete') for (const cells of this.#rows()) cells.splice(column, count)
    else if (by === 'insert') this.#insert(Math.min(count, MOST_COLUMNS))
  }

  pieces() {
    const pieces = []
    for (let column = 0; column < this.texts.length; column += 1) {
      const text = this.texts[column]
      if (text === null) continue
      pieces.push(text === undefined ? { text: ' ', style: PLAIN, hit: false } : { text, style: this.styles[column], hit: this.hits[column] })
    }
    return pieces
  }

  #fill(column, text, style, hit) {
    while (this.texts.length < column) this.texts.push(undefined)
    this.texts[column] = text
    this.styles[column] = style
    this.hits[column] = hit
  }

  #to(column) {
    this.column = Math.max(0, Math.min(MOST_COLUMNS, column))
  }

  #combine(character) {
    let column = this.column - 1
    while (column > 0 && this.texts[column] === null) column -= 1
    this.#fill(column, (this.texts[column] ?? ' ') + character, this.styles[column] ?? PLAIN, this.hits[column] ?? false)
  }

  #blank(from, to) {
    for (let column = from; column < Math.min(to, this.texts.length); column += 1) this.texts[column] = undefined
  }

  #insert(count) {
    if (this.column >= this.texts.length) return
    const room = Array(count).fill(undefined)
    for (const cells of this.#rows()) cells.splice(this.column, 0, ...room)
  }

  #rows() {
    return [this.texts, this.styles, this.hits]
  }
}
