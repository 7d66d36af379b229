/** How a log is followed, in words, and the way on where its file was rotated. */

import { t } from '../i18n/index.js'
import { html, useEffect, useState } from './html.js'
import { follow } from './top-bar.js'
import { errorWords } from './words.js'

export function Connection({ log, job, reader, pane }) {
  const next = job.next(log.stream)
  const [name, words] = connectionWords(log, job)
  const waiting = log.connection === 'waiting'
  return html`<span class="connection connection-${name}">
    <span class="connection-dot" aria-hidden="true"></span>
    <span class="connection-words" role="status">${words}</span>
    ${waiting && html`<${Countdown} until=${log.retryAt} />`}
    ${(waiting || log.connection === 'refused') && html`<button type="button" class="connection-now" onClick=${() => log.retry()}>${waiting ? t('state.now') : t('app.retry')}</button>`}
    ${next && html`<a class="connection-next" href=${reader.href(pane, job.startOf(next))} onClick=${(event) => follow(event, () => reader.go(pane, job.startOf(next)))}>${t('state.next', { generation: next.generation })}</a>`}
  </span>`
}

/** [name in css/connection.css, words] */
function connectionWords(log, job) {
  const { error } = log
  if (log.connection === 'refused') return ['refused', t('state.refused', { why: errorWords(error).what })]
  if (log.connection === 'waiting') return ['waiting', error && error.code !== 'network' ? errorWords(error).what : t('state.lost')]
  if (log.window?.error) return ['waiting', t('state.unread', { why: errorWords(log.window.error).what })]
  if (log.sealed) return ['sealed', sealedWords(log, job)]
  if (log.connection === 'polling') return [log.following ? 'live' : 'paused', log.following ? t('state.polling') : t('state.pollingPaused')]
  if (log.connection === 'open') return log.following ? ['live', t('state.following')] : ['paused', t('state.live')]
  return ['connecting', t('state.connecting')]
}

/** Who said that nothing more comes. */
function sealedWords(log, job) {
  if (log.nextStream || job.next(log.stream)) return t('state.sealedByRotation')
  if (job.job?.ended_at) return t('state.sealedByEnd')
  return t('state.sealedByCollector')
}

/** For eyes only: a screen reader would say each second. */
function Countdown({ until }) {
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 250)
    return () => clearInterval(timer)
  }, [])
  const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1000))
  return html`<span class="connection-countdown" aria-hidden="true">${t('state.retryIn', { count: seconds })}</span>`
}
