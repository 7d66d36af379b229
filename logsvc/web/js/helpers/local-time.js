/** Times in the reader's zone, as `<input type="datetime-local">` has them. */

/** RFC 3339 -> "2026-11-24T05:12:09"; "" where there is none. */
export function toLocalInput(time) {
  const date = new Date(time)
  if (!time || Number.isNaN(date.getTime())) return ''
  const two = (number) => String(number).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** What such a field holds -> RFC 3339 in UTC; "" where it holds nothing whole. */
export function fromLocalInput(text) {
  const ms = text ? Date.parse(text) : NaN
  return Number.isNaN(ms) ? '' : toTime(ms)
}

/** So many minutes ago, to the second. */
export function minutesAgo(minutes, now = Date.now()) {
  return toTime(Math.floor(now / 1000) * 1000 - minutes * 60_000)
}

function toTime(ms) {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
