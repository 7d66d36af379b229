/** One row of the log pane: a line as elements. Log text enters as text, never as HTML. */

import { PLAIN } from '../helpers/ansi.js'
import { foldLine } from '../helpers/folding.js'
import { formatClock } from '../helpers/format.js'

const CUT_BYTES = 64 * 1024 // of a long line's text are in the answers of the API
const CONTENT = ['line', 'spans', 'end', 'raw'] // of what is shown: decides the text

/** An empty row; `prepareRow` says what it is to show, `paintRow` draws it. */
export function createRow() {
  const row = element('div', 'row')
  const number = element('a', 'row-number')
  const text = element('span', 'row-text')
  row.append(number, text)
  row.parts = { number, time: null, start: null, text, extra: null }
  row.shown = null
  row.folded = null // the line as pieces
  row.painted = null // what is drawn
  return row
}

/**
 * Says what a row is to show; its line is worked out anew only where something changed.
 *
 * @param {HTMLElement} row
 * @param {object} shown
 *   line (null: not loaded yet), spans, number (of the line, or null), href (link to the line), end (of
 *   a cut progress line, for its last state), selected, current, atTime, raw, times, start (of a file that goes on
 *   from another, {label, href} of the way back; else null),
 *   words: {showRaw, showFolded, hiddenHit, moreBytes(count), moreHit(count)}
 */
export function prepareRow(row, shown) {
  if (row.shown && Object.keys(shown).every((name) => row.shown[name] === shown[name])) return
  if (changesText(row, shown)) row.folded = shown.line ? fold(shown) : null
  row.shown = shown
}

/** Whether a row's text is to be worked out and laid out anew. */
export function changesText({ shown: before }, shown) {
  return !before || CONTENT.some((name) => before[name] !== shown[name])
}

/** DOM nodes that the text of a prepared row takes with all its styles. */
export function nodesWanted({ folded }) {
  return folded ? folded.pieces.reduce((sum, piece) => sum + nodesOf(piece), 0) : 0
}

/**
 * Draws a prepared row. Its text takes `nodes` DOM nodes at most, then the rest of it loses its styles;
 * after `columns` characters there is only room for the rest: it is too far right to be seen.
 */
export function paintRow(row, { nodes, columns }) {
  const { shown, folded, painted } = row
  const limits = { nodes: Math.min(nodes, nodesWanted(row)), columns: Math.min(columns, folded?.length ?? 0) }
  const sameText = painted && painted.folded === folded && painted.nodes === limits.nodes && painted.columns === limits.columns
  if (sameText && painted.shown === shown) return
  row.className = rowClasses(shown)
  paintGutter(row.parts, shown)
  paintStart(row.parts, shown)
  if (!sameText) paintText(row.parts.text, folded, limits)
  row.parts.extra?.remove()
  row.parts.extra = folded ? extras(folded, shown) : null
  if (row.parts.extra) row.append(row.parts.extra)
  row.painted = { shown, folded, ...limits }
}

/** A line's text as a row shows it. */
export function shownText(line, { end = '', raw = false } = {}) {
  return textOf(fold({ line, spans: [], end, raw }).pieces)
}

function fold({ line, spans, end, raw }) {
  const folded = foldLine(raw ? line.text : line.text + end, spans, { raw })
  return { ...folded, length: folded.pieces.reduce((sum, { text }) => sum + text.length, 0) }
}

function paintText(text, folded, { nodes, columns }) {
  const pieces = folded ? withinNodes(withinColumns(folded, columns), nodes) : []
  text.replaceChildren(...pieces.map(pieceNode))
  text.style.paddingRight = folded && folded.length > columns ? `${folded.length - columns}ch` : ''
}

function withinColumns({ pieces, length }, columns) {
  if (length <= columns) return pieces
  let left = columns
  const kept = []
  for (const piece of pieces) {
    kept.push(piece.text.length > left ? { ...piece, text: piece.text.slice(0, left) } : piece)
    left -= piece.text.length
    if (left <= 0) break
  }
  return kept
}

function textOf(pieces) {
  return pieces.map(({ text }) => text).join('')
}

function withinNodes(pieces, most) {
  let nodes = 0
  for (const [i, piece] of pieces.entries()) {
    nodes += nodesOf(piece)
    if (nodes >= most && i + 1 < pieces.length) return [...pieces.slice(0, i), { text: textOf(pieces.slice(i)), style: PLAIN, hit: false }]
  }
  return pieces
}

function nodesOf(piece) {
  return isUnstyled(piece) ? 1 : 2
}

function isUnstyled({ style, hit }) {
  return !hit && !style.classes && !style.color && !style.background
}

function rowClasses({ line, selected, current, atTime, start }) {
  const names = ['row']
  if (start) names.push('is-start')
  if (!line) names.push('is-loading')
  if (line?.system) names.push('is-system')
  if (line?.level) names.push(`is-${line.level === 'error' ? 'error' : 'warning'}`)
  if (line?.partial) names.push('is-partial')
  if (selected) names.push('is-selected')
  if (atTime) names.push('is-at-time')
  if (current) names.push('is-current')
  return names.join(' ')
}

function paintGutter(parts, { line, number: n, href, times }) {
  parts.number.textContent = n === null ? '' : String(n)
  if (n === null) parts.number.removeAttribute('href')
  else parts.number.href = href
  if (times) {
    if (!parts.time) parts.number.after((parts.time = element('span', 'row-time')))
    parts.time.textContent = line ? formatClock(line.received_at) : ''
  } else {
    parts.time?.remove()
    parts.time = null
  }
}

function paintStart(parts, { start }) {
  parts.start?.remove()
  parts.start = start && element('a', 'row-start')
  if (!start) return
  parts.start.textContent = start.label
  parts.start.href = start.href
  parts.text.before(parts.start)
}

function pieceNode(piece) {
  if (isUnstyled(piece)) return document.createTextNode(piece.text)
  const { text, style, hit } = piece
  const node = element(hit ? 'mark' : 'span', style.classes)
  node.textContent = text
  if (style.color) node.style.color = style.background ? style.color : `oklch(from ${style.color} clamp(var(--least-light), l, var(--most-light)) c h)` // white on white is no text
  if (style.background) node.style.backgroundColor = style.background
  return node
}

/** Controls behind the text: the raw form, and what a cut line leaves out. */
function extras({ folded, hiddenHit }, { line, raw, spans, words }) {
  const buttons = []
  if (folded || raw) buttons.push(button('raw', raw ? words.showFolded : hiddenHit ? words.hiddenHit : words.showRaw, hiddenHit && 'has-hit'))
  if (line.cut) buttons.push(moreButton(line, spans, words))
  if (!buttons.length) return null
  const box = element('span', 'row-extra')
  box.append(...buttons)
  return box
}

function moreButton(line, spans, words) {
  const bytes = line.size_bytes - CUT_BYTES
  return hitBehind(line, spans) === null ? button('more', words.moreBytes(bytes)) : button('more', words.moreHit(bytes), 'has-hit')
}

/** Where in a cut line the first hit behind its shown text begins, as a share of the shown text's length; null: there is none. */
export function hitBehind({ text }, spans) {
  if (!spans.length) return null
  const points = [...text].length
  const span = spans.find(([, end]) => end > points)
  return span ? span[0] / points : null
}

function button(action, label, extraClass) {
  const node = element('button', ['row-button', extraClass].filter(Boolean).join(' '))
  node.type = 'button'
  node.dataset.action = action
  node.textContent = label
  return node
}

function element(name, classes) {
  const node = document.createElement(name)
  if (classes) node.className = classes
  return node
}
