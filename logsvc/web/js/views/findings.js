/** What is wrong with a job: since when, why, whom it concerns, what to do, and the lines that show it. */

import { formatSecond, fromTo } from '../helpers/format.js'
import { t } from '../i18n/index.js'
import { addressOf } from '../models/chart-span.js'
import { concernedWords, findingName, findingWords } from './finding-words.js'
import { html } from './html.js'
import { Moment } from './moment.js'
import { Icon } from './parts.js'
import { follow } from './top-bar.js'

const MOST_LINES = 8
const AROUND = 0.25 // of a span's length, shown on either side of it

/** @param {object} given reader: on a job's page, where lines and spans can be shown; null: in the list of jobs */
export function Findings({ job, now, reader = null }) {
  const found = job.findings ?? []
  if (!found.length) return null
  return html`<ul class="findings">
    ${found.map((finding) => html`<${Finding} finding=${finding} now=${now} reader=${reader} open=${!reader || found.length === 1} key=${finding.name} />`)}
  </ul>`
}

function Finding({ finding, now, reader, open }) {
  const { name, since, lines = [] } = finding
  const { reason, advice } = findingWords(finding)
  const concerned = concernedWords(finding)
  return html`<li class="finding">
    <span class="flag flag-${name}">${findingName(name)}</span>
    ${since && html`<span class="finding-since">${t('job.since')} <${Moment} time=${since} now=${now} /></span>`}
    ${reason && html`<span class="finding-reason">${reason}</span>`}
    ${concerned && html`<span class="finding-whom">${concerned}</span>`}
    ${reader && html`<${Span} finding=${finding} reader=${reader} />`}
    ${reader && lines.length > 0 && html`<${Lines} lines=${lines} reader=${reader} />`}
    ${advice &&
    (open
      ? html`<p class="finding-advice"><b>${t('job.advice')}</b> ${advice}</p>`
      : html`<details class="finding-advice">
          <summary>${t('finding.advice')}</summary>
          ${advice}
        </details>`)}
  </li>`
}

/** From when to when, and a button that leads there. */
function Span({ finding: { from, to }, reader }) {
  if (!from) return null
  const fromMs = Date.parse(from)
  const toMs = to ? Date.parse(to) : Date.now()
  const words = t('finding.from', to ? fromTo(from, to) : { from: formatSecond(from), to: '…' })
  const show = () => {
    const around = (toMs - fromMs) * AROUND
    reader.address.go(addressOf({ fromMs: fromMs - around, toMs: toMs + around }))
    reader.cursor.showFrom(from)
  }
  return html`<span class="finding-span">${words} <button type="button" class="button-link" onClick=${show}>${t('finding.showSpan')}</button></span>`
}

/** Links to the first of them; those of logs that are gone are left out. */
function Lines({ lines, reader }) {
  const shown = lines.map(({ stream, n }) => ({ stream: reader.job.byId(stream), n })).filter(({ stream }) => stream)
  if (!shown.length) return null
  const several = new Set(shown.map(({ stream }) => stream.id)).size > 1
  return html`<span class="finding-lines">
    <${Icon} name="list" />${t('finding.lines', { count: shown.length })}
    ${shown.slice(0, MOST_LINES).map(({ stream, n }) => {
      const place = { ...reader.job.placeOf(stream), line: n, lineEnd: null }
      return html`<a href=${reader.href(reader.active, place)} key=${`${stream.id} ${n}`} onClick=${(event) => follow(event, () => reader.go(reader.active, place))}>${several ? `${stream.task}:${n}` : n}</a>`
    })}
    ${shown.length > MOST_LINES && html`<span>…</span>`}
  </span>`
}
