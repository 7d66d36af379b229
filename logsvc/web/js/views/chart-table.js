/** What the chart shows, as a table: for those who do not see it, and for whoever wants numbers. */

import { fromTo } from '../helpers/format.js'
import { t } from '../i18n/index.js'
import { rangeOf, READINGS } from '../models/chart-data.js'
import { readingWord, rowName, valueWords } from './chart-words.js'
import { html, useLayoutEffect, useRef } from './html.js'

export function ChartTable({ chart }) {
  const { answer, series, span, rows } = chart
  const several = new Set(rows.map(({ task }) => task)).size > 1
  const means = new Map(rows.map(({ key, mean }) => [key, mean]))
  const [reading] = chart.readings
  const table = useRef(null)
  useLayoutEffect(() => table.current.scrollIntoView({ block: 'nearest' }), []) // it was asked for: below several plots it would not be seen
  return html`<div class="chart-table" ref=${table} tabindex="0" role="region" aria-label=${t('chart.table')}>
    <table>
      <caption>
        ${t('chart.tableCaption', { reading: readingWord(reading), ...fromTo(span.fromMs, span.toMs) })}
      </caption>
      <thead>
        <tr>
          <th scope="col">${t('chart.name')}</th>
          <th scope="col">${t('chart.low')}</th>
          <th scope="col">${t('chart.high')}</th>
          <th scope="col">${t('chart.last')}</th>
          <th scope="col" title=${t('chart.meanTitle')}>${t('chart.mean')}</th>
        </tr>
      </thead>
      <tbody>
        ${series.map((one) => {
          const { min = [], mean = [], max = [] } = one.readings[READINGS[reading]] ?? {}
          const low = rangeOf(min)?.low
          const high = rangeOf(max)?.high
          return html`<tr key=${one.key}>
            <th scope="row">${rowName(answer.by === 'device' ? one : { task: one.task }, { several })}</th>
            <td>${valueWords(reading, low)}</td>
            <td>${valueWords(reading, high)}</td>
            <td>${valueWords(reading, mean.findLast((value) => value != null))}</td>
            <td>${valueWords('utilization', means.get(one.key))}</td>
          </tr>`
        })}
      </tbody>
    </table>
  </div>`
}
