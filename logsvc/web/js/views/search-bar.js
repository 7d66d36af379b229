/** What is looked for, where, how many there are, and which one now. */

import { t } from '../i18n/index.js'
import { html, useChanges, useEffect, useRef } from './html.js'
import { Icon } from './parts.js'
import { countWords, errorText } from './search-words.js'

const NO_SEARCH = Object.freeze({ error: null, wrapped: null })

/** `hits` is the search in its scope, `search` that in the log on screen (none on the list of jobs). */
export function SearchBar({ hits, search = NO_SEARCH, onLeave }) {
  useChanges(hits, hits.address, search === NO_SEARCH ? null : search)
  const input = useRef(null)
  useEffect(() => listenFind(input), [])
  useEffect(() => {
    if (hits.typing) input.current.focus() // the next hit was in another log: the reader goes on with Enter
  }, [])
  const { place } = hits.address
  const { q, regex, ignoreCase, word } = place
  const error = search.error ?? hits.error
  const wrapped = search.wrapped ?? hits.wrapped
  const keys = (event) => {
    if (event.isComposing) return // Enter and Esc belong to the input method
    const arrow = q && { ArrowDown: 1, ArrowUp: -1 }[event.key] // without a text they choose among recent ones
    if (event.key === 'Enter' || arrow) {
      event.preventDefault()
      hits.step(arrow || (event.shiftKey ? -1 : 1))
    } else if (event.key === 'Escape') {
      event.preventDefault()
      event.stopPropagation()
      if (hits.active) hits.clear()
      else onLeave()
    }
  }
  return html`<div class="search ${error ? 'is-wrong' : ''}" role="search">
    <${Scope} hits=${hits} />
    <input
      class="search-input"
      ref=${input}
      type="text"
      list="search-recent"
      placeholder=${place.level && !q ? t('search.placeholderLevel') : PLACEHOLDERS[hits.scope]()}
      aria-label=${t('search.label')}
      title=${t('search.findTitle')}
      aria-invalid=${error ? 'true' : null}
      aria-describedby="search-state"
      spellcheck="false"
      autocomplete="off"
      autocapitalize="off"
      value=${q}
      onInput=${(event) => hits.ask({ q: event.target.value })}
      onKeyDown=${keys}
      onFocus=${() => (hits.typing = true)}
      onBlur=${(event) => event.target.isConnected && (hits.typing = false)}
    />
    <datalist id="search-recent">${!q && hits.recent.texts.map((text) => html`<option value=${text} key=${text}></option>`)}</datalist>
    <output class="search-state" id="search-state">${countWords(hits, search)}</output>
    <${Toggle} on=${ignoreCase} label="Aa" title=${t('search.case')} onToggle=${() => hits.ask({ ignoreCase: !ignoreCase })} />
    <${Toggle} on=${word} label=${html`<span class="search-word-sign"></span>`} title=${t('search.word')} onToggle=${() => hits.ask({ word: !word })} />
    <${Toggle} on=${regex} label=".*" title=${t('search.regex')} onToggle=${() => hits.ask({ regex: !regex })} />
    <button type="button" class="button button-icon" disabled=${!hits.active} aria-label=${t('search.previous')} title=${t('search.previous')} onClick=${() => hits.step(-1)}><${Icon} name="up" /></button>
    <button type="button" class="button button-icon" disabled=${!hits.active} aria-label=${t('search.next')} title=${t('search.next')} onClick=${() => hits.step(1)}><${Icon} name="down" /></button>
    ${hits.active && html`<button type="button" class="button button-icon" aria-label=${t('search.clear')} title=${t('search.clear')} onClick=${() => hits.clear()}><${Icon} name="close" /></button>`}
    ${error && !place.hits && html`<p class="search-error" role="alert">${errorText(error)}</p>`}
    ${!error && wrapped && html`<p class="search-notice">${wrapped === 'start' ? t('search.wrappedStart') : t('search.wrappedEnd')}</p>`}
  </div>
  <${ErrorsButton} hits=${hits} />
  <button
    type="button"
    class="button button-icon toggle search-list"
    aria-pressed=${place.hits ? 'true' : 'false'}
    aria-label=${t('search.list')}
    title=${t('search.list')}
    onClick=${() => hits.ask({ hits: !place.hits })}
  >
    <${Icon} name="list" />
  </button>`
}

const PLACEHOLDERS = {
  log: () => t('search.placeholder'),
  job: () => t('search.placeholderJob'),
  all: () => t('search.placeholderAll'),
}

function Scope({ hits }) {
  if (!hits.address.place.job) return html`<${Icon} name="search" />`
  return html`<select class="search-scope" aria-label=${t('search.scope')} title=${t('search.scope')} value=${hits.scope} onChange=${(event) => hits.ask({ scope: event.target.value })}>
    <option value="log">${t('search.scopeLog')}</option>
    <option value="job">${t('search.scopeJob')}</option>
    <option value="all">${t('search.scopeAll')}</option>
  </select>`
}

/** Every line that looks like an error, without a text to look for. */
function ErrorsButton({ hits }) {
  const { q, level } = hits.address.place
  const on = level === 'error'
  return html`<button
    type="button"
    class="button toggle search-errors"
    aria-pressed=${on ? 'true' : 'false'}
    title=${t('search.errorsTitle')}
    onClick=${() => (on ? hits.ask({ level: '', hits: q !== '' && hits.address.place.hits }) : hits.ask({ level: 'error', hits: true }))}
  >
    ${t('search.errors')}
  </button>`
}

function Toggle({ on, label, title, onToggle }) {
  return html`<button type="button" class="button toggle" aria-pressed=${on ? 'true' : 'false'} aria-label=${title} title=${title} onClick=${onToggle}>${label}</button>`
}

/** Ctrl+F and / reach the field; Ctrl+F in the field is the browser's own. */
function listenFind(input) {
  const pressed = (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey || document.querySelector('dialog[open]')) return
    const control = event.ctrlKey || event.metaKey
    const find = control ? event.key.toLowerCase() === 'f' && document.activeElement !== input.current : event.key === '/' && !isField(event.target)
    if (!find) return
    event.preventDefault()
    input.current.focus()
    input.current.select()
  }
  document.addEventListener('keydown', pressed)
  return () => document.removeEventListener('keydown', pressed)
}

function isField(target) {
  return target instanceof Element && Boolean(target.closest('input, textarea, select')) && target.type !== 'checkbox'
}
