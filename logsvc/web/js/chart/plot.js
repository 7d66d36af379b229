/** One plot of the chart: a reading of all cards, or the rate of log lines, drawn by uPlot. */

import uPlot from '../../vendor/uplot/uPlot.esm.js'
import { bridgedParts, COLOURS, lonePlaces } from '../models/chart-data.js'

export const AXIS_PX = 54 // left of every plot, so that their times stand below each other
const TIME_AXIS_PX = 24
const NAME_PX = 17 // above a plot that has its name there
const FIRST_LINE = 3 // behind the times and what encloses all lines
const LEAST_DRAG_PX = 5
const AXIS_FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
const FOCUS_PX = 18 // a line so near to the pointer stands out

const colours = new Map() // of the style sheet, until the page has others

export class Plot {
  /**
   * @param {HTMLElement} host
   * @param {object} options
   *   columns: as `columnsOf`; stepMs: of its parts; span: {fromMs, toMs} to show; height; timeAxis: whether times stand below it;
   *   name: written over it, "": not; bars: draw bars; range(high, top): [low, high] of the value axis, `top` as the columns have it; steps: between its labels, where those of ten will not do; label(value): a value in words, short; timeWords(seconds, stepSeconds, previous);
   *   sync: plots that move together; on: {span(fromMs, toMs), moment(ms), reset(), place(i), focus(key), hold(held), draw()}
   */
  constructor(host, options) {
    Object.assign(this, options)
    this.bridged = bridgedParts(options.stepMs)
    this.u = new uPlot(this.#options(host.clientWidth), this.#data(), host)
    if (this.name) this.#write()
    this.u.over.addEventListener('click', (event) => this.on.moment(this.#timeAt(event), event))
    this.u.over.addEventListener('pointerdown', () => this.#drag())
  }

  get keys() {
    return this.columns.lines.map(({ key }) => key)
  }

  /** Other readings of the same lines. */
  update({ columns, stepMs, span }) {
    Object.assign(this, { columns, stepMs, span, bridged: bridgedParts(stepMs) })
    this.u.batch(() => {
      this.u.setData(this.#data(), false)
      this.#setScales()
    })
  }

  resize(width) {
    if (width !== this.u.width) this.u.setSize({ width, height: this.u.height })
  }

  /** The page has other colours now. */
  recolour() {
    colours.clear()
    this.u.redraw(false, true)
  }

  /** One line stands out; null: none. */
  stress(key) {
    const at = key === null ? -1 : this.keys.indexOf(key)
    this.u.setSeries(at < 0 ? null : at + FIRST_LINE, { focus: true }, false)
  }

  /** Left edge of a moment, in pixels of the host; null where it is out of sight. */
  leftOf(ms) {
    const { min, max } = this.u.scales.x
    const seconds = ms / 1000
    return seconds < min || seconds > max ? null : AXIS_PX + this.u.valToPos(seconds, 'x')
  }

  /** The place of a moment nearest to it. */
  setPlace(i) {
    const left = i === null ? -10 : this.u.valToPos(this.columns.times[i], 'x')
    this.u.setCursor({ left, top: -10 }, false)
    this.stress(null)
  }

  close() {
    this.u.destroy()
  }

  #write() {
    const name = document.createElement('div')
    name.className = 'chart-name'
    name.textContent = this.name
    this.u.over.append(name)
  }

  #timeAt({ clientX }) {
    return this.u.posToVal(clientX - this.u.over.getBoundingClientRect().left, 'x') * 1000
  }

  #drag() {
    this.on.hold(true)
    addEventListener('pointerup', () => setTimeout(() => this.on.hold(false)), { once: true })
    addEventListener('pointercancel', () => this.on.hold(false), { once: true })
  }

  #data() {
    const { times, low, high, lines } = this.columns
    return [times, low, high, ...lines.map(({ values }) => values)]
  }

  #setScales() {
    this.u.setScale('x', { min: this.span.fromMs / 1000, max: this.span.toMs / 1000 })
  }

