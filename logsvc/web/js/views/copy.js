/** Copying a text or a link, also where the page is not served over HTTPS. */

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
    setDone(await copyText(text()))
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

/** True where it worked. `navigator.clipboard` is missing on plain HTTP. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copyBySelection(text)
  }
}

function copyBySelection(text) {
  const before = document.activeElement
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'copy-field'
  document.body.append(field)
  field.select()
  const done = document.execCommand('copy')
  field.remove()
  before?.focus({ preventScroll: true })
  return done
}
