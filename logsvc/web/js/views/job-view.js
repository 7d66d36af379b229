/** One job: what it is, its log files, and the log that is open. */

import { formatBytes, formatDateTime } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { EMPTY_PANE } from '../models/address.js'
import { ChartView } from './chart-view.js'
import { CopyButton, fullLink } from './copy.js'
import { Download } from './download.js'
import { Findings } from './findings.js'
import { html, useChanges, useEffect, useRef } from './html.js'
import { listenKeys } from './log-keys.js'
import { LogTools } from './log-tools.js'
import { LogView, PaneHead } from './log-view.js'
import { ErrorNotice, Icon, Loading, Notice, Status } from './parts.js'
import { CardUse, hasCardUse } from './sparkline.js'
import { StreamTree } from './stream-tree.js'

const NARROW = '(max-width: 760px), (max-height: 560px)'

export function JobView({ reader, settings }) {
  useChanges(reader, reader.job, reader.address, settings)
  const jumpInput = useRef(null)
  const { job } = reader
  useEffect(() => listenKeys({ reader, settings, jumpInput }), [reader, settings])
  if (!job) return null
  if (!job.streams) return html`<main class="job">${job.error ? html`<${JobError} job=${job} />` : html`<${Loading} />`}</main>`
  const { active, panes } = reader
  return html`<main class="job ${settings.get('treeHidden') ? 'is-tree-hidden' : ''}">
    <${JobHead} job=${job} reader=${reader} settings=${settings} />
    <${Findings} job=${job.job} now=${Date.now()} reader=${reader} />
    ${showsChart(job.job, reader, settings) && html`<${ChartView} reader=${reader} chart=${reader.chart} key=${job.id} />`}
    <div class="job-body">
      <${StreamTree} job=${job} task=${reader.task} reader=${reader} onTask=${(task) => openTask(task, reader)} />
      <div class="job-logs">
        ${active?.log && html`<${LogTools} reader=${reader} pane=${active} settings=${settings} jumpInput=${jumpInput} />`}
        <div class="job-panes">
          ${panes.map((pane) => (pane.log ? html`<${LogView} reader=${reader} job=${job} pane=${pane} settings=${settings} key=${pane.id} />` : html`<${NoLog} reader=${reader} pane=${pane} key=${pane.id} />`))}
        </div>
      </div>
    </div>
  </main>`
}

function JobHead({ job, reader, settings }) {
  const { job: facts } = job
  const chart = showsChart(facts, reader, settings)
  return html`<div class="job-head">
    <${Status} status=${facts.status} />
    <span class="job-id" title=${facts.id}>${facts.id}</span>
    <${CopyButton} text=${() => fullLink(reader.address.href({ job: facts.id }))} label=${t('job.copyLink')} icon="link" bare />
    ${facts.owner && html`<span class="job-fact">${t('job.owner', { owner: facts.owner })}</span>`}
    <span class="job-fact">${t('job.created', { time: formatDateTime(facts.created_at) })}</span>
    ${facts.ended_at && html`<span class="job-fact">${t('job.ended', { time: formatDateTime(facts.ended_at) })}</span>`}
    <span class="job-fact">${t('job.size', { size: formatBytes(facts.log_bytes ?? 0, currentLanguage()) })}</span>
    ${hasCardUse(facts) &&
    html`<button type="button" class="job-use" aria-expanded=${chart ? 'true' : 'false'} title=${chart ? t('chart.fold') : t('chart.unfold')} onClick=${() => settings.set('chart', chart ? 'folded' : 'shown')}>
      <${Icon} name="chart" />${t('chart.utilization')} <${CardUse} job=${facts} /><${Icon} name=${chart ? 'up' : 'down'} />
    </button>`}
    ${facts.log_bytes > 0 && html`<${Download} job=${job} http=${reader.http} />`}
  </div>`
}

/** As the reader chose; else where there are readings, and room for more than the log and the list of its hits. */
function showsChart(job, { address }, settings) {
  const chosen = settings.get('chart')
  if (chosen) return chosen === 'shown' && hasCardUse(job)
  return ['measured', 'stale'].includes(job.utilization_state) && !address.place.hits && !matchMedia(NARROW).matches
}

/** The same kind of file in the other task, of the same device where it has one, else its first. */
function openTask(task, reader) {
  const { job, active } = reader
  const files = job.tree(task)
  const same = files.find(({ kind }) => kind === active.stream?.kind) ?? files[0]
  const file = same?.files.find(({ streams: [{ device }] }) => device === active.stream?.device) ?? same?.files[0]
  reader.go(active, file ? job.startOf(file.streams[0]) : { ...EMPTY_PANE, task })
}

function NoLog({ reader, pane }) {
  return html`<section class="log" onFocusCapture=${() => reader.activate(pane)} onPointerDownCapture=${() => reader.activate(pane)}>
    ${reader.panes.length > 1 && html`<${PaneHead} reader=${reader} pane=${pane} />`}
    <${NoLogNotice} job=${reader.job} task=${pane.place.task} />
  </section>`
}

function NoLogNotice({ job, task }) {
  if (task && job.tree(task).length) return html`<${Notice} what=${t('job.noStream')} how=${t('job.noStreamHow')} />`
  if (job.streams.length) return html`<${Notice} what=${t('job.noTaskStreams')} how=${t('job.noStreamsHow')} />`
  return html`<${Notice} what=${t('job.noStreams')} how=${t('job.noStreamsHow')} />`
}

function JobError({ job }) {
  if (job.error.status === 404) return html`<${Notice} what=${t('job.gone', { job: job.id })} how=${t('job.goneHow')} />`
  return html`<${ErrorNotice} error=${job.error} onRetry=${() => job.reload()} />`
}
