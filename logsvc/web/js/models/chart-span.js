/** Spans of time on a chart: how an address writes them, and into which equal parts they are cut. Milliseconds. */

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200]
const DAY_S = 86_400
const AROUND_MS = 300_000
const SHORT_MS = 60_000
export const LEAST_SPAN_MS = 10_000
const MOST_POINTS = 2000 // that the service gives

/**
 * What an address says of a span -> {from, to} as it is kept there: RFC 3339, or "" where nothing sound is said.
 * From a moment until the same one is what a point of a dashboard links to: then it is what lies around it.
 */
export function spanInAddress(from, to) {
  const [start, end] = [toMs(from), toMs(to)]
  if (start === null || (end !== null && end < start)) return { from: '', to: '' }
  if (start === end) return { from: toTime(start - AROUND_MS), to: toTime(start + AROUND_MS) }
  return { from: toTime(start), to: end === null ? '' : toTime(end) }
}

/** {fromMs, toMs} as an address keeps it: whole seconds, of a short span milliseconds. */
export function addressOf({ fromMs, toMs }) {
  const unit = toMs - fromMs < SHORT_MS ? 1 : 1000
  return { from: toTime(Math.floor(fromMs / unit) * unit), to: toTime(Math.ceil(toMs / unit) * unit) }
}

/** The span that a place shows, within the job's life; `zoomed` where it is not all of it. */
export function shownSpan({ from, to }, life) {
  if (!from) return { ...life, zoomed: false }
  const fromMs = Date.parse(from)
  const toMs = to ? Date.parse(to) : Math.max(life.toMs, fromMs + LEAST_SPAN_MS)
  return { fromMs, toMs, zoomed: true }
}

/** From when to when a job has lived by `now`. */
export function lifeOf({ created_at: created, ended_at: ended, last_chunk_at: last }, now) {
  const end = ended ? Date.parse(ended) : now
  const fromMs = Math.min(created ? Date.parse(created) : end, last ? Date.parse(last) : end, end)
  return { fromMs, toMs: Math.max(end, fromMs + LEAST_SPAN_MS) }
}

/**
 * A span cut into at most `points` parts whose length people have a word for, at whole multiples of it: while the
 * span grows, what was shown stays where it was.
 *
 * @returns {{fromMs: number, toMs: number, stepMs: number, points: number}} it holds all of the span
 */
export function partsOf({ fromMs, toMs }, points) {
  const most = Math.max(2, Math.min(MOST_POINTS, Math.floor(points)) - 1)
  const seconds = (toMs - fromMs) / 1000
  const step = STEPS_S.find((one) => seconds / one <= most) ?? DAY_S * Math.max(1, Math.ceil(seconds / DAY_S / most))
  const stepMs = step * 1000
  const start = Math.floor(fromMs / stepMs) * stepMs
  const end = Math.max(start + stepMs, Math.ceil(toMs / stepMs) * stepMs)
  return { fromMs: start, toMs: end, stepMs, points: Math.round((end - start) / stepMs) }
}

/** The span `factor` times as long around a moment that stays where it is; never beyond the job's life. */
export function zoomedBy({ fromMs, toMs }, factor, aroundMs, life) {
  const around = Math.min(toMs, Math.max(fromMs, aroundMs))
  const length = Math.max(LEAST_SPAN_MS, (toMs - fromMs) * factor)
  const start = around - ((around - fromMs) / (toMs - fromMs)) * length
  return { fromMs: Math.max(life.fromMs, start), toMs: Math.min(life.toMs, start + length) }
}

export function toTime(ms) {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}

/** "2026-11-24T05:12:00Z" or "1795497120000" -> milliseconds; null where it is neither. */
function toMs(text) {
  const ms = /^\d{11,14}$/.test(text) ? Number(text) : Date.parse(text)
  return text && Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? ms : null
}
