/** Numbers, sizes and times as people read them; `lang` is a BCP 47 tag. */

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
const AGES = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
]
// unit, from how many seconds on, how many it has
const DURATIONS = [
  ['day', 172_800, 86_400],
  ['hour', 7200, 3600],
  ['minute', 120, 60],
  ['second', 0, 1],
]
const formats = new Map()

/** 1234567 -> "1,234,567". */
export function formatCount(count, lang = 'en') {
  return cached(`count ${lang}`, () => new Intl.NumberFormat(lang)).format(count)
}

/** Bytes -> "1.2 MiB"; null (unknown) -> "–". */
export function formatBytes(bytes, lang = 'en') {
  if (bytes == null) return '–'
  let unit = 0
  let size = bytes
  while (size >= 1024 && unit < SIZE_UNITS.length - 1) {
    size /= 1024
    unit += 1
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1
  const number = cached(`size ${lang} ${digits}`, () => new Intl.NumberFormat(lang, { maximumFractionDigits: digits }))
  return `${number.format(size)} ${SIZE_UNITS[unit]}`
}

/** RFC 3339 -> "2026-11-24 05:12" in the reader's time zone; nothing -> "–". */
export function formatDateTime(time) {
  const date = toDate(time)
  return date ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}` : '–'
}

/** RFC 3339 -> "05:12:09.123" in the reader's time zone; nothing -> "". */
export function formatClock(time) {
  const date = toDate(time)
  if (!date) return ''
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** RFC 3339 -> "2026-11-24 05:12:09" in the reader's time zone; nothing -> "–". */
export function formatSecond(time) {
  const date = toDate(time)
  return date ? `${formatDateTime(time)}:${two(date.getSeconds())}` : '–'
}

/** Two times as {from, to}, to the second; the second one without its day where that is the same. */
export function fromTo(from, to) {
  const [first, second] = [formatSecond(from), formatSecond(to)]
  const [day, clock] = second.split(' ')
  return { from: first, to: first.startsWith(`${day} `) ? clock : second }
}

/** How long ago a time was at `now` (milliseconds): "3 min. ago"; nothing -> "". */
export function formatAgo(time, now, lang = 'en') {
  const date = toDate(time)
  if (!date) return ''
  const seconds = (date.getTime() - now) / 1000
  const words = cached(`ago ${lang}`, () => new Intl.RelativeTimeFormat(lang, { style: 'short', numeric: 'auto' }))
  if (Math.abs(seconds) < 45) return words.format(0, 'second')
  const [unit, length] = AGES.find(([, size]) => Math.abs(seconds) >= size * 0.9) ?? AGES.at(-1)
  return words.format(Math.round(seconds / length), unit)
}

/** 750000 -> "12 min": whole minutes, from two hours on hours, from two days on days. */
export function formatSpan(ms, lang = 'en') {
  const [unit, length] = ms >= 172_800_000 ? ['day', 86_400_000] : ms >= 7_200_000 ? ['hour', 3_600_000] : ['minute', 60_000]
  return cached(`span ${lang} ${unit}`, () => new Intl.NumberFormat(lang, { style: 'unit', unit, unitDisplay: 'short' })).format(Math.floor(ms / length))
}

/** 42.3 -> "42%", as the language writes it. */
export function formatPercent(percent, lang = 'en') {
  return cached(`percent ${lang}`, () => new Intl.NumberFormat(lang, { style: 'percent', maximumFractionDigits: 0 })).format(percent / 100)
}

/** 49.987 -> "49.99%", 50 -> "50%": to two places, but never rounded up to another whole. */
export function formatPercentOf(percent, lang = 'en') {
  const number = cached(`percent of ${lang}`, () => new Intl.NumberFormat(lang, { style: 'percent', maximumFractionDigits: 2, roundingMode: 'trunc' }))
  return number.format((percent + 1e-9) / 100)
}

/** 0.0312 -> "0.03": to two places. */
export function formatNumber(number, lang = 'en') {
  return cached(`number ${lang}`, () => new Intl.NumberFormat(lang, { maximumFractionDigits: 2 })).format(number)
}

/** 5400 -> "1.5 hr": seconds in the largest unit that holds them, to one place. */
export function formatDuration(seconds, lang = 'en') {
  const [unit, , length] = DURATIONS.find(([, least]) => seconds >= least)
  return cached(`duration ${lang} ${unit}`, () => new Intl.NumberFormat(lang, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 })).format(seconds / length)
}

/** Last part of a path. */
export function baseName(path) {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Order that puts worker-2 before worker-10. */
export function naturalOrder(a, b) {
  return cached('order', () => new Intl.Collator('en', { numeric: true })).compare(a, b)
}

function toDate(time) {
  if (time == null) return null
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? null : date
}

function two(number) {
  return String(number).padStart(2, '0')
}

function cached(key, make) {
  if (!formats.has(key)) formats.set(key, make())
  return formats.get(key)
}
