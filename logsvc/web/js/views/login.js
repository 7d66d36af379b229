/** Asks for the token; opening `/?token=…` is what logs in. */

import { t } from '../i18n/index.js'
import { html, useEffect, useRef } from './html.js'

export function Login({ refused }) {
  const field = useRef(null)
  useEffect(() => field.current.focus(), [])
  const submit = (event) => {
    event.preventDefault()
    const token = tokenIn(field.current.value)
    if (token) location.assign(`${location.pathname}?token=${encodeURIComponent(token)}${location.hash}`)
  }
  return html`<main class="login">
    <form class="login-form" onSubmit=${submit}>
      <h1>${t('login.title')}</h1>
      ${refused && html`<p class="login-refused" role="alert">${t('login.refused')}</p>`}
      <p>${t('login.what')}</p>
      <label for="token">${t('login.token')}</label>
      <input id="token" class="input" ref=${field} type="password" autocomplete="current-password" spellcheck="false" required />
      <button type="submit" class="button button-main">${t('login.submit')}</button>
    </form>
  </main>`
}

/** The token in what was pasted: the whole link will do as well. */
function tokenIn(pasted) {
  const text = pasted.trim()
  return /[?&]token=([^&#\s]+)/.exec(text)?.[1] ?? text
}
