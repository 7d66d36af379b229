/** A time as people say it, and exactly. */

import { formatAgo, formatDateTime, formatSecond } from '../helpers/format.js'
import { currentLanguage } from '../i18n/index.js'
import { html } from './html.js'

/** "2026-11-24 05:12 · 3 min ago"; `ago` alone with `short`. */
export function Moment({ time, now, short = false }) {
  const ago = formatAgo(time, now, currentLanguage())
  return html`<time class="moment" datetime=${time} title=${formatSecond(time)}>${!short && html`${formatDateTime(time)} `}<span class=${short ? '' : 'moment-ago'}>${ago}</span></time>`
}
