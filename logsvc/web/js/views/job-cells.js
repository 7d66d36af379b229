/** What stands in the columns of the list of jobs. */

import { formatBytes } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { html } from './html.js'
import { Moment } from './moment.js'
import { Icon, Status } from './parts.js'
import { CardUse, hasCardUse } from './sparkline.js'
import { follow } from './top-bar.js'
import { flagWord } from './words.js'

export function JobCell({ column, ...given }) {
  const { name, number } = column
  const kind = number ? 'is-number' : TIMES.includes(name) ? 'is-time' : ''
  const shown = (CELLS[name] ?? plain)(given, name)
  return html`<td class="jobs-${name} ${kind} ${shown == null ? 'is-none' : ''}">${shown ?? '–'}</td>`
}

const TIMES = ['created', 'ended', 'activity']

/** What stands in a cell; null for nothing. */
const CELLS = {
  status: ({ job }) => html`<${Status} status=${job.status} />`,
  name: ({ job, href, onOpen }) => {
    const name = job.name || job.id
    return html`<a href=${href} title=${name} onClick=${(event) => follow(event, onOpen)}>${name}</a>`
  },
  tasks: ({ job }) => job.task_count ?? (job.tasks?.length || null),
  created: ({ job, now }) => job.created_at && html`<${Moment} time=${job.created_at} now=${now} />`,
  ended: ({ job, now }) => job.ended_at && html`<${Moment} time=${job.ended_at} now=${now} />`,
  activity: ({ job, now }) => job.last_chunk_at && html`<${Moment} time=${job.last_chunk_at} now=${now} short />`,
  size: ({ job }) => formatBytes(job.log_bytes, currentLanguage()),
  utilization: ({ job }) => (hasCardUse(job) ? html`<${CardUse} job=${job} />` : null),
  flags: ({ job, open, onToggle }) =>
    job.flags?.length || job.findings?.length
      ? html`<button type="button" class="flag-button" aria-expanded=${open ? 'true' : 'false'} title=${t('jobs.advice')} onClick=${onToggle}>
          ${job.flags.map((flag) => html`<span class="flag flag-${flag}" key=${flag}>${flagWord(flag)}</span>`)}<${Others} job=${job} /><${Icon} name=${open ? 'up' : 'down'} />
        </button>`
      : '',
}

/** How many findings there are beside the flags. */
function Others({ job: { flags = [], findings = [] } }) {
  const count = findings.filter(({ name }) => !flags.includes(name)).length
  return count > 0 && html`<span class="flag flag-other">${t('jobs.otherFindings', { count })}</span>`
}

function plain({ job }, name) {
  return job[name] == null ? null : html`<span title=${job[name]}>${job[name]}</span>`
}
