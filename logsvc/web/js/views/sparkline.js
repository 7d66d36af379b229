/** How a job's cards work, small enough for a row: a line of the last hour, the mean, a word where there is neither. */

import { formatPercent } from '../helpers/format.js'
import { sparklineFacts, sparklinePath } from '../helpers/sparkline.js'
import { currentLanguage, t } from '../i18n/index.js'
import { html } from './html.js'

const BOX = Object.freeze({ width: 64, height: 18 })

/** Null for a job that says nothing of its cards. */
export function CardUse({ job }) {
  const { utilization_state: state, mean_utilization_percent: mean } = job
  if (state === 'none') return html`<${Word} words=${t('use.none')} title=${t('use.noneTitle')} />`
  if (state === 'no_data' && mean == null) return html`<${Word} words=${t('use.noData')} title=${t('use.noDataTitle')} />`
  return html`<span class="use ${state === 'stale' ? 'is-stale' : ''}">
    ${state === 'stale' && html`<${Word} words=${t('use.stale')} title=${t('use.staleTitle')} />`}
    <${Sparkline} job=${job} />
    ${mean != null && html`<span class="use-mean">${formatPercent(mean, currentLanguage())}</span>`}
  </span>`
}

/** Whether `CardUse` has anything to say. */
export function hasCardUse({ utilization_state: state, mean_utilization_percent: mean }) {
  return Boolean(state) || mean != null
}

function Sparkline({ job }) {
  const values = job.utilization_sparkline_percent
  const facts = sparklineFacts(values)
  if (!facts) return null
  const percent = (value) => formatPercent(value, currentLanguage())
  const words = t(job.ended_at ? 'use.sparkEnded' : 'use.spark', { low: percent(facts.low), high: percent(facts.high), last: percent(facts.last) })
  const { width, height } = BOX
  return html`<svg class="spark" role="img" aria-label=${words} viewBox="0 0 ${width} ${height}" width=${width} height=${height}>
    <title>${words}</title>
    <path class="spark-half" d="M0 ${height / 2}H${width}" />
    <path class="spark-line" d=${sparklinePath(values, BOX)} />
  </svg>`
}

function Word({ words, title }) {
  return html`<span class="use-word" title=${title}>${words}</span>`
}
