/** Below the chart, in words: why there are no readings, what is wrong with who reads the cards, how the hang watch stands, what happened. */

import { formatSecond } from '../helpers/format.js'
import { t } from '../i18n/index.js'
import { eventWords, hangWords, samplerTroubles } from './chart-words.js'
import { html } from './html.js'

const MOST_EVENTS = 20

export function ChartNotes({ chart, job }) {
  const state = stateWords(chart, job)
  const troubles = samplerTroubles(job.samplers, chart.hasCards)
  return html`<div class="chart-notes">
    ${state && html`<p class="chart-note" role="status">${state.what}${state.how && html` <span class="chart-how">${state.how}</span>`}</p>`}
    ${troubles.map(({ what, more, reason }) => html`<p class="chart-note is-wrong" key=${what}>${what} ${more} ${reason && html`<span class="chart-how">${reason}</span>`}</p>`)}
    ${(job.hang || job.events?.length > 0) && html`<${Watch} job=${job} />`}
  </div>`
}

function Watch({ job: { hang, events = [] } }) {
  const words = hang && hangWords(hang)
  return html`<details class="chart-watch">
    <summary>${t('chart.hangTitle')}${words && html`<span class="chart-watch-state">${words.state}</span>`}</summary>
    ${words && html`<p>${words.numbers}${hang.since && html` · ${t('job.since')} ${formatSecond(hang.since)}`}</p>`}
    <h3>${t('chart.events')}</h3>
    ${events.length
      ? html`<ul>
          ${events.slice(-MOST_EVENTS).reverse().map((event) => html`<li key=${`${event.at} ${event.name} ${event.change}`}>${eventWords(event)}</li>`)}
        </ul>`
      : html`<p>${t('chart.noEvents')}</p>`}
  </details>`
}

/** {what, how} of a chart that is empty or not fresh; null where all is well. */
function stateWords(chart, job) {
  if (job.utilization_state === 'none') return { what: t('chart.cpu') }
  if (!chart.hasCards) return job.ended_at ? { what: t('chart.noCardsEnded') } : { what: t('chart.noCards'), how: t('chart.noCardsHow') }
  if (job.utilization_state === 'stale') return { what: staleWords(chart) }
  return chart.drawn ? null : { what: t('chart.noneInSpan') }
}

function staleWords(chart) {
  const last = chart.lastReadingMs
  return last === null ? t('chart.staleNow') : t('chart.stale', { time: formatSecond(last) })
}
