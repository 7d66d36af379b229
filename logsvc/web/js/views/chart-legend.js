/** The chart's cards or workers: which line is which, what it stands at, its mean, and which of them are shown. */

import { formatSecond } from '../helpers/format.js'
import { t } from '../i18n/index.js'
import { isColoured, lineColour } from '../chart/plot.js'
import { bridgedParts, ordered, READINGS, valueAt } from '../models/chart-data.js'
import { rowName, valueWords } from './chart-words.js'
import { html, useState } from './html.js'
import { Icon } from './parts.js'

const DAY_CHARACTERS = '2026-11-24 '.length
const FILTERED_FROM = 12 // rows
const MOST_ROWS = 200 // that are drawn; the filter finds the others

/** @param {object} given place: of the pointer or the keys, null: none; stressed: key of the line that stands out */
export function ChartLegend({ chart, place, stressed, onStress }) {
  const [filter, setFilter] = useState('')
  const [byMean, setByMean] = useState(false)
  const { rows, chosen } = chart
  const { task } = chart.answer
  const several = new Set(rows.map((row) => row.task)).size > 1
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  const named = rows.map((row) => ({ ...row, name: rowName(row, { several }) }))
  const found = ordered(named, byMean).filter(({ name, key }) => words.every((word) => name.toLowerCase().includes(word) || key.includes(word)))
  const values = valuesAt(chart, place)
  const shown = new Map(chart.series.map(({ key, colour }) => [key, colour]))
  const byTask = rows.some(({ device }) => device === null)
  const title = task !== null ? t('chart.cardsOf', { task }) : byTask ? t('chart.tasks') : t('chart.legend')
  return html`<section class="legend" aria-label=${title}>
    <div class="legend-head">
      ${task !== null ? html`<button type="button" class="button-link" onClick=${() => chart.openTask(null)}>${t('chart.allTasks')}</button>` : html`<span>${title}</span>`}
      ${chosen.some((key) => !key.endsWith('/')) && html`<button type="button" class="button-link" title=${t('chart.allTitle')} onClick=${() => chart.showAll()}>${t('chart.all')}</button>`}
      <span class="legend-now">${place === null ? (chart.ended ? t('chart.last') : t('chart.now')) : formatSecond(timeOf(chart, place)).slice(DAY_CHARACTERS)}</span>
      <button type="button" class="legend-mean" aria-pressed=${byMean ? 'true' : 'false'} title=${t('chart.meanTitle')} onClick=${() => setByMean(!byMean)}>${t('chart.mean')}${byMean && html`<${Icon} name="up" />`}</button>
    </div>
    ${rows.length > FILTERED_FROM && html`<input class="input legend-filter" type="search" placeholder=${t('chart.filterRows', { count: rows.length })} aria-label=${t('chart.filterRows', { count: rows.length })} value=${filter} onInput=${(event) => setFilter(event.target.value)} />`}
    <ul class="legend-rows" onPointerLeave=${() => onStress(null)}>
      ${found.slice(0, MOST_ROWS).map((row) => html`<${Row} row=${row} chart=${chart} colour=${shown.get(row.key) ?? null} coloured=${isColoured(shown.size)} on=${chosen.includes(row.key)} value=${values.get(row.key)} stressed=${row.key === stressed} onStress=${onStress} key=${row.key} />`)}
    </ul>
  </section>`
}

function Row({ row, chart, colour, coloured, on, value, stressed, onStress }) {
  const { key, name, task, device, mean } = row
  const opens = device === null && chart.answer.by === 'task'
  return html`<li class="legend-row ${stressed ? 'is-stressed' : ''} ${colour === null ? 'is-out' : ''}" onPointerEnter=${() => onStress(key)}>
    <button type="button" class="legend-name" aria-pressed=${on ? 'true' : 'false'} title=${name} onClick=${() => chart.toggle(key)} onFocus=${() => onStress(key)} onBlur=${() => onStress(null)}>
      <span class="legend-line" aria-hidden="true" style=${colour !== null && coloured ? { background: lineColour(colour) } : {}}></span><span class="legend-words">${name}</span>
      <span class="legend-value">${valueWords(chart.readings[0], value)}</span>
      <span class="legend-value legend-of-life">${valueWords('utilization', mean)}</span>
    </button>
    ${opens && html`<button type="button" class="legend-open" aria-label=${t('chart.openCards', { task })} title=${t('chart.openCards', { task })} onClick=${() => chart.openTask(task)}><${Icon} name="right" /></button>`}
  </li>`
}

function timeOf({ answer: { parts } }, place) {
  return parts.fromMs + place * parts.stepMs
}

/** Value of each line at a place of the chart, else its last. */
function valuesAt({ answer, readings }, place) {
  const { parts, series } = answer
  const bridged = place === null ? parts.points : bridgedParts(parts.stepMs)
  const column = (one) => one.readings[READINGS[readings[0]]]?.mean ?? []
  return new Map(series.map((one) => [one.key, valueAt(column(one), place ?? parts.points - 1, bridged)]))
}
