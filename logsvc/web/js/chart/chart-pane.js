/**
 * The chart over the logs: a plot for each reading and one for the rate of log lines, below each other on one time axis.
 *
 * Plain DOM: it is told what to show, and tells what the reader did with it.
 */

import { perFrame } from '../helpers/timing.js'
import { columnsOf, READINGS } from '../models/chart-data.js'
import { ChartKeys } from './keys.js'
import { Marks } from './marks.js'
import { Plot } from './plot.js'

const TIME_AXIS_PX = 24
const LOG_PX = 56
const READING_PX = [138, 104, 84, 84] // where there are so many
const POINT_PX = 2
const MINUTE_MS = 60_000
const RATE_MS = 15_000 // between two counts of the lines that came
const DOUBLE_CLICK_MS = 250
const BINARY_STEPS = Array.from({ length: 40 }, (_, power) => 2 ** (power + 10))
/** The value axis of each reading. */
const SCALES = {
  utilization: { range: () => [0, 100] },
  memory: { range: (high, top) => [0, top ?? upTo(high, 2 ** 30)], steps: BINARY_STEPS },
  power: { range: (high) => [0, upTo(high, 100)] },
  temperature: { range: (high) => [0, upTo(high, 50)] },
}

export class ChartPane {
  /**
   * @param {HTMLElement} host empty element that it fills
   * @param {object} options
   *   words: {names: {[reading]: () => text, log: …}, labels: {[reading]: (value) => text, log: …}, time(seconds, step, previous), place(i, end): where one stands, for those who hear it};
   *   on: {points(count): so many parts can be told apart; span(fromMs, toMs); moment(ms); zoom(factor, ms); reset(); hold(held); place(i); focus(key)}
   */
  constructor(host, { words, on }) {
    Object.assign(this, { host, words, on, plots: [], shape: '', what: null, waiting: null })
    this.sync = `chart ${(ChartPane.count += 1)}`
    this.stack = document.createElement('div')
    this.stack.className = 'chart-stack'
    this.marks = new Marks({ onMoment: (ms) => on.moment(ms) })
    this.stretch = document.createElement('div')
    this.stretch.className = 'chart-stretch'
    this.stretch.hidden = true
    host.replaceChildren(this.marks.element, this.stack, this.stretch)
    this.drawMarks = perFrame(() => this.#drawMarks())
    this.keys = new ChartKeys(host, { count: () => this.times.length, show: (place, end) => this.#stand(place, end), on: this.#keyActions() })
    this.sizes = new ResizeObserver(() => this.#resized())
    this.sizes.observe(host)
    this.themes = new MutationObserver(() => this.plots.forEach((plot) => plot.recolour()))
    this.themes.observe(document.documentElement, { attributeFilter: ['data-theme'] })
  }

  /** Seconds in the middle of each part. */
  get times() {
    return this.plots[0]?.columns.times ?? []
  }

  /**
   * @param {object} what answer: as the model has it; series: of it, those shown; readings: names; span: {fromMs, toMs};
   *   events, spans, moment: see `Marks.set`.
   */
  show(what) {
    this.what = what
    this.marks.set(what)
    const drawn = this.#wanted(what)
    const shape = JSON.stringify([drawn.map(({ name, columns }) => [name, columns.lines.map(({ key }) => key)]), what.language])
    if (shape !== this.shape) this.#rebuild(drawn)
    else this.plots.forEach((plot, at) => plot.update({ columns: drawn[at].columns, stepMs: what.answer.parts.stepMs, span: what.span }))
    this.shape = shape
    this.drawMarks()
  }

  /** One line stands out in every plot; null: none. */
  stress(key) {
    for (const plot of this.plots) if (!plot.bars) plot.stress(key)
  }

  close() {
    this.drawMarks.cancel()
    this.sizes.disconnect()
    this.themes.disconnect()
    clearTimeout(this.waiting)
    for (const plot of this.plots) plot.close()
    this.host.replaceChildren()
  }

  /** [{name, columns}]: which plots there are to be. */
  #wanted({ answer, series, readings }) {
    const named = series.length ? readings.map((name) => ({ name, columns: { ...columnsOf({ parts: answer.parts, series }, READINGS[name]), ...(name === 'memory' && { top: memoryOf(series) }) } })) : []
    return [...named, { name: 'log', columns: logColumns(answer) }]
  }

  #rebuild(drawn) {
    for (const plot of this.plots) plot.close()
    const readingPx = READING_PX[Math.min(READING_PX.length, drawn.filter(({ name }) => name !== 'log').length) - 1]
    this.plots = drawn.map(({ name, columns }, at) => {
      const timeAxis = at === drawn.length - 1
      const bars = name === 'log'
      return new Plot(this.stack, {
        ...(bars ? { range: (high) => [0, roundUp(high ?? 1)] } : SCALES[name]),
        ...{ columns, bars, timeAxis, stepMs: this.what.answer.parts.stepMs, span: this.what.span, sync: this.sync },
        height: (bars ? LOG_PX : readingPx) + (timeAxis ? TIME_AXIS_PX : 0),
        name: bars || this.what.readings.length > 1 ? this.words.names[name]() : '',
        label: this.words.labels[name],
        timeWords: this.words.time,
        on: this.#plotActions(),
      })
    })
  }

  #plotActions() {
    return {
      span: (fromMs, toMs) => this.on.span(fromMs, toMs),
      moment: (ms, event) => this.#clicked(ms, event),
      reset: () => {
        clearTimeout(this.waiting)
        this.on.reset()
      },
      place: (i) => this.on.place(i),
      focus: (key) => this.on.focus(key),
      hold: (held) => this.on.hold(held),
      draw: () => this.drawMarks(),
    }
  }

  /** A click chooses a moment, unless it was the first half of a double click. */
  #clicked(ms, { detail }) {
    clearTimeout(this.waiting)
    if (detail > 1) return
    this.waiting = setTimeout(() => this.on.moment(ms), DOUBLE_CLICK_MS)
  }

