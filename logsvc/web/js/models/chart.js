/**
 * How a job's cards worked over time, for its chart: which span, which readings, which tasks and cards.
 *
 * The address says what is chosen. Up to 32 cards are asked for one by one; where there are more, each task is
 * one series until a task is chosen. While the job runs and the span reaches to the present, it is asked again.
 */

import { addressOf, lifeOf, partsOf, shownSpan, zoomedBy } from './chart-span.js'
import { COLOURS, keyOf, legendOf, READINGS } from './chart-data.js'
import { Model, wasAborted } from './model.js'

const POLL_MS = 5000
const POLL_SHARE = 10 // so many times as long as an answer takes
const RESIZED_MS = 200
const MOST_CARDS = 32
const TOTAL_MEMORY = 'memory_total_bytes'

/** Fires `change` when there is something else to show. */
export class Chart extends Model {
  constructor({ http, address, job, now = Date.now }) {
    super()
    Object.assign(this, { http, address, job, now, points: 300, means: null, firstMs: null, answer: null, error: null, request: null, asked: '', timer: null, held: false })
  }

  /** From now on it is looked at, until `stop`. */
  start() {
    this.listening = new AbortController()
    const { signal } = this.listening
    this.address.addEventListener('change', () => this.#placeChanged(), { signal })
    document.addEventListener('visibilitychange', () => document.hidden || this.#askSoon(0), { signal })
    this.#askSoon(0)
  }

  stop() {
    this.listening.abort()
    this.request?.abort()
    clearTimeout(this.timer)
    this.asked = ''
  }

  // --- what is chosen

  get life() {
    const life = lifeOf(this.job.job, this.now())
    return { ...life, fromMs: Math.min(life.fromMs, this.firstMs ?? Infinity) }
  }

  /** {fromMs, toMs, zoomed} */
  get span() {
    return shownSpan(this.address.place, this.life)
  }

  /** Names of `READINGS` that are shown; utilization unless others are chosen. */
  get readings() {
    const named = this.address.place.readings.split(',')
    const known = Object.keys(READINGS).filter((name) => named.includes(name))
    return known.length ? known : ['utilization']
  }

  /** Keys of tasks or cards that are shown; none: all. */
  get chosen() {
    return this.address.place.cards.split(',').filter(Boolean)
  }

  /** The task whose cards are shown, where all cards would be too many; null: all tasks. */
  get task() {
    if (!this.means || this.means.devices.length <= MOST_CARDS) return null
    const [first] = this.chosen
    return first?.includes('/') ? first.split('/')[0] : null
  }

  /** Whether the job has cards at all, as far as it is known. */
  get hasCards() {
    return Boolean(this.means?.devices.length)
  }

  get ended() {
    return Boolean(this.job.job?.ended_at)
  }

  /** Whether there is a reading of a card in what is shown. */
  get drawn() {
    return this.lastReadingMs !== null
  }

  /** End of the last part that has a reading; null where none has. */
  get lastReadingMs() {
    const { series, parts } = this.answer
    const places = series.flatMap(({ readings }) => Object.values(readings).map(({ mean }) => mean.findLastIndex((value) => value != null)))
    const last = Math.max(-1, ...places)
    return last < 0 ? null : parts.fromMs + (last + 1) * parts.stepMs
  }

  /** Rows to choose from. */
  get rows() {
    return this.answer ? legendOf(this.means, this.answer) : []
  }

  /** The series that are chosen, of those that have come (all, until those have): where few are to be told apart, each keeps its colour. */
  get series() {
    if (!this.answer) return []
    const { series } = this.answer
    const wanted = series.filter(({ key }) => this.chosen.includes(key))
    const shown = wanted.length ? wanted : series
    return series.length > COLOURS ? shown.map((one, colour) => ({ ...one, colour })) : shown
  }

  /** Shows one more task or card, or one less. */
  toggle(key) {
    const { chosen, task } = this
    const wanted = chosen.includes(key) ? chosen.filter((one) => one !== key) : [...chosen.filter((one) => !one.endsWith('/')), key]
    this.#choose(wanted.length || task === null ? wanted : [`${task}/`])
  }

  /** Shows the cards of one task; null: all tasks. */
  openTask(task) {
    this.#choose(task === null ? [] : [`${task}/`])
  }

  showAll() {
    this.openTask(this.task)
  }

  toggleReading(name) {
    const shown = this.readings
    const wanted = Object.keys(READINGS).filter((one) => (one === name) !== shown.includes(one))
    const usual = wanted.join() === 'utilization' || !wanted.length
    this.address.go({ readings: usual ? '' : wanted.join(',') }, { replace: true })
  }

  zoom({ fromMs, toMs }) {
    this.address.go(addressOf({ fromMs, toMs }))
  }

  /** So many times as long a span, around a moment (the middle unless said). */
  zoomBy(factor, aroundMs = null) {
    const { life, span } = this
    const wider = zoomedBy(span, factor, aroundMs ?? (span.fromMs + span.toMs) / 2, life)
    if (wider.fromMs <= life.fromMs && wider.toMs >= life.toMs) this.reset()
    else this.zoom(wider)
  }

  reset() {
    this.address.go({ from: '', to: '' })
  }

  // --- what is drawn

  /** How finely a span is to be cut; a screen shows no more parts than it has pixels. */
  setPoints(points) {
    this.points = points
    this.#askSoon(this.answer ? RESIZED_MS : 0, { ifOther: true })
  }

  /** While the reader drags, nothing moves below the pointer. */
  hold(held) {
    this.held = held
    if (!held) this.changed()
  }

  retry() {
    this.#askSoon(0)
  }

  #choose(keys) {
    this.address.go({ cards: keys.join(',') }, { replace: true })
  }

  #placeChanged() {
    if (this.address.place.job !== this.job.id) return
    this.changed()
    this.#askSoon(0, { ifOther: true })
  }

