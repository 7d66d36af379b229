/** The line above everything: where one is, language, colours, help. */

import { LANGUAGES, currentLanguage, t } from '../i18n/index.js'
import { html } from './html.js'

export function TopBar({ address, settings, jobName, onHelp }) {
  const { job } = address.place
  return html`<header class="top">
    <a class="top-brand" href=${address.href({ job: '' })} onClick=${(event) => follow(event, () => address.go({ job: '' }))} title=${t('app.home')}>
      <span class="top-mark" aria-hidden="true"></span>logsvc
    </a>
    ${job &&
    html`<nav class="top-path" aria-label=${t('app.home')}>
      <a href=${address.href({ job: '' })} onClick=${(event) => follow(event, () => address.go({ job: '' }))}>${t('jobs.title')}</a>
      <span class="top-slash" aria-hidden="true">/</span><span class="top-job" title=${jobName || job}>${jobName || job}</span>
    </nav>`}
    <div class="top-tools">
      <select class="select select-quiet" aria-label=${t('app.language')} value=${currentLanguage()} onChange=${(event) => settings.set('language', event.target.value)}>
        ${Object.entries(LANGUAGES).map(([tag, { name }]) => html`<option value=${tag} lang=${tag} key=${tag}>${name}</option>`)}
      </select>
      <select class="select select-quiet top-theme" aria-label=${t('app.theme')} title=${t('app.theme')} value=${settings.get('theme')} onChange=${(event) => settings.set('theme', event.target.value)}>
        <option value="">${t('app.theme.system')}</option>
        <option value="light">${t('app.theme.light')}</option>
        <option value="dark">${t('app.theme.dark')}</option>
      </select>
      <button type="button" class="button button-icon" aria-label=${t('app.help')} title="${t('app.help')} (?)" onClick=${onHelp}>?</button>
    </div>
  </header>`
}

/** A click on a link acts within the page, unless another tab is asked for. */
export function follow(event, action) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return
  event.preventDefault()
  action()
}
