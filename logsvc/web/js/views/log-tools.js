/** Above the logs: search, switches and the jump to a line, all for the active pane. */

import { t } from '../i18n/index.js'
import { html, useChanges } from './html.js'
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
      <${JumpBox} inputRef=${jumpInput} onJump=${(n) => jump(reader, pane, n)} onLeave=${toPane} />
    </div>
  </div>`
}

/** Shows a line of a pane; once more, where the address names it already. */
function jump(reader, pane, n) {
  if (pane.place.line === n && !pane.place.lineEnd) pane.view.showLine(n).catch(() => {})
  else reader.go(pane, { line: n, lineEnd: null })
}

function Switch({ on, label, title, onToggle }) {
  return html`<button type="button" class="button toggle" aria-pressed=${on ? 'true' : 'false'} title=${title} onClick=${onToggle}>${label}</button>`
}

function JumpBox({ inputRef, onJump, onLeave }) {
  const submit = (event) => {
    event.preventDefault()
    const n = Number(inputRef.current.value.replace(/[^\d]/g, ''))
    if (n > 0) onJump(n)
    inputRef.current.value = ''
    onLeave()
  }
  const keys = (event) => {
    if (event.key !== 'Escape') return
    event.stopPropagation()
    inputRef.current.value = ''
    onLeave()
  }
  return html`<form class="jump" onSubmit=${submit}>
    <input class="input" id="jump-line" ref=${inputRef} type="text" inputmode="numeric" autocomplete="off" placeholder=${t('log.jump')} aria-label=${t('log.jumpTitle')} title=${t('log.jumpTitle')} onKeyDown=${keys} />
  </form>`
}
