/** The jobs: which there are, how they stand, how much they have written. */

import { t } from '../i18n/index.js'
import { JobFilters, JobListHead } from './job-filters.js'
import { JobTable } from './job-table.js'
import { CopyButton } from './copy.js'
import { html, useChanges, useEffect } from './html.js'
import { ErrorNotice, Loading, Notice } from './parts.js'
import { SearchBar } from './search-bar.js'

export function JobListView({ jobs, settings, hits }) {
  useChanges(jobs, settings)
  useEffect(() => {
    jobs.start()
    return () => jobs.stop()
  }, [jobs])
  return html`<main class="jobs">
    <div class="jobs-search"><${SearchBar} hits=${hits} onLeave=${() => document.activeElement.blur()} /></div>
    <${JobListHead} jobs=${jobs} settings=${settings} />
    ${settings.get('jobFilters') && html`<${JobFilters} jobs=${jobs} />`}
    <${Body} jobs=${jobs} settings=${settings} />
  </main>`
}

function Body({ jobs, settings }) {
  if (!jobs.jobs || (jobs.error && !jobs.jobs.length)) return jobs.error ? html`<${ErrorNotice} error=${jobs.error} onRetry=${() => jobs.reload()} />` : html`<${Loading} />`
  if (jobs.jobs.length) return html`<${JobTable} jobs=${jobs} settings=${settings} />`
  if (jobs.activeFilters.length) return html`<${NoneFound} jobs=${jobs} />`
  return jobs.filters.owner ? html`<${NoneMine} jobs=${jobs} />` : html`<${Empty} />`
}

function NoneFound({ jobs }) {
  return html`<${Notice} what=${t('jobs.noneFound')} how=${jobs.filters.owner ? t('jobs.noneFoundMine') : ''}>
    <p><button type="button" class="button" onClick=${() => jobs.clearFilters()}>${t('jobs.clearFilter')}</button></p>
  <//>`
}

function NoneMine({ jobs }) {
  return html`<${Notice} what=${t('jobs.noneMine')} how=${t('jobs.noneMineHow')}>
    <p><button type="button" class="button" onClick=${() => jobs.filter({ owner: '' })}>${t('jobs.showAll')}</button></p>
  <//>`
}

function Empty() {
  const server = new URL('.', document.baseURI).href.replace(/\/$/, '')
  return html`<${Notice} what=${t('jobs.empty')}>
    <p class="notice-how">${t('jobs.emptyHow')}</p>
    <${Command} text="logsvc-collector run --job my-job --task worker-0 --server ${server} -- python train.py" />
    <p class="notice-how">${t('jobs.emptyWatch')}</p>
    <${Command} text="logsvc-collector watch /path/to/logs --job my-job --task worker-0 --server ${server}" />
    <p class="notice-how">${t('jobs.emptyToken')}</p>
    <${Command} text="logsvc token create --role ingest" />
  <//>`
}

function Command({ text }) {
  return html`<div class="command"><pre>${text}</pre><${CopyButton} text=${() => text} label=${t('app.copy')} bare /></div>`
}
