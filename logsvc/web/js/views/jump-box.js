/** Where to go in the log: a line, lines, a share, a time, a step in time. */

import { t } from '../i18n/index.js'
import { parseJump } from '../models/jump.js'
import { html, useState } from './html.js'

export function JumpBox({ inputRef, reader, pane }) {
  const [wrong, setWrong] = useState(false)
  const leave = () => {
    inputRef.current.value = ''
    setWrong(false)
    pane.view.focus()
  }
  const submit = async (event) => {
    event.preventDefault()
    const { value } = inputRef.current
    if (!value.trim()) return leave()
    const target = parseJump(value, Date.parse(pane.view.position.receivedAt ?? new Date().toISOString()))
    setWrong(!target)
    if (!target) return undefined
    leave()
    return reader.jump(pane, target)
  }
  const keys = (event) => {
    if (event.key !== 'Escape') return
    event.stopPropagation()
    leave()
  }
  return html`<form class="jump" onSubmit=${submit}>
    <input
      class="input"
      id="jump-line"
      ref=${inputRef}
      type="text"
      autocomplete="off"
      spellcheck="false"
      placeholder=${t('log.jump')}
      aria-label=${t('log.jumpTitle')}
      aria-invalid=${wrong ? 'true' : null}
      title=${`${t('log.jumpTitle')}\n${t('log.jumpForms')}`}
      onInput=${() => setWrong(false)}
      onKeyDown=${keys}
    />
    ${wrong && html`<p class="search-error" role="alert">${t('log.jumpWrong')} ${t('log.jumpForms')}</p>`}
  </form>`
}
