/** Search over the whole log: what for, how, how many, which one now. */

import { t } from '../i18n/index.js'
import { html, useChanges } from './html.js'
import { Icon } from './parts.js'

export function SearchBar({ search, inputRef, onQuery, onLeave }) {
  useChanges(search)
  const { q, regex, ignoreCase } = search.query
  const keys = (event) => {
    if (event.isComposing) return // Enter and Esc belong to the input method
    if (event.key === 'Enter') {
      event.preventDefault()
      if (event.shiftKey) search.previous()
      else search.next()
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault()
      if (event.key === 'ArrowUp') search.previous()
      else search.next()
    } else if (event.key === 'Escape') {
      event.preventDefault()
      event.stopPropagation()
      if (q) onQuery({ q: '' })
      else onLeave()
    }
  }
  return html`<div class="search ${search.error ? 'is-wrong' : ''}" role="search">
    <${Icon} name="search" />
    <input
      class="search-input"
      ref=${inputRef}
      type="text"
      placeholder=${t('search.placeholder')}
      aria-label=${t('search.label')}
      aria-invalid=${search.error ? 'true' : null}
      aria-describedby="search-state"
      spellcheck="false"
      autocomplete="off"
      autocapitalize="off"
      value=${q}
      onInput=${(event) => onQuery({ q: event.target.value })}
      onKeyDown=${keys}
    />
    <output class="search-state" id="search-state"><${MatchCount} search=${search} /></output>
    <${Toggle} on=${ignoreCase} label="Aa" title=${t('search.case')} onToggle=${() => onQuery({ ignoreCase: !ignoreCase })} />
    <${Toggle} on=${regex} label=".*" title=${t('search.regex')} onToggle=${() => onQuery({ regex: !regex })} />
    <button type="button" class="button button-icon" disabled=${!q} aria-label=${t('search.previous')} title=${t('search.previous')} onClick=${() => search.previous()}><${Icon} name="up" /></button>
    <button type="button" class="button button-icon" disabled=${!q} aria-label=${t('search.next')} title=${t('search.next')} onClick=${() => search.next()}><${Icon} name="down" /></button>
    ${q && html`<button type="button" class="button button-icon" aria-label=${t('search.clear')} title=${t('search.clear')} onClick=${() => onQuery({ q: '' })}><${Icon} name="close" /></button>`}
    ${search.error && html`<p class="search-error" role="alert">${errorText(search.error)}</p>`}
    ${!search.error && search.wrapped && html`<p class="search-notice">${search.wrapped === 'start' ? t('search.wrappedStart') : t('search.wrappedEnd')}</p>`}
  </div>`
}

/** How many lines of the log match, and where the reader stands among them. */
export function MatchCount({ search }) {
  if (!search.active || search.error) return ''
  const { total, exact, index, counting } = search
  if (total === null) return search.nothing && !counting ? t('search.none') : counting ? t('search.counting') : t('search.searching')
  if (total === 0) return exact ? t('search.none') : t('search.noneInTime')
  if (index !== null) return t(exact ? 'search.place' : 'search.placeAtLeast', { index, total })
  return exact ? t('search.total', { count: total }) : t('search.atLeast', { count: total })
}

function Toggle({ on, label, title, onToggle }) {
  return html`<button type="button" class="button toggle" aria-pressed=${on ? 'true' : 'false'} aria-label=${title} title=${title} onClick=${onToggle}>${label}</button>`
}

function errorText(error) {
  if (error.code === 'bad_pattern') return t('search.badPattern', { message: error.message })
  if (error.code === 'network') return t('app.noConnection')
  return t('search.failed', { message: error.message })
}
