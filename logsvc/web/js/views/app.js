/** The page: which view stands in it, and what is said above all of them. */

import { t } from '../i18n/index.js'
import { Help } from './help.js'
import { html, useChanges, useEffect, useState } from './html.js'
import { JobListView } from './job-list.js'
import { JobView } from './job-view.js'
import { Login } from './login.js'
import { SearchPanel } from './search-panel.js'
import { TopBar } from './top-bar.js'

export function App({ address, settings, session, jobs, reader }) {
  useChanges(address, settings, session, reader, reader.job)
  const [help, setHelp] = useState(false)
  useEffect(() => {
    const pressed = (event) => {
      const typing = event.target instanceof Element && event.target.closest('input[type="text"], input[type="search"], input[type="password"], textarea, select')
      if (event.key === '?' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) setHelp((open) => !open)
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  }, [])
  const name = reader.job?.job?.name
  useEffect(() => {
    document.title = address.place.job ? `${name || address.place.job} · logsvc` : 'logsvc'
  }, [address.place.job, name])
  return html`
    <button type="button" class="button skip" onClick=${toContent}>${t('app.skip')}</button>
    <${TopBar} address=${address} settings=${settings} jobName=${name} onHelp=${() => setHelp(true)} />
    ${session.needsLogin ? html`<${Login} refused=${session.refused} />` : html`<${Content} session=${session} address=${address} settings=${settings} jobs=${jobs} reader=${reader} />`}
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
  `
}

function Content({ session, address, settings, jobs, reader }) {
  return html`
    ${session.lost &&
    html`<div class="banner" role="alert">
      <span>${t('app.lost')}</span>
      <button type="button" class="button" onClick=${() => session.retry()}>${t('app.retry')}</button>
    </div>`}
    ${address.place.job ? html`<${JobView} reader=${reader} settings=${settings} />` : html`<${JobListView} jobs=${jobs} settings=${settings} hits=${reader.hits} />`}
    <${SearchPanel} hits=${reader.hits} settings=${settings} />
  `
}

/** Past the controls: to the lines of the log, else to the page's main part. */
function toContent() {
  const content = document.querySelector('.pane-view') ?? document.querySelector('main')
  content.tabIndex = 0
  content.focus()
}
