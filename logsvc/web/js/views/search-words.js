/** What a search says of itself. */

import { formatDateTime } from '../helpers/format.js'
import { t } from '../i18n/index.js'

/** Short, in the bar: how many matching lines, and where the reader stands among them. */
export function countWords(hits, search) {
  if (!hits.active || search.error || hits.error) return ''
  if (hits.waiting || search.waiting) return t('search.waiting')
  const { total, exact } = hits
  if (total === null) return hits.searching || search.searching ? t('search.searching') : t('search.counting')
  if (total === 0) return exact ? t('search.none') : t('search.noneInTime')
  const index = hits.scope === 'log' ? search.index : hits.indexOf(search.log?.stream.id, search.index)
  if (index != null) return t(exact ? 'search.place' : 'search.placeAtLeast', { index, total })
  return exact ? t('search.total', { count: total }) : t('search.atLeast', { count: total })
}

/** In full, above the list: what was searched, and what was not. */
export function summaryWords(hits) {
  const { total, exact, scope, searched } = hits
  if (hits.waiting) return t('search.waiting')
  if (total === null) return t('search.searching')
  if (total === 0) return [t(exact ? 'search.none' : 'search.noneInTime'), scope !== 'log' && t('search.searchedLogs', { count: searched })].filter(Boolean).join(' · ')
  const lines = t('search.total', { count: total })
  const found = scope === 'log' ? t('search.inLog', { lines }) : t(scope === 'job' ? 'search.inJob' : 'search.inAll', { lines, found: hits.groups.size, searched })
  return exact ? found : t('search.stopped', { found })
}

/** Which lines were looked at, where not all were: one sentence each. */
export function limitWords({ level, since, until, lines }) {
  return [
    level === 'error' && t('search.onlyErrors'),
    level === 'warning' && t('search.onlyWarnings'),
    level === 'error,warning' && t('search.onlyBoth'),
    lines === 'user' && t('search.onlyUser'),
    since && t('search.onlySince', { time: formatDateTime(since) }),
    until && t('search.onlyUntil', { time: formatDateTime(until) }),
  ].filter(Boolean)
}

export function errorText(error) {
  if (error.code === 'bad_pattern') return t('search.badPattern', { message: error.message })
  if (error.code === 'network') return t('app.noConnection')
  return t('search.failed', { message: error.message })
}