  #keyActions() {
    const ms = (place) => this.times[place] * 1000
    return {
      stretch: (first, last) => {
        const { stepMs } = this.what.answer.parts
        this.on.span(ms(first) - stepMs / 2, ms(last) + stepMs / 2)
      },
      moment: (place) => this.on.moment(ms(place) - this.what.answer.parts.stepMs / 2),
      zoom: (factor, place) => this.on.zoom(factor, place === null ? null : ms(place)),
      reset: () => this.on.reset(),
    }
  }

  /** Where the keys stand, for eyes and ears. */
  #stand(place, end) {
    const { host, stretch, plots } = this
    for (const plot of plots) plot.setPlace(end ?? place)
    this.on.place(end ?? place)
    const edges = [place, end].map((one) => (one === null ? null : (plots[0]?.leftOf(this.times[one] * 1000) ?? null)))
    stretch.hidden = edges.includes(null)
    if (!stretch.hidden) {
      stretch.style.left = `${Math.min(...edges)}px`
      stretch.style.width = `${Math.abs(edges[1] - edges[0])}px`
    }
    host.setAttribute('aria-valuenow', String(end ?? place ?? 0))
    host.setAttribute('aria-valuetext', place === null ? '' : this.words.place(place, end))
  }

  #resized() {
    const width = this.host.clientWidth
    if (!width) return
    this.on.points(Math.floor(width / POINT_PX))
    for (const plot of this.plots) plot.resize(width)
    this.drawMarks()
  }

  #drawMarks() {
    const [first] = this.plots
    for (const plot of this.plots) plot.resize(this.host.clientWidth) // while it was built, a scrollbar may have gone and come back
    if (first) this.marks.draw((ms) => first.leftOf(ms), this.what.span)
  }

  static count = 0
}

/** Lines a minute: they are counted at the end of each quarter, which shorter parts share. */
function logColumns({ logLines, parts }) {
  const joined = Math.max(1, Math.round(RATE_MS / parts.stepMs))
  const minutes = (joined * parts.stepMs) / MINUTE_MS
  const times = Array.from({ length: parts.points }, (_, i) => (parts.fromMs + (i + 0.5) * parts.stepMs) / 1000)
  const none = new Array(parts.points).fill(null)
  const values = times.map((_, i) => logLines.slice(i, i + joined).reduce((sum, count) => sum + count, 0) / minutes)
  return { times, low: none, high: none, lines: [{ key: 'log', values }] }
}

/** The most memory that one of the cards has; null where none says so. */
function memoryOf(series) {
  const most = Math.max(...series.flatMap(({ readings }) => (readings.memory_total_bytes?.max ?? []).filter((value) => value !== null)))
  return Number.isFinite(most) ? most : null
}

/** 41.8 -> 50: the next number of one digit and noughts. */
function roundUp(number) {
  const step = 10 ** Math.floor(Math.log10(Math.max(number, 1)))
  return Math.ceil(number / step) * step
}

function upTo(high, least) {
  return Math.max(least, (high ?? 0) * 1.05)
}
