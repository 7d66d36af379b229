/** One row of the log pane: a line as elements. Log text enters as text, never as HTML. */

import { foldLine } from '../helpers/folding.js'
import { formatClock } from '../helpers/format.js'

/** An empty row; `fillRow` gives it its line. */
export function createRow() {
  const row = element('div', 'row')
  const gutter = element('span', 'row-gutter')
  const number = element('a', 'row-number')
  const time = element('span', 'row-time')
  const text = element('span', 'row-text')
  gutter.append(number, time)
  row.append(gutter, text)
  row.parts = { number, time, text, extra: null }
  row.drawn = null
  return row
}

/**
 * Draws a line into a row, unless it stands there already.
 *
 * @param {HTMLElement} row
 * @param {object} shown
 *   line (null: not loaded yet), spans, number (of the line, or null), href (link to the line),
 *   end (of a cut progress line, for its last state), selected, current, raw, times, words: {showRaw, showFolded, hiddenHit, moreBytes(count)}
 */
export function fillRow(row, shown) {
  if (row.drawn && Object.keys(shown).every((name) => row.drawn[name] === shown[name])) return
  const { line, spans, end, selected, current, raw } = shown
  row.drawn = shown
  row.className = rowClasses(line, selected, current)
  fillGutter(row.parts, shown)
  row.parts.extra?.remove()
  row.parts.extra = null
  if (!line) {
    row.parts.text.replaceChildren()
    return
  }
  const folded = foldLine(raw ? line.text : line.text + end, spans, { raw })
  row.parts.text.replaceChildren(...folded.pieces.map(pieceNode))
  row.parts.extra = extras(line, folded, shown)
  if (row.parts.extra) row.append(row.parts.extra)
}

function rowClasses(line, selected, current) {
  const names = ['row']
  if (!line) names.push('is-loading')
  if (line?.system) names.push('is-system')
  if (line?.level) names.push(`is-${line.level === 'error' ? 'error' : 'warning'}`)
  if (line?.partial) names.push('is-partial')
  if (selected) names.push('is-selected')
  if (current) names.push('is-current')
  return names.join(' ')
}

function fillGutter({ number, time }, { number: n, href, line, times }) {
  number.textContent = n === null ? '' : String(n)
  if (n === null) number.removeAttribute('href')
  else number.href = href
  time.hidden = !times
  time.textContent = times && line ? formatClock(line.received_at) : ''
}

function pieceNode({ text, style, hit }) {
  if (!hit && !style.classes && !style.color && !style.background) return document.createTextNode(text)
  const node = element(hit ? 'mark' : 'span', style.classes)
  node.textContent = text
  if (style.color) node.style.color = style.color
  if (style.background) node.style.backgroundColor = style.background
  return node
}

/** Controls behind the text: the raw form, and what a cut line leaves out. */
function extras(line, { folded, hiddenHit }, { raw, words }) {
  const buttons = []
  if (folded || raw) buttons.push(button('raw', raw ? words.showFolded : hiddenHit ? words.hiddenHit : words.showRaw, hiddenHit && 'has-hit'))
  if (line.cut) buttons.push(button('more', words.moreBytes(line.size_bytes - utf8Length(line.text))))
  if (!buttons.length) return null
  const box = element('span', 'row-extra')
  box.append(...buttons)
  return box
}

function button(action, label, extraClass) {
  const node = element('button', ['row-button', extraClass].filter(Boolean).join(' '))
  node.type = 'button'
  node.dataset.action = action
  node.textContent = label
  return node
}

function utf8Length(text) {
  return new TextEncoder().encode(text).length
}

function element(name, classes) {
  const node = document.createElement(name)
  if (classes) node.className = classes
  return node
}
