/** What is wrong with a job, in the reader's language, from a finding's name and numbers. */

import { formatBytes, formatDuration, formatNumber, formatPercentOf } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'

const MOST_NAMED = 6 // cards or workers

const NAMES = {
  low_utilization: () => t('flag.lowUtilization'),
  hung: () => t('flag.hung'),
  recently_low: () => t('finding.recentlyLow.name'),
  never_used: () => t('finding.neverUsed.name'),
  long_idle_gap: () => t('finding.longIdleGap.name'),
  uneven_cards: () => t('finding.unevenCards.name'),
  uneven_workers: () => t('finding.unevenWorkers.name'),
  memory_without_process: () => t('finding.memoryWithoutProcess.name'),
  sawtooth: () => t('finding.sawtooth.name'),
  checkpoint_dips: () => t('finding.checkpointDips.name'),
}

const REASONS = {
  low_utilization: (n) => t('finding.lowUtilization.reason', { mean: percent(n.mean_percent), readings: count(n.readings), limit: percent(n.limit_percent) }),
  hung: (n) => t('finding.hung.reason', { still: span(n.io_still_seconds), window: span(n.window_seconds), variance: plain(n.variance), median: percent(n.median_percent) }),
  recently_low: (n) => t('finding.recentlyLow.reason', { window: span(n.window_seconds), mean: percent(n.mean_percent), limit: percent(n.limit_percent) }),
  never_used: (n) => t('finding.neverUsed.reason', { count: count(n.cards), watched: span(n.watched_seconds) }),
  long_idle_gap: (n) => t('finding.longIdleGap.reason', { gap: span(n.gap_seconds), below: percent(n.below_percent) }),
  uneven_cards: (n) => t('finding.unevenCards.reason', { mean: percent(n.mean_percent), others: percent(n.others_percent) }),
  uneven_workers: (n) => t('finding.unevenWorkers.reason', { mean: percent(n.mean_percent), others: percent(n.others_percent) }),
  memory_without_process: (n) => t('finding.memoryWithoutProcess.reason', { memory: bytes(n.memory_bytes), held: span(n.held_seconds) }),
  sawtooth: (n) => t('finding.sawtooth.reason', { low: percent(n.low_percent), high: percent(n.high_percent), period: span(n.period_seconds) }),
  checkpoint_dips: (n) => t('finding.checkpointDips.reason', { count: count(n.dips), dip: span(n.mean_dip_seconds), lost: percent(n.lost_percent) }),
}

const ADVICE = {
  low_utilization: () => t('finding.lowUtilization.advice'),
  hung: () => t('finding.hung.advice'),
  recently_low: () => t('finding.recentlyLow.advice'),
  never_used: () => t('finding.neverUsed.advice'),
  long_idle_gap: () => t('finding.longIdleGap.advice'),
  uneven_cards: () => t('finding.unevenCards.advice'),
  uneven_workers: () => t('finding.unevenWorkers.advice'),
  memory_without_process: () => t('finding.memoryWithoutProcess.advice'),
  sawtooth: () => t('finding.sawtooth.advice'),
  checkpoint_dips: () => t('finding.checkpointDips.advice'),
}

export function findingName(name) {
  return Object.hasOwn(NAMES, name) ? NAMES[name]() : name
}

/** {reason, advice}: the page's own words where it knows the finding and has its numbers, else the service's. */
export function findingWords({ name, numbers, reason = '', advice = '' }) {
  const own = Object.hasOwn(REASONS, name) ? ownReason(name, numbers ?? {}) : ''
  return own ? { reason: own, advice: ADVICE[name]() } : { reason, advice }
}

/** "worker-3, worker-7": whom it concerns, where it is not all; "" otherwise. */
export function concernedWords({ tasks = [], devices = [] }) {
  if (devices.length) return t('finding.cards', { names: named(devices.map(({ task, device }) => `${task}/${device}`)) })
  return tasks.length ? t('finding.tasks', { names: named(tasks) }) : ''
}

function named(names) {
  const shown = names.slice(0, MOST_NAMED).join(currentLanguage() === 'zh-CN' ? '、' : ', ')
  return names.length > MOST_NAMED ? t('finding.more', { names: shown, count: names.length - MOST_NAMED }) : shown
}

/** "" where a number is missing. */
function ownReason(name, numbers) {
  try {
    return REASONS[name](numbers)
  } catch (error) {
    if (error instanceof MissingNumber) return ''
    throw error
  }
}

class MissingNumber extends Error {}

function there(number) {
  if (typeof number !== 'number' || !Number.isFinite(number)) throw new MissingNumber()
  return number
}

function count(number) {
  return Math.round(there(number))
}

function plain(number) {
  return formatNumber(there(number), currentLanguage())
}

function percent(number) {
  return formatPercentOf(there(number), currentLanguage())
}

function span(seconds) {
  return formatDuration(there(seconds), currentLanguage())
}

function bytes(number) {
  return formatBytes(there(number), currentLanguage())
}
