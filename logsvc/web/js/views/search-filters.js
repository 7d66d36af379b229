/** Which lines and which logs are searched: levels, user lines, tasks, ranks, kinds, time. */

import { fromLocalInput, minutesAgo, toLocalInput } from '../helpers/local-time.js'
import { formatDateTime, naturalOrder } from '../helpers/format.js'
import { t } from '../i18n/index.js'
import { KINDS } from '../models/file-tree.js'
import { listed, toggled } from '../models/search-query.js'
import { html, useChanges } from './html.js'
import { Menu } from './menu.js'
import { kindWord } from './words.js'

export function SearchFilters({ hits }) {
  const { reader, address } = hits
  useChanges(reader.job)
  const { level, tasks, ranks, kinds, lines } = address.place
  const streams = hits.scope === 'job' ? (reader.job?.streams ?? []) : null
  return html`<div class="hits-filters" role="group" aria-label=${t('search.filters')}>
    <${Toggle} on=${listed(level).includes('error')} label=${t('search.errors')} onToggle=${() => hits.ask({ level: toggled(level, 'error') })} />
    <${Toggle} on=${listed(level).includes('warning')} label=${t('search.warnings')} onToggle=${() => hits.ask({ level: toggled(level, 'warning') })} />
    <${Toggle} on=${lines === 'user'} label=${t('search.userLines')} title=${t('log.hideSystemTitle')} onToggle=${() => reader.setLines(lines === 'user' ? 'all' : 'user')} />
    <${TimeMenu} hits=${hits} />
    ${hits.scope !== 'log' &&
    html`<${ListMenu} name=${t('search.task')} value=${tasks} known=${streams && distinct(streams, 'task')} onChange=${(value) => hits.ask({ tasks: value })} />
      <${ListMenu} name=${t('search.rank')} value=${ranks} known=${streams && distinct(streams, 'rank')} onChange=${(value) => hits.ask({ ranks: value })} />
      <${ListMenu} name=${t('search.kind')} value=${kinds} known=${streams ? KINDS.filter((kind) => streams.some((stream) => stream.kind === kind)) : KINDS} word=${kindWord} onChange=${(value) => hits.ask({ kinds: value })} />`}
  </div>`
}

function distinct(streams, field) {
  const values = new Set(streams.map((stream) => stream[field]).filter((value) => value != null))
  return [...values].map(String).sort(naturalOrder)
}

function Toggle({ on, label, title = label, onToggle }) {
  return html`<button type="button" class="button toggle" aria-pressed=${on ? 'true' : 'false'} title=${title} onClick=${onToggle}>${label}</button>`
}

/** Several of some known values; where they are not known (over all jobs), a field with commas between. */
function ListMenu({ name, value, known, word = (one) => one, onChange }) {
  const chosen = listed(value)
  const label = chosen.length ? `${name}: ${chosen.map(word).join(', ')}` : name
  if (known && known.length < 2 && !chosen.length) return null
  return html`<${Filter} label=${label} on=${chosen.length > 0}>
    ${known
      ? html`<ul class="hits-choices">
          ${[...new Set([...known, ...chosen])].map(
            (one) => html`<li key=${one}>
              <label class="check"><input type="checkbox" checked=${chosen.includes(one)} onChange=${() => onChange(toggled(value, one))} />${word(one)}</label>
            </li>`,
          )}
        </ul>`
      : html`<input class="input" type="text" autocomplete="off" aria-label=${name} placeholder=${t('search.commas')} value=${value} onChange=${(event) => onChange(event.target.value.split(/[\s,]+/).filter(Boolean).join(','))} />`}
    ${chosen.length > 0 && html`<button type="button" class="button" onClick=${() => onChange('')}>${t('search.any')}</button>`}
  <//>`
}

function TimeMenu({ hits }) {
  const { since, until } = hits.address.place
  const words = [since && t('search.since', { time: formatDateTime(since) }), until && t('search.until', { time: formatDateTime(until) })].filter(Boolean)
  const ago = (minutes) => hits.ask({ since: minutesAgo(minutes), until: '' })
  return html`<${Filter} label=${words.join(' ') || t('search.time')} on=${words.length > 0}>
    <div class="hits-quick">
      <button type="button" class="button" onClick=${() => ago(15)}>${t('search.lastQuarter')}</button>
      <button type="button" class="button" onClick=${() => ago(60)}>${t('search.lastHour')}</button>
      <button type="button" class="button" onClick=${() => ago(24 * 60)}>${t('search.lastDay')}</button>
      ${hits.reader.active?.log && html`<button type="button" class="button" onClick=${() => hits.sinceLine()}>${t('search.sinceLine')}</button>`}
    </div>
    <label class="hits-field">${t('search.from')}<input class="input" type="datetime-local" step="1" value=${toLocalInput(since)} onChange=${(event) => hits.ask({ since: fromLocalInput(event.target.value) })} /></label>
    <label class="hits-field">${t('search.to')}<input class="input" type="datetime-local" step="1" value=${toLocalInput(until)} onChange=${(event) => hits.ask({ until: fromLocalInput(event.target.value) })} /></label>
    ${words.length > 0 && html`<button type="button" class="button" onClick=${() => hits.ask({ since: '', until: '' })}>${t('search.anyTime')}</button>`}
  <//>`
}

function Filter({ label, on, children }) {
  return html`<div class="hits-filter ${on ? 'is-on' : ''}"><${Menu} label=${html`<span>${label}</span> ▾`} title=${label}>${children}<//></div>`
}
