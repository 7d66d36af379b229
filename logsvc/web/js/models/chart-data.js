/** What the service answers about a job's cards -> columns to draw and rows to list. */

import { naturalOrder } from '../helpers/format.js'

/** Readings by their names in the address, in this order. */
export const READINGS = Object.freeze({
  utilization: 'utilization_percent',
  memory: 'memory_used_bytes',
  power: 'power_watts',
  temperature: 'temperature_celsius',
})
export const COLOURS = 8 // lines; more cannot be told apart by colour
const BRIDGED_MS = 90_000 // what is missing for less is no gap: cards are asked every few seconds, or every minute

/** How a series is named in the address: "worker-0", or "worker-0/3" for a card; "" for the whole job. */
export function keyOf({ task, device }) {
  return [task, device].filter((part) => part != null).join('/')
}

/**
 * Columns of one reading; `series` as the service gives them, each with its key.
 *
 * @returns {{times, low, high, lines: {key, colour, values}[]}} times in seconds, at the middle of each part; low and high
 *   enclose every reading of the lines; null where there is none.
 */
export function columnsOf({ parts, series }, reading) {
  const times = Array.from({ length: parts.points }, (_, i) => (parts.fromMs + (i + 0.5) * parts.stepMs) / 1000)
  const low = new Array(parts.points).fill(null)
  const high = new Array(parts.points).fill(null)
  const lines = series.map((one) => {
    const { min = [], mean = [], max = [] } = one.readings[reading] ?? {}
    for (let i = 0; i < parts.points; i += 1) {
      if (min[i] != null && (low[i] === null || min[i] < low[i])) low[i] = min[i]
      if (max[i] != null && (high[i] === null || max[i] > high[i])) high[i] = max[i]
    }
    return { key: one.key, colour: one.colour, values: Array.from({ length: parts.points }, (_, i) => mean[i] ?? null) }
  })
  return { times, low, high, lines }
}

/** How many parts without a reading a line still runs across. */
export function bridgedParts(stepMs) {
  return Math.floor(BRIDGED_MS / stepMs)
}

/** Places in a column that stand alone: without a neighbour they would not be seen as a line. */
export function lonePlaces(values, bridged) {
  const lone = []
  let last = -Infinity // place of the reading before
  let joined = false // whether a line leads to it
  values.forEach((value, i) => {
    if (value === null) return
    const joins = i - last <= bridged + 1
    if (!joins && !joined && last >= 0) lone.push(last)
    joined = joins
    last = i
  })
  if (last >= 0 && !joined) lone.push(last)
  return lone
}

/** The last reading at or before place `i` that still counts there; null where there is none. */
export function valueAt(values, i, bridged) {
  for (let at = i; at >= Math.max(0, i - bridged); at -= 1) if (values[at] != null) return values[at]
  return null
}

/**
 * The rows of the legend: what may be chosen, each with its mean over the job's whole life.
 *
 * @param {object} means as the service gives them; @param {string} by "device" or "task"; @param {string|null} task only its cards
 */
export function legendOf(means, { by, task = null }) {
  const given = by === 'device' ? means.devices.filter((one) => task === null || one.task === task) : means.tasks
  return given
    .map((one) => ({ key: keyOf(by === 'device' ? one : { task: one.task }), task: one.task, device: by === 'device' ? one.device : null, mean: one.mean_percent }))
    .sort((a, b) => naturalOrder(a.key, b.key))
}

/** By name, or those that work least first; those without a reading stand last. */
export function ordered(rows, byMean) {
  return byMean ? [...rows].sort((a, b) => (a.mean ?? Infinity) - (b.mean ?? Infinity)) : rows
}

/** Lowest, mean and highest of a column as numbers; null where it is empty. */
export function rangeOf(values) {
  const there = values.filter((value) => value !== null)
  if (!there.length) return null
  return { low: Math.min(...there), high: Math.max(...there), mean: there.reduce((sum, value) => sum + value, 0) / there.length }
}
