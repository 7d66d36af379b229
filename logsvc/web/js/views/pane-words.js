/** What the log pane writes; the pane itself knows no language. */

import { formatBytes, formatClock } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { MOST_COPIED_BYTES } from '../pane/copying.js'

export function paneWords() {
  return {
    label: t('log.label'),
    scrollbar: t('log.scrollbar'),
    showRaw: t('log.showRaw'),
    showFolded: t('log.showFolded'),
    hiddenHit: t('log.hiddenHit'),
    moreBytes: (bytes) => t('log.moreBytes', { size: size(bytes) }),
    moreHit: (bytes) => t('log.moreHit', { size: size(bytes) }),
    mapPart: ({ first, end, errors, warnings, matches }) =>
      [
        t('log.mapLines', { count: end - first, first: first + 1, last: end }),
        errors && t('log.mapErrors', { count: errors }),
        warnings && t('log.mapWarnings', { count: warnings }),
        matches && t('log.mapMatches', { count: matches }),
      ]
        .filter(Boolean)
        .join(' · '),
    copyState,
    copy: t('log.copy'),
    cancel: t('log.copyCancel'),
    close: t('app.close'),
  }
}

/** "Lines 1–40 of 5,000 · 1 % · 12:00:03.123": where the reader stands. */
export function positionWords(position, log) {
  if (!log.count) return ''
  const { share, receivedAt } = position
  const { first, last } = position.shownRows
  const lines = t(log.lines === 'user' ? 'log.positionUser' : 'log.position', { first: first + 1, last: last + 1, total: log.count })
  return [lines, t('log.percent', { percent: Math.floor(share * 100) }), formatClock(receivedAt)].filter(Boolean).join(' · ')
}

function copyState(state) {
  if (state.name === 'collecting') return t('log.copyCollecting', { done: state.done, total: state.total })
  if (state.name === 'ready') return t('log.copyReady', { count: state.lines })
  if (state.name === 'copied') return t('log.copied', { count: state.lines })
  if (state.name === 'tooMuch') return t('log.copyTooMuch', { size: size(state.bytes), most: size(MOST_COPIED_BYTES) })
  return t('log.copyFailed', { message: state.error.message })
}

function size(bytes) {
  return formatBytes(bytes, currentLanguage())
}
