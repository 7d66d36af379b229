/** What may be typed into the jump box: a line, lines, a share, a time, or a step in time. */

const LINES = /^(\d[\d,]*)(?:\s*[-–]\s*(\d[\d,]*))?$/
const SHARE = /^(\d+(?:\.\d+)?)\s*[%％]$/
const STEP = /^([+-])\s*(?=\d)(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?$/i
const TIME = /^(?:(\d{4})-(\d\d?)-(\d\d?)[ T])?(\d\d?)[:：](\d\d)(?:[:：](\d\d)(?:\.(\d{1,3})\d*)?)?$/

/**
 * Text -> `{line, lineEnd}`, `{share}` (0-1) or `{at}` (RFC 3339); null where it is none of these.
 *
 * Times are the reader's; one without a day is of the day of `near` (milliseconds), which is also
 * where steps begin.
 */
export function parseJump(text, near) {
  const typed = text.trim()
  return parseLines(typed) ?? parseShare(typed) ?? parseStep(typed, near) ?? parseTime(typed, near)
}

function parseLines(text) {
  const found = LINES.exec(text)
  if (!found) return null
  const number = (digits) => Number(digits.replaceAll(',', ''))
  const [first, last] = [number(found[1]), number(found[2] ?? found[1])].sort((a, b) => a - b)
  return first > 0 && Number.isSafeInteger(last) ? { line: first, lineEnd: last > first ? last : null } : null
}

function parseShare(text) {
  const found = SHARE.exec(text)
  return found && Number(found[1]) <= 100 ? { share: Number(found[1]) / 100 } : null
}

function parseStep(text, near) {
  const found = STEP.exec(text)
  if (!found) return null
  const [days, hours, minutes, seconds] = found.slice(2).map((digits) => Number(digits ?? 0))
  const ms = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
  return ms ? { at: new Date(near + (found[1] === '-' ? -ms : ms)).toISOString() } : null
}

function parseTime(text, near) {
  const found = TIME.exec(text)
  if (!found) return null
  const day = new Date(near)
  const [year, month, date] = found[1] ? [Number(found[1]), Number(found[2]) - 1, Number(found[3])] : [day.getFullYear(), day.getMonth(), day.getDate()]
  const [hours, minutes, seconds, ms] = [found[4], found[5], found[6] ?? 0, (found[7] ?? '').padEnd(3, '0')].map(Number)
  if (hours > 23 || minutes > 59 || seconds > 59 || month > 11 || date > 31) return null
  return { at: new Date(year, month, date, hours, minutes, seconds, ms).toISOString() }
}
