/** A matching line as a list shows it: progress folded, the first hit in view, never long. */

import { foldLine } from './folding.js'

const MOST_CHARACTERS = 1200
const MOST_BEFORE = 160 // characters before the first hit; beyond it some are left out
const KEPT_BEFORE = 60

/**
 * @param {string} text
 * @param {number[][]} spans hits in code points
 * @returns {{text: string, hit: boolean}[]} pieces, "…" where something was left out
 */
export function snippet(text, spans = []) {
  const folded = foldLine(text, spans)
  const { pieces } = folded.hiddenHit ? foldLine(text, spans, { raw: true }) : folded
  const plain = pieces.map(({ text: part, hit }) => ({ text: part, hit }))
  return cutEnd(cutStart(plain))
}

function cutStart(pieces) {
  const first = pieces.findIndex(({ hit }) => hit)
  const before = pieces.slice(0, Math.max(0, first)).map(({ text }) => text).join('')
  if (before.length <= MOST_BEFORE) return pieces
  return [{ text: `…${whole(before.slice(-KEPT_BEFORE))}`, hit: false }, ...pieces.slice(first)]
}

function cutEnd(pieces) {
  let room = MOST_CHARACTERS
  const kept = []
  for (const piece of pieces) {
    if (piece.text.length > room) return [...kept, { text: whole(piece.text.slice(0, room)), hit: piece.hit }, { text: '…', hit: false }]
    kept.push(piece)
    room -= piece.text.length
  }
  return kept
}

/** Without half of a surrogate pair at either end. */
function whole(text) {
  return text.replace(/^[\udc00-\udfff]/, '').replace(/[\ud800-\udbff]$/, '')
}
