/** Why an Ascend job has no plog or device log, and what to do: the manual's two reasons. */

import { t } from '../i18n/index.js'
import { CopyButton } from './copy.js'
import { html } from './html.js'
import { kindWord } from './words.js'

const VARIABLES = 'export ASCEND_PROCESS_LOG_PATH=$HOME/ascend/log\nexport ASCEND_SLOG_PRINT_TO_STDOUT=0'

export function MissingLogs({ kinds, job }) {
  if (!kinds.length) return null
  const names = kinds.map(kindWord).join(t('job.whyAnd'))
  return html`<details class="tree-missing">
    <summary>${t('job.whyTitle', { names })}</summary>
    ${job.ended_at ? html`<p>${t('job.whyEnded')}</p>` : html`<p><b>${t('job.whyRunning')}</b> ${t('job.whyRunningHow')}</p>`}
    <p><b>${t('job.whyVariable')}</b> ${t('job.whyVariableHow')}</p>
    <div class="command"><pre>${VARIABLES}</pre><${CopyButton} text=${() => VARIABLES} label=${t('app.copy')} bare /></div>
    <p>${t('job.whyScreen')}</p>
  </details>`
}
