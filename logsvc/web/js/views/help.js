/** The keys, in a dialog; a second `?` or Esc closes it. */

import { t } from '../i18n/index.js'
import { html, useEffect, useRef } from './html.js'
import { Icon } from './parts.js'

export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null)
  useEffect(() => {
    dialog.current.showModal()
  }, [])
  return html`<dialog class="dialog" ref=${dialog} aria-label=${title} onClose=${onClose} onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
    <div class="dialog-body">
      <div class="dialog-head">
        <h2 tabindex="-1" autofocus>${title}</h2>
        <button type="button" class="button button-icon" aria-label=${t('app.close')} onClick=${() => dialog.current.close()}><${Icon} name="close" /></button>
      </div>
      ${children}
    </div>
  </dialog>`
}

export function Help({ onClose }) {
  const keys = [
    [t('help.search'), ['/', 'Ctrl F']],
    [t('help.nextPrevious'), ['n', 'N']],
    [t('help.clear'), ['Esc']],
    [t('help.jump'), ['g']],
    [t('help.start'), ['Home']],
    [t('help.end'), ['G', 'End']],
    [t('help.follow'), ['f']],
    [t('help.lines'), ['j', 'k', '↓', '↑']],
    [t('help.pages'), ['PgDn', 'PgUp']],
    [t('help.errors'), ['e', 'E']],
    [t('help.select'), ['Shift ↓', 'Shift ↑']],
    [t('help.selectAll'), ['Ctrl A']],
    [t('help.copy'), ['Ctrl C']],
    [t('help.wrap'), ['w']],
    [t('help.system'), ['s']],
    [t('help.help'), ['?']],
  ]
  return html`<${Dialog} title=${t('help.title')} onClose=${onClose}>
    <dl class="keys">
      ${keys.map(([what, names]) => html`<div key=${what}><dt>${what}</dt><dd>${names.map((name) => html`<kbd key=${name}>${name}</kbd>`)}</dd></div>`)}
    </dl>
  <//>`
}
