/**
 * A query, in the words of the address and in those of the API.
 *
 * `{q, regex, ignoreCase, word, level, since, until}` says what a line must be like;
 * `{scope, tasks, ranks, kinds, proc}` where it is looked for. Lists are texts with commas.
 */

import { naturalOrder } from '../helpers/format.js'

/** Whether anything is looked for: a text, or every line of a level. */
export function isActive({ q, level }) {
  return q !== '' || level !== ''
}

/** Parameters of the API for one log. Without a text, each line of the level matches. */
export function lineParameters({ q, regex, ignoreCase, word, level, since, until }, lines) {
  const text = q ? { q, regex: regex ? 1 : 0, ignore_case: ignoreCase ? 1 : 0, word: word ? 1 : 0 } : { q: '^', regex: 1 }
  return { ...text, level, since, until, lines }
}

/** Parameters for many logs: those of a job, or of all jobs (`job` empty). */
export function scopeParameters({ tasks, ranks, kinds, proc }, job) {
  return { job, task: listed(tasks), rank: listed(ranks), kind: kinds, proc: proc ? 1 : 0 }
}

/** "a,b" -> ["a", "b"]; "" -> []. */
export function listed(text) {
  return text === '' ? [] : text.split(',')
}

/** A list with `value` in it, or without it where it was. */
export function toggled(list, value) {
  const values = listed(list)
  return (values.includes(value) ? values.filter((one) => one !== value) : [...values, value]).sort(naturalOrder).join(',')
}

/**
 * Finds the hits of a literal query in lines, as the service does: left to right, not overlapping;
 * ignore-case is simple Unicode folding; a word has no letter, digit or _ of ASCII beside it.
 */
export class LiteralMarker {
  constructor({ q, ignoreCase, word, level, since, until }) {
    const literal = q.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
    this.needle = q ? new RegExp(word ? `(?<![0-9A-Za-z_])${literal}(?![0-9A-Za-z_])` : literal, ignoreCase ? 'giu' : 'gu') : null
    this.levels = listed(level)
    this.since = since ? Date.parse(since) : -Infinity
    this.until = until ? Date.parse(until) : Infinity
  }

  /** [[start, end)…] in code points. */
  spans({ text, level, received_at: receivedAt }) {
    if (!this.needle || (this.levels.length && !this.levels.includes(level)) || !this.#inTime(receivedAt)) return []
    const spans = []
    let points = 0
    let at = 0
    for (const hit of text.matchAll(this.needle)) {
      points += pointsIn(text, at, hit.index)
      const length = pointsIn(hit[0], 0, hit[0].length)
      spans.push([points, points + length])
      points += length
      at = hit.index + hit[0].length
    }
    return spans
  }

  #inTime(receivedAt) {
    if (this.since === -Infinity && this.until === Infinity) return true
    const time = Date.parse(receivedAt)
    return !(time < this.since) && !(time >= this.until) // a line without a time yet is on screen this moment
  }
}

function pointsIn(text, start, end) {
  let points = end - start
  for (let i = start; i < end; i += 1) if ((text.charCodeAt(i) & 0xfc00) === 0xdc00) points -= 1
  return points
}
