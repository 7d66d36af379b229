/**
 * A line as it is shown: progress folded to what a terminal would leave, controls made visible,
 * search hits marked.
 */

import { PLAIN, isPlain, tokens, visibleName } from './ansi.js'
import { Grid } from './grid.js'

const MOST_PIECES = 200 // bounds the nodes of one row; the rest of such a line is one plain piece
const CONTROL = Object.freeze({ classes: 'control', color: '', background: '' })
const LINK = Object.freeze({ classes: 'link-target', color: '', background: '' })

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
  const hitIn = (token) => (hits.length ? (i) => isHit(hits, token.start + i) : never)
  for (const token of found) {
    if (token.kind === 'move') grid.move(token.move)
    else if (token.kind === 'text') grid.write(token.text, token.style, hitIn(token))
    else if (token.kind === 'control') grid.put(token.text, CONTROL, isHit(hits, token.start), 1)
    else if (token.kind === 'link') grid.put(` ‹${token.text}›`, LINK, false, 1)
  }
  return grid.pieces()
}

function never() {
  return false
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