  #askSoon(waitMs, { ifOther = false } = {}) {
    if (!this.job.job || (ifOther && this.#key() === this.asked)) return
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.#ask(), waitMs)
  }

  /** What an answer depends on, time left aside. */
  #key() {
    const { from, to } = this.address.place
    return JSON.stringify([from, to, this.readings, this.task, partsOf(this.span, this.points).stepMs])
  }

  async #ask() {
    if (document.hidden) return // asked when the page is looked at again
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    this.asked = this.#key()
    const began = performance.now()
    try {
      if (!this.means) await this.#learnLife(request.signal)
      const parts = partsOf(this.span, this.points)
      const { task } = this
      const by = task !== null || this.means.devices.length <= MOST_CARDS ? 'device' : 'task'
      this.#take(await this.http.utilization(this.job.id, this.#parameters(parts, by), { signal: request.signal }), { by, task, parts })
      this.error = null
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    }
    if (this.request !== request) return
    this.request = null
    this.changed()
    const waitMs = Math.max(POLL_MS, POLL_SHARE * (performance.now() - began))
    if (this.error || this.#goesOn()) this.#askSoon(waitMs)
  }

  /** How many cards there are, and since when: readings may be older than what is known of the job. */
  async #learnLife(signal) {
    const { from, means } = await this.http.utilization(this.job.id, { points: 1, by: 'job' }, { signal })
    Object.assign(this, { means, firstMs: Date.parse(from) })
    this.asked = this.#key()
  }

  #parameters(parts, by) {
    return {
      from: new Date(parts.fromMs).toISOString(),
      to: new Date(parts.toMs).toISOString(),
      points: parts.points,
      by,
      task: this.task,
      readings: [...this.readings.map((name) => READINGS[name]), ...(this.readings.includes('memory') ? [TOTAL_MEMORY] : [])].join(','),
    }
  }

  #take({ series, means, log_lines: logLines, events, bucket_seconds: seconds }, { by, task, parts }) {
    const keyed = series.map((one, colour) => ({ ...one, colour, key: keyOf(by === 'device' ? one : { task: one.task }) }))
    const stepMs = seconds * 1000 // longer than asked for where there would be too many
    this.means = means
    const points = Math.round((parts.toMs - parts.fromMs) / stepMs)
    const lines = logLines ?? new Array(points).fill(0) // not counted yet: its plot stands there before the first is
    this.answer = { by, task, series: keyed, logLines: lines, events, parts: { ...parts, stepMs, points } }
  }

  /** Whether more can come within what is shown. */
  #goesOn() {
    return !this.ended && this.answer.parts.toMs > this.now() - POLL_MS
  }
}
