/** What the list of jobs shows: mine or all, the filters, the columns. */

import { t } from '../i18n/index.js'
import { COLUMNS, USUAL_COLUMNS, chosenColumns, withColumn } from '../models/job-columns.js'
import { html } from './html.js'
import { Menu } from './menu.js'
import { Icon } from './parts.js'
import { FLAG_NAMES, STATUSES, columnWord, flagWord, statusWord } from './words.js'

export function JobListHead({ jobs, settings }) {
  const { filters } = jobs
  const hidden = jobs.activeFilters.filter((name) => !['find', 'status'].includes(name)).length
  const open = settings.get('jobFilters')
  return html`<div class="jobs-head">
    <h1>${t('jobs.title')}</h1>
    <div class="segments" role="group" aria-label=${t('jobs.whose')}>
      <${Segment} on=${!filters.owner} onClick=${() => jobs.filter({ owner: '' })}>${t('jobs.all')}<//>
      <${Segment} on=${filters.owner === 'me'} onClick=${() => jobs.filter({ owner: 'me' })}>${t('jobs.mine')}<//>
    </div>
    <span class="jobs-count" role="status">${jobs.jobs && (jobs.next ? t('jobs.countAtLeast', { count: jobs.jobs.length }) : t('jobs.count', { count: jobs.jobs.length }))}</span>
    <div class="jobs-tools">
      <input
        class="input jobs-filter"
        id="jobs-find"
        type="search"
        placeholder=${t('jobs.filter')}
        aria-label=${t('jobs.filter')}
        value=${filters.find}
        onInput=${(event) => jobs.filter({ find: event.target.value })}
      />
      <select class="select" id="jobs-status" aria-label=${t('jobs.status')} value=${filters.status} onChange=${(event) => jobs.filter({ status: event.target.value })}>
        <option value="">${t('jobs.anyStatus')}</option>
        ${STATUSES.map((status) => html`<option value=${status} key=${status}>${statusWord(status)}</option>`)}
      </select>
      <button type="button" class="button jobs-more-filters" aria-expanded=${open ? 'true' : 'false'} onClick=${() => settings.set('jobFilters', !open)}>
        ${t('jobs.filters')}${hidden > 0 && html`<span class="badge">${hidden}</span>`}
      </button>
      <${ColumnsMenu} settings=${settings} />
      <button type="button" class="button button-icon" aria-label=${t('jobs.refresh')} title=${t('jobs.refresh')} onClick=${() => jobs.reload()}><${Icon} name="refresh" /></button>
    </div>
  </div>`
}

/** The manual's filters that do not stand above. */
export function JobFilters({ jobs }) {
  const { filters } = jobs
  const field = (name, extra = {}) =>
    html`<label class="jobs-field"><span>${columnWord(name)}</span><input class="input" id="jobs-${name}" type="text" autocomplete="off" value=${filters[name]} onInput=${(event) => jobs.filter({ [name]: event.target.value })} ...${extra} /></label>`
  const day = (name, label) =>
    html`<label class="jobs-field"><span>${label}</span><input class="input" id="jobs-${name}" type="date" value=${filters[name]} onInput=${(event) => jobs.filter({ [name]: event.target.value })} /></label>`
  return html`<form class="jobs-fields" aria-label=${t('jobs.filters')} onSubmit=${(event) => event.preventDefault()}>
    ${field('name')} ${field('id')} ${field('type', { list: 'known-type' })} ${field('algorithm')} ${field('resource_pool', { list: 'known-resource_pool' })}
    ${day('created_after', t('jobs.createdFrom'))} ${day('created_before', t('jobs.createdTo'))}
    <label class="jobs-field">
      <span>${t('jobs.flags')}</span>
      <select class="select" id="jobs-flag" value=${filters.flag} onChange=${(event) => jobs.filter({ flag: event.target.value })}>
        <option value="">${t('jobs.anyFlag')}</option>
        ${FLAG_NAMES.map((flag) => html`<option value=${flag} key=${flag}>${flagWord(flag)}</option>`)}
      </select>
    </label>
    <button type="button" class="button jobs-clear" disabled=${!jobs.activeFilters.length} onClick=${() => jobs.clearFilters()}>${t('jobs.clearFilter')}</button>
    ${['type', 'resource_pool'].map((name) => html`<${Known} jobs=${jobs.jobs ?? []} name=${name} key=${name} />`)}
  </form>`
}

/** What the jobs listed have, to choose from: these two are compared whole. */
function Known({ jobs, name }) {
  const values = [...new Set(jobs.map((job) => job[name]).filter(Boolean))].sort().slice(0, 50)
  return html`<datalist id="known-${name}">${values.map((value) => html`<option value=${value} key=${value} />`)}</datalist>`
}

function ColumnsMenu({ settings }) {
  const setting = settings.get('jobColumns')
  const shown = new Set(chosenColumns(setting).map(({ name }) => name))
  return html`<${Menu} label=${t('jobs.columns')}>
    ${COLUMNS.map(
      ({ name, always }) => html`<label class="check menu-item" key=${name}>
        <input type="checkbox" data-column=${name} checked=${shown.has(name)} disabled=${always} onChange=${(event) => settings.set('jobColumns', withColumn(setting, name, event.target.checked))} />
        ${columnWord(name)}
      </label>`,
    )}
    <button type="button" class="button menu-reset" disabled=${setting === USUAL_COLUMNS} onClick=${() => settings.set('jobColumns', USUAL_COLUMNS)}>${t('jobs.usualColumns')}</button>
  <//>`
}

function Segment({ on, onClick, children }) {
  return html`<button type="button" class="segment" aria-pressed=${on ? 'true' : 'false'} onClick=${onClick}>${children}</button>`
}
