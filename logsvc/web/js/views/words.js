/** Words for the names that the service uses. */

import { t } from '../i18n/index.js'

const STATUS = {
  pending: () => t('status.pending'),
  running: () => t('status.running'),
  succeeded: () => t('status.succeeded'),
  failed: () => t('status.failed'),
  stopped: () => t('status.stopped'),
}

const FLAGS = { low_utilization: () => t('flag.lowUtilization'), hung: () => t('flag.hung') }

const KINDS = {
  ordinary: () => t('kind.ordinary'),
  proc: () => t('kind.proc'),
  plog: () => t('kind.plog'),
  device: () => t('kind.device'),
  mindspore: () => t('kind.mindspore'),
  other: () => t('kind.other'),
}

const COLUMNS = {
  status: () => t('jobs.status'),
  name: () => t('jobs.name'),
  id: () => t('jobs.id'),
  owner: () => t('jobs.owner'),
  type: () => t('jobs.type'),
  algorithm: () => t('jobs.algorithm'),
  resource_pool: () => t('jobs.resourcePool'),
  engine: () => t('jobs.engine'),
  accelerator: () => t('jobs.accelerator'),
  tasks: () => t('jobs.tasks'),
  created: () => t('jobs.created'),
  ended: () => t('jobs.ended'),
  activity: () => t('jobs.activity'),
  size: () => t('jobs.size'),
  utilization: () => t('jobs.utilization'),
  flags: () => t('jobs.flags'),
}

export const STATUSES = Object.keys(STATUS)
export const FLAG_NAMES = Object.keys(FLAGS)

export function columnWord(name) {
  return COLUMNS[name]()
}

export function statusWord(status) {
  return STATUS[status]?.() ?? t('status.unknown')
}

export function flagWord(flag) {
  return FLAGS[flag]?.() ?? flag
}

export function kindWord(kind) {
  return KINDS[kind]?.() ?? kind
}

/** What an error means and what to do: {what, how}. */
export function errorWords(error) {
  if (error.code === 'network') return { what: t('app.noConnection'), how: '' }
  if (error.status === 503) return { what: t('error.unavailable'), how: t('error.unavailableHow') }
  if (error.status === 403) return { what: t('error.forbidden'), how: t('error.forbiddenHow') }
  if (error.status === 410) return { what: t('error.expired'), how: t('error.expiredHow') }
  if (error.status === 404) return { what: t('error.notFound'), how: t('job.goneHow') }
  return { what: t('error.other', { message: error.message }), how: '' }
}
