/** One job: what it is, its log files, and the log that is open. */

import { formatBytes, formatDateTime } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { html, useChanges } from './html.js'
import { LogView } from './log-view.js'
import { ErrorNotice, Flags, Loading, Notice, Status } from './parts.js'
import { StreamTree } from './stream-tree.js'

export function JobView({ reader, address, settings }) {
  useChanges(reader, reader.job, settings)
  const { job, log } = reader
  if (!job) return null
  if (!job.streams) return html`<main class="job">${job.error ? html`<${JobError} job=${job} />` : html`<${Loading} />`}</main>`
  return html`<main class="job ${settings.get('treeHidden') ? 'is-tree-hidden' : ''}">
    <${JobHead} job=${job} reader=${reader} />
    <div class="job-body">
      <${StreamTree} job=${job} stream=${log?.stream} task=${reader.task} address=${address} onTask=${(task) => openTask(task, { job, log, address })} />
      ${log ? html`<${LogView} reader=${reader} job=${job} log=${log} search=${reader.search} address=${address} settings=${settings} key=${log.stream.id} />` : html`<${NoLog} reader=${reader} />`}
    </div>
  </main>`
}

function JobHead({ job, reader }) {
  const { job: facts } = job
  const advice = (facts.findings ?? []).map(({ advice: text }) => text).filter(Boolean)
  return html`<div class="job-head">
    <${Status} status=${facts.status} />
    <span class="job-id" title=${facts.id}>${facts.id}</span>
    ${facts.owner && html`<span class="job-fact">${t('job.owner', { owner: facts.owner })}</span>`}
    <span class="job-fact">${t('job.created', { time: formatDateTime(facts.created_at) })}</span>
    ${facts.ended_at && html`<span class="job-fact">${t('job.ended', { time: formatDateTime(facts.ended_at) })}</span>`}
    <span class="job-fact">${t('job.size', { size: formatBytes(facts.log_bytes ?? 0, currentLanguage()) })}</span>
    <${Flags} job=${facts} />
    ${advice.length > 0 && html`<span class="job-advice" title=${advice.join('\n')}>${advice.join(' ')}</span>`}
    ${facts.log_bytes > 0 && html`<a class="job-download" href=${reader.http.downloadUrl(facts.id).href}>${t('job.download')}</a>`}
  </div>`
}

/** The same kind of file in the other task, else its first. */
function openTask(task, { job, log, address }) {
  const files = job.tree(task)
  const file = (files.find(({ kind }) => kind === log?.stream.kind) ?? files[0])?.files[0]
  address.go(file ? { ...job.placeOf(file.streams[0]), line: null } : { task, file: '', gen: 0, line: null })
}

function NoLog({ reader }) {
  if (reader.missing && reader.job.tree(reader.task).length) return html`<${Notice} what=${t('job.noStream')} how=${t('job.noStreamHow')} />`
  if (reader.job.streams.length) return html`<${Notice} what=${t('job.noTaskStreams')} how=${t('job.noStreamsHow')} />`
  return html`<${Notice} what=${t('job.noStreams')} how=${t('job.noStreamsHow')} />`
}

function JobError({ job }) {
  if (job.error.status === 404) return html`<${Notice} what=${t('job.gone', { job: job.id })} how=${t('job.goneHow')} />`
  return html`<${ErrorNotice} error=${job.error} onRetry=${() => job.reload()} />`
}
