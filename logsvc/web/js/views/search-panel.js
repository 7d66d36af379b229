/** The hits as a list below the logs, with what was searched and the filters. */

import { t } from '../i18n/index.js'
import { html, useChanges, useRef } from './html.js'
import { Icon } from './parts.js'
import { SearchFilters } from './search-filters.js'
import { HitList } from './search-list.js'
import { errorText, limitWords, summaryWords } from './search-words.js'

const LEAST_PX = 120
const STEP_PX = 40
const USUAL_PERCENT = 38 // of the window, as in css/search-hits.css
const CONTEXTS = [0, 1, 2, 3, 4, 5]

export function SearchPanel({ hits, settings }) {
  const { reader, address } = hits
  useChanges(hits, reader, address, settings, reader.active?.search)
  const panel = useRef(null)
  if (!address.place.hits) return null
  const height = settings.get('hitsHeight')
  const resize = (px) => settings.set('hitsHeight', Math.round(Math.max(LEAST_PX, Math.min(px, window.innerHeight * 0.8))))
  return html`<section class="hits" aria-label=${t('search.listLabel')} ref=${panel} style=${height ? { height: `${height}px` } : {}}>
    <${Grip} height=${() => panel.current.offsetHeight} share=${height ? Math.round((100 * height) / window.innerHeight) : USUAL_PERCENT} onResize=${resize} />
    <div class="hits-head">
      <${Summary} hits=${hits} />
      <div class="hits-tools">
        <label class="hits-context" title=${t('search.contextTitle')}>
          ${t('search.context')}
          <select class="select" value=${String(address.place.context)} onChange=${(event) => hits.ask({ context: Number(event.target.value) })}>
            ${CONTEXTS.map((lines) => html`<option value=${String(lines)} key=${lines}>${lines ? `± ${lines}` : '0'}</option>`)}
          </select>
        </label>
        <button type="button" class="button button-icon" aria-label=${t('search.closeList')} title=${t('search.closeList')} onClick=${() => hits.ask({ hits: false })}><${Icon} name="close" /></button>
      </div>
    </div>
    <${SearchFilters} hits=${hits} />
    ${hits.active && hits.total === 0 ? html`<${NoHits} hits=${hits} />` : html`<${HitList} hits=${hits} key=${hits.key} />`}
  </section>`
}

/** What was searched and what was not, in words. */
function Summary({ hits }) {
  const { place } = hits.address
  const error = hits.error ?? (hits.scope === 'log' ? hits.reader.active?.search?.error : null)
  if (!hits.active) return html`<p class="hits-summary">${t('search.nothingYet')}</p>`
  if (error) {
    return html`<p class="hits-summary is-wrong" role="alert">
      ${errorText(error)} ${error.code !== 'bad_pattern' && html`<button type="button" class="button-link" onClick=${() => hits.retry()}>${t('app.retry')}</button>`}
    </p>`
  }
  return html`<p class="hits-summary" role="status">
    <strong>${summaryWords(hits)}</strong>
    ${limitWords(place).map((words) => html`<span key=${words}>${words}</span>`)}
    <${LeftOut} hits=${hits} />
  </p>`
}

/** What else one could try. */
function NoHits({ hits }) {
  const { job, q, ignoreCase, word, level, since, until, tasks, ranks, kinds, lines } = hits.address.place
  const ways = [
    job && hits.scope === 'log' && [t('search.tryJob'), { scope: 'job' }],
    job && hits.scope === 'job' && [t('search.tryAll'), { scope: 'all' }],
    q && !ignoreCase && [t('search.tryCase'), { ignoreCase: true }],
    word && [t('search.tryParts'), { word: false }],
    (since || until) && [t('search.anyTime'), { since: '', until: '' }],
    (tasks || ranks || kinds || (q && level)) && [t('search.tryFilters'), { tasks: '', ranks: '', kinds: '', ...(q && { level: '' }) }],
    lines === 'user' && [t('search.trySystem'), { lines: 'all' }],
  ].filter(Boolean)
  return html`<div class="hits-none">
    <p>${t('search.noneHere')}</p>
    <p class="hits-none-ways">${ways.map(([words, changes]) => html`<button type="button" class="button" key=${words} onClick=${() => hits.ask(changes)}>${words}</button>`)}</p>
  </div>`
}

/** Process logs hold what the log of their task holds, and are left out unless they are wanted. */
function LeftOut({ hits }) {
  const { place } = hits.address
  if (hits.scope === 'log') return null
  if (place.proc) return html`<span>${t('search.procToo')} <button type="button" class="button-link" onClick=${() => hits.ask({ proc: false })}>${t('search.leaveOut')}</button></span>`
  if (!hits.leftOut.count) return null
  return html`<span>
    ${t('search.leftOut', { count: hits.leftOut.count })} <button type="button" class="button-link" onClick=${() => hits.ask({ proc: true })}>${t('search.searchThem')}</button>
  </span>`
}

/** The upper edge, to be dragged or moved by arrow keys. */
function Grip({ height, share, onResize }) {
  const start = useRef(null)
  const move = (event) => start.current && onResize(start.current.height + start.current.y - event.clientY)
  const keys = (event) => {
    const step = { ArrowUp: STEP_PX, ArrowDown: -STEP_PX }[event.key]
    if (!step) return
    event.preventDefault()
    onResize(height() + step)
  }
  return html`<div
    class="hits-grip"
    role="separator"
    aria-orientation="horizontal"
    aria-valuenow=${share}
    aria-label=${t('search.resize')}
    title=${t('search.resize')}
    tabindex="0"
    onPointerDown=${(event) => {
      event.target.setPointerCapture(event.pointerId)
      start.current = { y: event.clientY, height: height() }
    }}
    onPointerMove=${move}
    onPointerUp=${() => (start.current = null)}
    onKeyDown=${keys}
  ></div>`
}
