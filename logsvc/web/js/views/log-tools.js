/** Above the logs: search, switches and the jump to a line, all for the active pane. */

import { t } from '../i18n/index.js'
import { CopyButton, fullLink } from './copy.js'
import { html, useChanges } from './html.js'
import { JumpBox } from './jump-box.js'
import { Icon } from './parts.js'
import { SearchBar } from './search-bar.js'
import { fileLabel } from './stream-tree.js'

export function LogTools({ reader, pane, settings, jumpInput }) {
  const { log, search, stream } = pane
  useChanges(log, search, settings)
  const toPane = () => pane.view?.focus()
  const toggle = (name) => settings.set(name, !settings.get(name))
  const hidden = settings.get('treeHidden')
  return html`<div class="log-head">
    <button
      type="button"
      class="button button-icon"
      aria-pressed=${hidden ? 'false' : 'true'}
      aria-label=${hidden ? t('job.showFiles') : t('job.hideFiles')}
      title=${hidden ? t('job.showFiles') : t('job.hideFiles')}
      onClick=${() => toggle('treeHidden')}
    >
      <${Icon} name="panel" />
    </button>
    <span class="log-file" title=${stream.path}>${fileLabel(stream)}</span>
    <${SearchBar} hits=${reader.hits} search=${search} onLeave=${toPane} />
    <div class="log-tools">
      <label class="check" title=${t('log.hideSystemTitle')}>
        <input type="checkbox" id="hide-system" checked=${log.lines === 'user'} onChange=${(event) => reader.setLines(event.target.checked ? 'user' : 'all')} />
        ${t('log.hideSystem')}
      </label>
      <${Switch} on=${settings.get('times')} label=${t('log.times')} title=${t('log.timesTitle')} onToggle=${() => toggle('times')} />
      <${Switch} on=${settings.get('wrap')} label=${t('log.wrap')} title=${t('log.wrapTitle')} onToggle=${() => toggle('wrap')} />
      ${reader.panes.length > 1 && html`<${Switch} on=${settings.get('lockTimes')} label=${t('log.lockTimes')} title=${t('log.lockTimesTitle')} onToggle=${() => toggle('lockTimes')} />`}
      ${reader.panes.length > 1 && html`<${CopyButton} text=${() => fullLink(reader.address.href({}))} label=${t('log.copyLinkAll')} icon="link" bare />`}
      <${JumpBox} inputRef=${jumpInput} reader=${reader} pane=${pane} />
    </div>
  </div>`
}

function Switch({ on, label, title, onToggle }) {
  return html`<button type="button" class="button toggle" aria-pressed=${on ? 'true' : 'false'} title=${title} onClick=${onToggle}>${label}</button>`
}
