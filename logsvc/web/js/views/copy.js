/** A button that copies a text or a link. */

import { fillClipboard } from '../helpers/clipboard.js'
import { t } from '../i18n/index.js'
import { html, useEffect, useState } from './html.js'
import { Icon } from './parts.js'

const DONE_MS = 1500

/** A button that copies `text()`, and says for a moment that it did. */
export function CopyButton({ text, label, title = label, icon = 'copy', bare = false }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    const timer = done && setTimeout(() => setDone(false), DONE_MS)
    return () => clearTimeout(timer)
  }, [done])
  const copy = async (event) => {
    event.stopPropagation()
    setDone(await fillClipboard(text()))
  }
  const words = done ? t('app.copied') : label
  return html`<button type="button" class="copy ${bare ? 'is-bare' : ''} ${done ? 'is-done' : ''}" title=${done ? words : title} aria-label=${bare ? (done ? words : title) : null} onClick=${copy}>
    <${Icon} name=${done ? 'check' : icon} />${!bare && html`<span>${words}</span>`}
  </button>`
}

/** The address of a place as it is pasted elsewhere: without a token, whole. */
export function fullLink(hash) {
  return new URL(hash, `${location.origin}${location.pathname}`).href
}
