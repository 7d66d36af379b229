/** What the chart writes; the plots themselves know no language. */

import { formatBytes, formatCount, formatDuration, formatNumber, formatPercent, formatSecond, fromTo } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { bridgedParts, columnsOf, READINGS, valueAt } from '../models/chart-data.js'
import { findingName, findingWords } from './finding-words.js'

const DAY_S = 86_400
const MOST_TOLD = 8 // lines whose values are told one by one

const READING_WORDS = {
  utilization: () => t('chart.utilization'),
  memory: () => t('chart.memory'),
  power: () => t('chart.power'),
  temperature: () => t('chart.temperature'),
}

const VALUES = {
  utilization: (value) => formatPercent(value, currentLanguage()),
  memory: (value) => formatBytes(value, currentLanguage()),
  power: (value) => `${formatCount(Math.round(value), currentLanguage())} W`,
  temperature: (value) => `${formatCount(Math.round(value), currentLanguage())} °C`,
  log: (value) => formatNumber(value, currentLanguage()),
}

export function readingWord(name) {
  return READING_WORDS[name]()
}

/** A value of a reading; "–" where there is none. */
export function valueWords(name, value) {
  return value == null ? '–' : VALUES[name](value)
}

/** "card 3", "worker-1, card 3", "worker-1": what a row of the legend is called. */
export function rowName({ task, device }, { several }) {
  if (device == null) return task ?? t('chart.wholeJob')
  return several ? t('chart.cardOf', { task, device }) : t('chart.card', { device })
}

/** @param {{chart: object}} given words of places depend on what the chart shows */
export function chartPaneWords({ chart }) {
  return { names: { ...READING_WORDS, log: () => t('chart.logLines') }, labels: VALUES, time: axisTime, place: (i, end) => placeWords(chart, i, end) }
}

/** "05:12", with the day below where a new one begins. */
function axisTime(seconds, step, previous) {
  const date = new Date(seconds * 1000)
  const day = `${two(date.getMonth() + 1)}-${two(date.getDate())}`
  if (step >= DAY_S) return day
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}${step < 60 ? `:${two(date.getSeconds())}` : ''}`
  const before = previous === null ? null : new Date(previous * 1000)
  return before && before.getDate() !== date.getDate() ? day : clock
}

/** Where the keys stand, and what the cards did there, for those who hear it. */
function placeWords(chart, i, end) {
  const { answer, series } = chart
  const { parts } = answer
  const timeOf = (place) => formatSecond(parts.fromMs + place * parts.stepMs)
  if (end !== null) return t('chart.placeSpan', fromTo(parts.fromMs + Math.min(i, end) * parts.stepMs, parts.fromMs + (Math.max(i, end) + 1) * parts.stepMs))
  const [name] = chart.readings
  const { lines } = columnsOf({ parts, series }, READINGS[name])
  const several = new Set(chart.rows.map(({ task }) => task)).size > 1
  const values = lines.map(({ values: column }) => valueAt(column, i, bridgedParts(parts.stepMs)))
  return t('chart.place', { time: timeOf(i), values: valuesWords(name, series, values, several) })
}

function valuesWords(name, series, values, several) {
  const there = values.filter((value) => value !== null)
  if (!there.length) return t('chart.placeNone')
  if (series.length > MOST_TOLD) return t('chart.placeMany', { count: there.length, low: valueWords(name, Math.min(...there)), high: valueWords(name, Math.max(...there)) })
  return series.map((one, at) => t('chart.placeOne', { name: rowName(one, { several }), value: valueWords(name, values[at]) })).join(', ')
}

/** Events and spans of findings as the chart marks them. */
export function chartMarks({ events }, { findings = [] }, now) {
  return {
    events: events.map(({ at, name, change }) => ({ at: Date.parse(at), kind: change, words: eventWords({ at, name, change }) })),
    spans: findings
      .filter(({ from }) => from)
      .map((finding) => ({
        fromMs: Date.parse(finding.from),
        toMs: finding.to ? Date.parse(finding.to) : now,
        kind: finding.name === 'hung' ? 'grave' : 'mild',
        words: `${findingName(finding.name)}: ${findingWords(finding).reason}`,
      })),
  }
}

export function eventWords({ at, name, change }) {
  const values = { name: findingName(name), time: formatSecond(at) }
  return change === 'cleared' ? t('chart.cleared', values) : t('chart.raised', values)
}

/** How far the watch for a hang is, in words and numbers. */
export function hangWords({ stage, io_still_seconds: still, cycles, variance, median_percent: median }) {
  const language = currentLanguage()
  const span = formatDuration(still ?? 0, language)
  const state = stage === 2 ? t('chart.hangStands', { span }) : stage === 1 ? t('chart.hangStill', { span }) : t('chart.hangMoving')
  const numbers = [
    t('chart.hangCycles', { count: cycles ?? 0 }),
    variance != null && t('chart.hangVariance', { value: formatNumber(variance, language) }),
    median != null && t('chart.hangMedian', { value: formatPercent(median, language) }),
  ]
  return { state, numbers: numbers.filter(Boolean).join(' · ') }
}

const SAMPLER_STATES = {
  absent: (given) => t('chart.samplerAbsent', given),
  hung: (given) => t('chart.samplerHung', given),
  failed: (given) => t('chart.samplerFailed', given),
}

/**
 * What goes wrong when cards are read: one sentence for all tasks where the same does. Where cards are read, it is
 * no trouble that another kind of card is not there.
 */
export function samplerTroubles(samplers = [], hasCards = false) {
  const alike = new Map()
  for (const one of samplers) {
    if (!Object.hasOwn(SAMPLER_STATES, one.state) || (hasCards && one.state === 'absent')) continue
    const key = JSON.stringify([one.name, one.state, one.reason])
    alike.set(key, [...(alike.get(key) ?? []), one])
  }
  return [...alike.values()].map(([first, ...others]) => ({
    what: SAMPLER_STATES[first.state]({ task: first.task, name: first.name }),
    more: others.length ? t('chart.samplersMore', { count: others.length }) : '',
    reason: first.reason ? t('chart.says', { reason: first.reason }) : '',
  }))
}

function two(number) {
  return String(number).padStart(2, '0')
}
