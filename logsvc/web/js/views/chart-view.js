/** The chart over the logs: its plots, what may be chosen, and in words why there is nothing to see. */

import { fromTo } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { ChartPane } from '../chart/chart-pane.js'
import { READINGS } from '../models/chart-data.js'
import { toTime } from '../models/chart-span.js'
import { ChartLegend } from './chart-legend.js'
import { ChartNotes } from './chart-notes.js'
import { ChartTable } from './chart-table.js'
import { chartMarks, chartPaneWords, readingWord } from './chart-words.js'
import { html, useChanges, useEffect, useLayoutEffect, useRef, useState } from './html.js'
import { Icon } from './parts.js'
import { errorWords } from './words.js'

const ZOOM = 2

export function ChartView({ reader, chart }) {
  useChanges(chart, reader, reader.cursor)
  const host = useRef(null)
  const pane = useRef(null)
  const [place, setPlace] = useState(null)
  const [stressed, setStressed] = useState(null)
  const [table, setTable] = useState(false)
  const language = currentLanguage()
  const { answer } = chart

  useEffect(() => {
    chart.start()
    return () => chart.stop()
  }, [chart])
  useLayoutEffect(() => {
    const made = new ChartPane(host.current, { words: chartPaneWords({ chart }), on: actions({ reader, chart, setPlace, setStressed }) })
    pane.current = made
    return () => made.close()
  }, [chart])
  // Not for each place of the pointer: only what changes the picture draws it again.
  useEffect(() => {
    if (answer && !chart.held) pane.current.show(shown({ reader, chart, language }))
  }, [answer, chart.held, reader.address.place, reader.cursor.at, reader.job.job, language])
  const stress = (key) => {
    setStressed(key)
    pane.current.stress(key)
  }
  return html`<section class="chart" aria-label=${t('chart.label')}>
    <${Head} chart=${chart} table=${table} onTable=${() => setTable(!table)} />
    <div class="chart-body ${answer && !chart.drawn ? 'is-empty' : ''}">
      <div
        class="chart-plots"
        ref=${host}
        tabindex="0"
        role="slider"
        aria-label="${t('chart.label')}. ${t('chart.keys')}"
        aria-valuemin="0"
        aria-valuemax=${Math.max(0, (answer?.parts.points ?? 1) - 1)}
        aria-valuenow="0"
      ></div>
      ${!answer && html`<p class="chart-cover" role="status">${chart.error ? html`<${Failed} chart=${chart} />` : t('chart.loading')}</p>`}
      ${answer && chart.hasCards && html`<${ChartLegend} chart=${chart} place=${place} stressed=${stressed} onStress=${stress} />`}
    </div>
    ${answer && chart.error && html`<p class="chart-note is-wrong" role="status"><${Failed} chart=${chart} /></p>`}
    ${answer && html`<${ChartNotes} chart=${chart} job=${reader.job.job} />`}
    ${table && answer && html`<${ChartTable} chart=${chart} />`}
  </section>`
}

function Head({ chart, table, onTable }) {
  const { span, readings, hasCards } = chart
  return html`<div class="chart-head">
    ${hasCards &&
    html`<div class="chart-readings" role="group" aria-label=${t('chart.readings')}>
      ${Object.keys(READINGS).map((name) => html`<button type="button" class="button toggle" aria-pressed=${readings.includes(name) ? 'true' : 'false'} onClick=${() => chart.toggleReading(name)} key=${name}>${readingWord(name)}</button>`)}
    </div>`}
    <span class="chart-from-to" title=${t('chart.band')}>${t('chart.span', fromTo(span.fromMs, span.toMs))}</span>
    <span class="chart-hint">${t('chart.how')}</span>
    <div class="chart-tools">
      ${span.zoomed && html`<button type="button" class="button chart-whole" title=${t('chart.wholeTitle')} onClick=${() => chart.reset()}>${t('chart.whole')}</button>`}
      <${Tool} icon="minus" label=${t('chart.zoomOut')} disabled=${!span.zoomed} onClick=${() => chart.zoomBy(ZOOM)} />
      <${Tool} icon="plus" label=${t('chart.zoomIn')} onClick=${() => chart.zoomBy(1 / ZOOM)} />
      ${hasCards && html`<button type="button" class="button toggle" aria-expanded=${table ? 'true' : 'false'} title=${t('chart.tableTitle')} onClick=${onTable}>${t('chart.table')}</button>`}
    </div>
  </div>`
}

function Tool({ icon, label, disabled = false, onClick }) {
  return html`<button type="button" class="button button-icon" aria-label=${label} title=${label} disabled=${disabled} onClick=${onClick}><${Icon} name=${icon} /></button>`
}

function Failed({ chart }) {
  return html`${t('chart.failed', { why: errorWords(chart.error).what })} <button type="button" class="button-link" onClick=${() => chart.retry()}>${t('app.retry')}</button>`
}

function shown({ reader, chart, language }) {
  const { answer, series, readings, span } = chart
  const { at } = reader.cursor
  return { answer, series, readings, language, span: span.zoomed ? span : answer.parts, moment: at ? Date.parse(at) : null, ...chartMarks(answer, reader.job.job, Date.now()) }
}

/** What the reader does on the plots. */
function actions({ reader, chart, setPlace, setStressed }) {
  return {
    points: (count) => chart.setPoints(count),
    span: (fromMs, toMs) => {
      chart.zoom({ fromMs, toMs })
      reader.cursor.showFrom(toTime(fromMs))
    },
    moment: (ms) => reader.cursor.showMoment(toTime(Math.round(ms))),
    zoom: (factor, ms) => chart.zoomBy(factor, ms),
    reset: () => chart.reset(),
    hold: (held) => chart.hold(held),
    place: setPlace,
    focus: setStressed,
  }
}