  #options(width) {
    const several = this.columns.lines.length > 1
    return {
      width,
      height: this.height,
      padding: [this.name ? NAME_PX : 6, 16, this.timeAxis ? 0 : 8, 0],
      legend: { show: false },
      scales: {
        x: { time: true, auto: false, range: () => [this.span.fromMs / 1000, this.span.toMs / 1000] },
        y: { range: (_, low, high) => this.range(high, this.columns.top ?? null) },
      },
      series: [{}, ...this.#envelope(), ...this.columns.lines.map((line) => this.#line(line, several))],
      bands: this.bars ? [] : [{ series: [2, 1], fill: () => colour('--chart-band') }],
      axes: [this.#timeAxis(), this.#valueAxis()],
      cursor: {
        sync: { key: this.sync },
        y: false,
        drag: { x: true, y: false, setScale: false, dist: LEAST_DRAG_PX },
        focus: { prox: this.bars ? -1 : FOCUS_PX },
        points: { size: 6 },
        bind: { dblclick: () => () => this.on.reset() },
      },
      focus: { alpha: several ? 0.25 : 1 },
      hooks: {
        setSelect: [(u) => this.#selected(u)],
        setCursor: [(u) => u.cursor.event && this.on.place(u.cursor.idx ?? null)],
        setSeries: [(_, at) => this.on.focus(at >= FIRST_LINE ? (this.keys[at - FIRST_LINE] ?? null) : null)],
        draw: [() => this.on.draw()],
      },
    }
  }

  /** The lowest and the highest of all readings: only the ground between them is seen. */
  #envelope() {
    const hidden = { stroke: 'transparent', width: 0, points: { show: false }, gaps: (...given) => this.#gaps(...given) }
    return [hidden, { ...hidden }]
  }

  #line({ key, colour: place }, several) {
    if (this.bars) return { paths: uPlot.paths.bars({ size: [0.9, 100], align: 0 }), fill: () => colour('--chart-bars'), points: { show: false } }
    return {
      stroke: () => (isColoured(this.columns.lines.length) ? lineColour(place) : colour('--chart-many')),
      width: several ? 1.25 : 1.75,
      gaps: (...given) => this.#gaps(...given),
      points: { show: true, size: 4, filter: (u, series) => lonePlaces(u.data[series], this.bridged) },
      label: key,
    }
  }

  /** Without those that are only the time between two samples. */
  #gaps(u, series, first, last, gaps) {
    const least = (u.valToPos(this.stepMs / 1000, 'x', true) - u.valToPos(0, 'x', true)) * (this.bridged + 1.5)
    return gaps.filter(([from, to]) => to - from > least)
  }

  #timeAxis() {
    return {
      show: this.timeAxis,
      size: TIME_AXIS_PX,
      stroke: () => colour('--text-quiet'),
      font: AXIS_FONT,
      grid: { stroke: () => colour('--line'), width: 1 },
      ticks: { show: false },
      space: 64,
      values: (_, splits, __, ___, step) => splits.map((seconds, i) => this.timeWords(seconds, step, i ? splits[i - 1] : null)),
    }
  }

  #valueAxis() {
    return {
      size: AXIS_PX,
      stroke: () => colour('--text-quiet'),
      font: AXIS_FONT,
      gap: 6,
      ...(this.steps && { incrs: this.steps }),
      ...(this.bars && { splits: (u) => [0, u.scales.y.max], filter: (_, splits) => splits }),
      space: 26,
      grid: { stroke: () => colour('--line'), width: 1 },
      ticks: { show: false },
      values: (_, splits) => splits.map((value) => this.label(value)),
    }
  }

  #selected(u) {
    const { left, width } = u.select
    if (width < LEAST_DRAG_PX) return
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    this.on.span(u.posToVal(left, 'x') * 1000, u.posToVal(left + width, 'x') * 1000)
  }
}

/** Colour of a line, as the legend shows it too; the same again after so many. */
export function lineColour(place) {
  return colour(`--chart-${(place % COLOURS) + 1}`)
}

/** Whether so many lines each have a colour of their own. */
export function isColoured(count) {
  return count <= COLOURS
}

function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim())
  return colours.get(name)
}
