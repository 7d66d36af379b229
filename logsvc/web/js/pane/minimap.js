/**
 * The whole log beside the scrollbar: where its errors, warnings and matches are.
 *
 * A decoration: keys and the search lead to the same lines. Colours come from the style sheet.
 */

import { perFrame } from '../helpers/timing.js'

const PART_PX = 2
const LEAST_MARK_PX = 2
const SNAP_PX = 4 // a click so near to a mark means it
const LANES = { errors: ['--red', 0, 0.36], warnings: ['--amber', 0.38, 0.26], matches: ['--mark-current', 0.66, 0.34] } // colour, left edge, width

export class Minimap {
  /**
   * @param {object} options
   *   overview: its model; rowCount(): rows of the log; onRow(row): show this row in the middle;
   *   onMark(kind, row): show the first such line from a row on; describe({first, end, errors, warnings, matches}): in words.
   */
  constructor({ overview, rowCount, onRow, onMark, describe }) {
    Object.assign(this, { overview, rowCount, onRow, onMark, describe, painted: '' })
    this.element = part('div', 'minimap')
    this.element.setAttribute('aria-hidden', 'true')
    this.canvas = part('canvas', 'minimap-marks')
    this.screen = part('div', 'minimap-screen')
    this.tip = part('div', 'minimap-tip')
    this.tip.hidden = true
    this.element.append(this.canvas, this.screen, this.tip)
    this.paint = perFrame(() => this.#paint())
    this.#listen()
  }

  /** Which rows are on screen; paints anew where the log has grown. */
  show({ top, inView }) {
    const height = this.element.clientHeight
    const count = Math.max(1, this.rowCount())
    const px = Math.min(height, Math.max(3, (inView / count) * height))
    this.screen.style.height = `${px}px`
    this.screen.style.transform = `translateY(${Math.min(height - px, (top / count) * height)}px)`
    if (this.#key() !== this.painted) this.paint()
  }

  close() {
    this.paint.cancel()
    this.listening.abort()
    this.sizes.disconnect()
    this.themes.disconnect()
  }

  #listen() {
    this.listening = new AbortController()
    const { signal } = this.listening
    this.overview.addEventListener('change', this.paint, { signal })
    this.sizes = new ResizeObserver(() => {
      this.overview.setBuckets(this.element.clientHeight / PART_PX)
      this.paint()
    })
    this.sizes.observe(this.element)
    this.themes = new MutationObserver(() => {
      this.painted = ''
      this.paint()
    })
    this.themes.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    this.canvas.addEventListener('pointerdown', (event) => this.#grab(event), { signal })
    this.canvas.addEventListener('pointermove', (event) => this.#hover(event), { signal })
    this.canvas.addEventListener('pointerleave', () => (this.tip.hidden = true), { signal })
  }

  #key() {
    return `${this.rowCount()} ${this.element.clientHeight}`
  }

  #paint() {
    const { canvas, overview } = this
    const ratio = window.devicePixelRatio
    const width = Math.round(this.element.clientWidth * ratio)
    const height = Math.round(this.element.clientHeight * ratio)
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
    const context = canvas.getContext('2d')
    context.clearRect(0, 0, width, height)
    this.painted = this.#key()
    if (!overview.counts) return
    const colors = getComputedStyle(canvas)
    for (const kind of Object.keys(LANES)) this.#paintLane(context, kind, colors, { width, height, least: LEAST_MARK_PX * ratio })
  }

  #paintLane(context, kind, colors, { width, height, least }) {
    const { [kind]: parts, rows } = this.overview.counts
    if (!parts) return
    const [color, left, share] = LANES[kind]
    const most = Math.log1p(Math.max(...parts))
    const scale = (height * Math.min(1, rows / Math.max(1, this.rowCount()))) / parts.length
    context.fillStyle = colors.getPropertyValue(color)
    parts.forEach((count, i) => {
      if (!count) return
      context.globalAlpha = 0.35 + 0.65 * (Math.log1p(count) / most)
      const px = Math.max(least, scale)
      context.fillRect(left * width, Math.min(height - px, i * scale), share * width, px)
    })
  }

  /** A click on a mark leads to its line, anywhere else to that part of the log; so does dragging. */
  #grab(event) {
    if (event.button !== 0) return
    event.preventDefault()
    const mark = this.#markNear(event)
    if (mark) this.onMark(mark.kind, mark.row)
    else this.onRow(this.#rowAt(event))
    this.canvas.setPointerCapture(event.pointerId)
    const drag = new AbortController()
    const { signal } = drag
    this.canvas.addEventListener('pointermove', (moved) => Math.abs(moved.clientY - event.clientY) > SNAP_PX && this.onRow(this.#rowAt(moved)), { signal })
    for (const name of ['pointerup', 'pointercancel']) this.canvas.addEventListener(name, () => drag.abort(), { signal })
  }

  #hover(event) {
    const { counts } = this.overview
    this.tip.hidden = !counts
    if (!counts) return
    const { first, end } = this.#around(event)
    this.tip.textContent = this.describe(this.overview.within(first, end))
    const box = this.element.getBoundingClientRect()
    this.tip.style.top = `${Math.min(box.height - this.tip.offsetHeight - 4, Math.max(4, event.clientY - box.top - this.tip.offsetHeight / 2))}px`
  }

  #rowAt({ clientY }) {
    const { top, height } = this.canvas.getBoundingClientRect()
    return Math.floor(Math.min(1, Math.max(0, (clientY - top) / height)) * Math.max(0, this.rowCount() - 1))
  }

  /** The rows under the pointer, and a few pixels either side. */
  #around({ clientY }) {
    const first = this.#rowAt({ clientY: clientY - SNAP_PX })
    return { first, end: Math.max(first + 1, this.#rowAt({ clientY: clientY + SNAP_PX })) }
  }

  #markNear(event) {
    if (!this.overview.counts) return null
    const { first, end } = this.#around(event)
    const found = this.overview.within(first, end)
    const kind = ['matches', 'errors', 'warnings'].find((name) => found[name])
    return kind ? { kind, row: found.first } : null
  }
}

function part(name, className) {
  const node = document.createElement(name)
  node.className = className
  return node
}
