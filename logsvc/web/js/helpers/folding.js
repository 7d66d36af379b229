/**
 * A line as it is shown: progress folded to what a terminal would leave, controls made visible,
 * search hits marked.
 */

import { PLAIN, isPlain, tokens, visibleName } from './ansi.js'

const MOST_PIECES = 200 // bounds the nodes of one row; the rest of such a line is one plain piece
const TAB_COLUMNS = 8
const CONTROL = Object.freeze({ classes: 'control', color: '', background: '' })
const LINK = Object.freeze({ classes: 'link-target', color: '', background: '' })
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u
const COMBINING = /\p{M}/u

/**
 * @param {string} text a line's text
 * @param {number[][]} spans hits, [start, end) in code points of `text`
 * @param {{raw?: boolean}} options raw: show every byte's character, fold nothing
 * @returns {{pieces: {text: string, style: object, hit: boolean}[], folded: boolean, hiddenHit: boolean}}
 *   `folded`: something was rewritten or left out, the raw form says more.
 *   `hiddenHit`: a hit lies wholly in what was folded away.
 */
export function foldLine(text, spans = [], { raw = false } = {}) {
  const hits = toUnits(text, spans)
  if (isPlain(text)) return { pieces: joined(plainPieces(text, 0, PLAIN, hits)), folded: false, hiddenHit: false }
  if (raw) return { pieces: joined(rawPieces(text, hits)), folded: false, hiddenHit: false }
  const found = tokens(text)
  const moves = found.some((token) => token.kind === 'move')
  const pieces = moves ? gridPieces(found, hits) : linearPieces(found, hits)
  return {
    pieces: joined(pieces),
    folded: found.some((token) => token.kind === 'move' || token.kind === 'hidden'),
    hiddenHit: hits.length > 0 && !pieces.some((piece) => piece.hit),
  }
}

/** Code point positions -> UTF-16 positions; hits come in order. */
export function toUnits(text, spans) {
  if (!spans.length) return []
  const units = []
  let points = 0
  let at = 0
  const walk = (to) => {
    while (points < to && at < text.length) {
      at += text.codePointAt(at) > 0xffff ? 2 : 1
      points += 1
    }
    return at
  }
  for (const [start, end] of spans) {
    const from = walk(start)
    units.push([from, walk(end)])
  }
  return units.filter(([start, end]) => end > start)
}

function plainPieces(text, start, style, hits) {
  const pieces = []
  let at = start
  const end = start + text.length
  for (let i = firstAfter(hits, start); i < hits.length && hits[i][0] < end; i += 1) {
    const from = Math.max(hits[i][0], at)
    const to = Math.min(hits[i][1], end)
    if (from > at) pieces.push({ text: text.slice(at - start, from - start), style, hit: false })
    if (to > from) pieces.push({ text: text.slice(from - start, to - start), style, hit: true })
    at = Math.max(at, to)
  }
  if (at < end) pieces.push({ text: text.slice(at - start), style, hit: false })
  return pieces
}

/** Index of the first hit that ends after `position`. */
function firstAfter(hits, position) {
  let low = 0
  let high = hits.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (hits[middle][1] <= position) low = middle + 1
    else high = middle
  }
  return low
}

function isHit(hits, position) {
  const i = firstAfter(hits, position)
  return i < hits.length && hits[i][0] <= position
}

function rawPieces(text, hits) {
  const pieces = []
  for (const token of tokens(text)) {
    if (token.kind === 'link') continue
    if (token.kind === 'text') {
      pieces.push(...plainPieces(token.text, token.start, PLAIN, hits))
      continue
    }
    const source = token.kind === 'control' ? text[token.start] : token.text
    for (let i = 0; i < source.length; i += 1) {
      const control = !isPlain(source[i])
      pieces.push({ text: control ? visibleName(source[i]) : source[i], style: CONTROL, hit: isHit(hits, token.start + i) })
    }
  }
  return pieces
}

function linearPieces(found, hits) {
  const pieces = []
  for (const token of found) {
    if (token.kind === 'text') pieces.push(...plainPieces(token.text, token.start, token.style, hits))
    else if (token.kind === 'control') pieces.push({ text: token.text, style: CONTROL, hit: isHit(hits, token.start) })
    else if (token.kind === 'link') pieces.push({ text: ` ‹${token.text}›`, style: LINK, hit: false })
  }
  return pieces
}

/** Writes the tokens into columns, as a terminal of endless width does. */
function gridPieces(found, hits) {
  const grid = new Grid()
  for (const token of found) {
    if (token.kind === 'move') grid.move(token.move)
    else if (token.kind === 'text') grid.write(token.text, token.start, token.style, hits)
    else if (token.kind === 'control') grid.put(token.text, CONTROL, isHit(hits, token.start), 1)
    else if (token.kind === 'link') grid.put(` ‹${token.text}›`, LINK, false, 1)
  }
  return grid.pieces()
}

class Grid {
  constructor() {
    this.cells = [] // {text, style, hit}; null: right half of the wide cell before it
    this.column = 0
  }

  write(text, start, style, hits) {
    let at = start
    for (const character of text) {
      if (character === '\t') this.column += TAB_COLUMNS - (this.column % TAB_COLUMNS)
      else if (COMBINING.test(character) && this.column > 0) this.combine(character)
      else this.put(character, style, hits.length > 0 && isHit(hits, at), WIDE.test(character) ? 2 : 1)
      at += character.length
    }
  }

  put(text, style, hit, width) {
    if (this.cells[this.column] === null) this.cells[this.column - 1] = blank()
    if (this.cells[this.column + width] === null) this.cells[this.column + width] = blank()
    this.cells[this.column] = { text, style, hit }
    if (width === 2) this.cells[this.column + 1] = null
    this.column += width
  }

  combine(character) {
    let column = this.column - 1
    while (column > 0 && this.cells[column] === null) column -= 1
    const cell = this.cells[column]
    if (cell) this.cells[column] = { ...cell, text: cell.text + character }
  }

  move({ by, count }) {
    const distance = Math.min(count, 100000) // a hostile log may ask for a million columns
    if (by === 'start') this.column = 0
    else if (by === 'back') this.column = Math.max(0, this.column - distance)
    else if (by === 'forward') this.column += distance
    else if (by === 'column') this.column = distance
    else if (count === 0) this.cells.length = Math.min(this.cells.length, this.column)
    else this.erase(count === 1 ? this.column + 1 : this.cells.length)
  }

  erase(end) {
    for (let column = 0; column < Math.min(end, this.cells.length); column += 1) this.cells[column] = blank()
  }

  pieces() {
    const pieces = []
    for (let column = 0; column < this.cells.length; column += 1) {
      const cell = this.cells[column]
      if (cell !== null) pieces.push(cell ?? blank())
    }
    return pieces
  }
}

function blank() {
  return { text: ' ', style: PLAIN, hit: false }
}

/** Neighbours of one style become one piece; past MOST_PIECES the rest loses its style. */
function joined(pieces) {
  const out = []
  for (const piece of pieces) {
    const last = out[out.length - 1]
    const full = out.length >= MOST_PIECES
    if (last && (full || (last.style === piece.style && last.hit === piece.hit))) {
      last.parts.push(piece.text)
    } else {
      out.push({ parts: [piece.text], style: full ? PLAIN : piece.style, hit: piece.hit })
    }
  }
  return out.map(({ parts, style, hit }) => ({ text: parts.join(''), style, hit }))
}
