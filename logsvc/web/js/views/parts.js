/** Small parts that several views use. */

import { t } from '../i18n/index.js'
import { html } from './html.js'
import { errorWords, statusWord } from './words.js'

/** A job's status, by colour and in words. */
export function Status({ status }) {
  return html`<span class="status status-${status ?? 'unknown'}"><span class="status-dot" aria-hidden="true"></span>${statusWord(status)}</span>`
}

/** A full area that says why there is nothing else, and what to do. */
export function Notice({ what, how = '', children }) {
  return html`<div class="notice" role="status">
    <p class="notice-what">${what}</p>
    ${how && html`<p class="notice-how">${how}</p>`}
    ${children}
  </div>`
}

export function ErrorNotice({ error, onRetry }) {
  const { what, how } = errorWords(error)
  return html`<${Notice} what=${what} how=${how}>
    ${onRetry && html`<p><button type="button" class="button" onClick=${onRetry}>${t('app.retry')}</button></p>`}
  <//>`
}

/** Shown only after a moment, so that quick answers do not flicker. */
export function Loading() {
  return html`<div class="loading" role="status">${t('app.loading')}</div>`
}

/** A symbol with a name: `name` is a class suffix in css/base.css. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`
}

const PATHS = {
  up: 'M3.5 10 8 5.5 12.5 10',
  down: 'M3.5 6 8 10.5 12.5 6',
  close: 'M4 4l8 8M12 4l-8 8',
  refresh: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  beside: 'M2.5 3h11v10h-11zM8 3v10M10 8h2M11 7v2',
  right: 'M6 3.5 10.5 8 6 12.5',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  link: 'M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.2-2.2a2.6 2.6 0 0 0-3.7-3.7l-.9.9M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.3 9a2.6 2.6 0 0 0 3.7 3.7l.9-.9',
  end: 'M8 2.5v8M4 7l4 4 4-4M3.5 13.5h9',
  save: 'M8 2.5v7M4.8 6.6 8 9.8l3.2-3.2M2.5 10v3.5h11V10',
  text: 'M3.5 2.5h6l3 3v8h-9zM6 8h4M6 10.5h4',
  chart: 'M2.5 2.5v11h11M5 10.5l2.5-4 2.5 2 3-5',
  plus: 'M8 3.5v9M3.5 8h9',
  minus: 'M3.5 8h9',
  panel: 'M2.5 3h11v10h-11zM6.5 3v10',
  list: 'M2.5 4h1M6 4h7.5M2.5 8h1M6 8h7.5M2.5 12h1M6 12h7.5',
  search: 'M7 2.8a4.2 4.2 0 1 0 0 8.4a4.2 4.2 0 0 0 0-8.4M10.2 10.2l3.3 3.3',
}
