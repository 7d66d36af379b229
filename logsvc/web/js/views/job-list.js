/** The jobs: which there are, how they stand, how much they have written. */

import { formatBytes, formatDateTime } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { html, useChanges, useEffect } from './html.js'
import { ErrorNotice, Flags, Icon, Loading, Notice, Status } from './parts.js'
import { follow } from './top-bar.js'
import { STATUSES, statusWord } from './words.js'

export function JobListView({ jobs, address }) {
  useChanges(jobs)
  useEffect(() => {
    jobs.start()
    return () => jobs.stop()
  }, [jobs])
  return html`<main class="jobs">
    <div class="jobs-head">
      <h1>${t('jobs.title')}</h1>
      ${jobs.jobs && html`<span class="jobs-count">${jobs.next ? t('jobs.countAtLeast', { count: jobs.jobs.length }) : t('jobs.count', { count: jobs.jobs.length })}</span>`}
      <div class="jobs-tools">
        <input
          class="input jobs-filter"
          type="search"
          placeholder=${t('jobs.filter')}
          aria-label=${t('jobs.filter')}
          value=${jobs.filters.q}
          onInput=${(event) => jobs.filter({ q: event.target.value.trim() })}
        />
        <select class="select" aria-label=${t('jobs.status')} value=${jobs.filters.status} onChange=${(event) => jobs.filter({ status: event.target.value })}>
          <option value="">${t('jobs.anyStatus')}</option>
          ${STATUSES.map((status) => html`<option value=${status} key=${status}>${statusWord(status)}</option>`)}
        </select>
        <button type="button" class="button button-icon" aria-label=${t('jobs.refresh')} title=${t('jobs.refresh')} onClick=${() => jobs.reload()}><${Icon} name="refresh" /></button>
      </div>
    </div>
    <${Body} jobs=${jobs} address=${address} />
  </main>`
}

function Body({ jobs, address }) {
  if (!jobs.jobs) return jobs.error ? html`<${ErrorNotice} error=${jobs.error} onRetry=${() => jobs.reload()} />` : html`<${Loading} />`
  if (!jobs.jobs.length) return jobs.filtered ? html`<${NoneFound} jobs=${jobs} />` : html`<${Empty} />`
  return html`<div class="jobs-scroll">
    <table class="jobs-table">
      <thead>
        <tr>
          <th scope="col">${t('jobs.status')}</th>
          <th scope="col">${t('jobs.name')}</th>
          <th scope="col" class="jobs-id">${t('jobs.id')}</th>
          <th scope="col">${t('jobs.owner')}</th>
          <th scope="col">${t('jobs.created')}</th>
          <th scope="col" class="is-number">${t('jobs.size')}</th>
          <th scope="col">${t('jobs.flags')}</th>
        </tr>
      </thead>
      <tbody>
        ${jobs.jobs.map((job) => html`<${Row} job=${job} address=${address} key=${job.id} />`)}
      </tbody>
    </table>
    ${jobs.next && html`<p class="jobs-more"><button type="button" class="button" onClick=${() => jobs.more()}>${t('jobs.more')}</button></p>`}
  </div>`
}

function Row({ job, address }) {
  const open = () => address.go({ job: job.id })
  const name = job.name || job.id
  return html`<tr onClick=${(event) => !event.target.closest('a') && document.getSelection().isCollapsed && open()}>
    <td><${Status} status=${job.status} /></td>
    <td class="jobs-name"><a href=${address.href({ job: job.id })} title=${name} onClick=${(event) => follow(event, open)}>${name}</a></td>
    <td class="jobs-id"><span title=${job.id}>${job.id}</span></td>
    <td class="jobs-owner"><span title=${job.owner ?? ''}>${job.owner ?? '–'}</span></td>
    <td class="is-time">${formatDateTime(job.created_at)}</td>
    <td class="is-number">${formatBytes(job.log_bytes, currentLanguage())}</td>
    <td class="jobs-flags"><${Flags} job=${job} /></td>
  </tr>`
}

function NoneFound({ jobs }) {
  return html`<${Notice} what=${t('jobs.noneFound')}>
    <p><button type="button" class="button" onClick=${() => jobs.filter({ q: '', status: '' })}>${t('jobs.clearFilter')}</button></p>
  <//>`
}

function Empty() {
  const server = new URL('.', document.baseURI).href.replace(/\/$/, '')
  return html`<${Notice} what=${t('jobs.empty')}>
    <p class="notice-how">${t('jobs.emptyHow')}</p>
    <pre class="command">logsvc-collector run --job my-job --task worker-0 --server ${server} -- python train.py</pre>
    <p class="notice-how">${t('jobs.emptyWatch')}</p>
    <pre class="command">logsvc-collector watch /path/to/logs --job my-job --task worker-0 --server ${server}</pre>
    <p class="notice-how">${t('jobs.emptyToken')}</p>
    <pre class="command">logsvc token create --role ingest</pre>
  <//>`
}
