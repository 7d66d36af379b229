/** Says now and then how much has come, to those who hear the page; never each line. */

import { t } from '../i18n/index.js'
import { News } from '../models/news.js'
import { html, useEffect, useState } from './html.js'

const PAUSE_MS = 5000

export function NewsOf({ log }) {
  const [said, setSaid] = useState({ words: '', time: 0 })
  useEffect(() => {
    const news = new News(log)
    const timer = setInterval(() => {
      const come = news.take()
      if (come) setSaid({ words: newsWords(come), time: Date.now() })
    }, PAUSE_MS)
    return () => clearInterval(timer)
  }, [log, log.ready])
  // A node of its own each time: the same words twice are told twice.
  return html`<p class="sr-only log-news" role="status">${said.words && html`<span key=${said.time}>${said.words}</span>`}</p>`
}

function newsWords({ lines, errors }) {
  const words = t('log.newLines', { count: lines })
  return errors ? t('log.newsWithErrors', { lines: words, errors: t('log.errorLines', { count: errors }) }) : words
}
