/** The whole log on a page of its own, for the browser's own search; asks first where it is big. */

import { formatBytes } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { Dialog } from './help.js'
import { html, useState } from './html.js'
import { Icon } from './parts.js'

export const BIG_BYTES = 500_000_000 // as WARN_BYTES in api/plain.py

export function FullText({ http, stream, size }) {
  const [asking, setAsking] = useState(false)
  const language = currentLanguage()
  const big = size > BIG_BYTES
  const ask = (event) => {
    event.preventDefault()
    setAsking(true)
  }
  const search = (event) => {
    event.target.closest('dialog').close()
    document.querySelector('.search-input').focus()
  }
  return html`
    <a class="log-plain" href=${http.plainUrl(stream.id, { lang: language })} target="_blank" rel="noopener" title=${t('plain.title')} onClick=${big && ask}><${Icon} name="text" /><span>${t('plain.open')}</span></a>
    ${asking &&
    html`<${Dialog} title=${t('plain.big', { size: formatBytes(size, language) })} onClose=${() => setAsking(false)}>
      <p>${t('plain.bigHow')}</p>
      <p class="dialog-actions">
        <a class="button" href=${http.plainUrl(stream.id, { lang: language, open: 1 })} target="_blank" rel="noopener" onClick=${() => setAsking(false)}>${t('plain.bigOpen')}</a>
        <a class="button" href=${http.saveUrl(stream.id)} onClick=${() => setAsking(false)}>${t('plain.bigDownload')}</a>
        <button type="button" class="button button-main big-search" onClick=${search}>${t('plain.bigSearch')}</button>
      </p>
    <//>`}
  `
}
