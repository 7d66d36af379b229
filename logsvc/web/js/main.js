/** Builds the models and the page, and wires them. */

import { preferredLanguage, useLanguage } from './i18n/index.js'
import { Address } from './models/address.js'
import { JobList } from './models/job-list.js'
import { Model } from './models/model.js'
import { Reader } from './models/reader.js'
import { Settings } from './models/settings.js'
import { FollowSocket } from './net/follow-socket.js'
import { Http } from './net/http.js'
import { App } from './views/app.js'
import { html, render } from './views/html.js'

const cameWithToken = dropToken()
const http = new Http()
const address = new Address()
const settings = new Settings()
const jobs = new JobList({ http, address })
const reader = new Reader({ http, address, settings, openFollow: (options) => new FollowSocket(options).open() })
const session = Object.assign(new Model(), { needsLogin: false, refused: false, lost: false, retry })

http.addEventListener('unauthorized', () => {
  Object.assign(session, { needsLogin: true, refused: cameWithToken })
  session.changed()
})
for (const name of ['lost', 'found']) {
  http.addEventListener(name, () => {
    session.lost = http.lost
    session.changed()
  })
}

applySettings()
settings.addEventListener('change', applySettings)
render(html`<${App} address=${address} settings=${settings} session=${session} jobs=${jobs} reader=${reader} />`, document.getElementById('app'))
reader.sync()

/** The service has set its cookie by now: the token must not stay in the address or the history. */
function dropToken() {
  const url = new URL(location.href)
  if (!url.searchParams.has('token')) return false
  url.searchParams.delete('token')
  history.replaceState(null, '', url)
  return true
}

function applySettings() {
  const language = settings.get('language') || preferredLanguage()
  useLanguage(language)
  document.documentElement.lang = language
  dispatchEvent(new CustomEvent('logsvc-theme', { detail: settings.get('theme') })) // js/theme.js listens
}

function retry() {
  if (address.place.job) reader.retry()
  else jobs.reload()
}
