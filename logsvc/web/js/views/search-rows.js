/** Where each row of the list of hits stands: pure arithmetic. */

const JOB_PX = 30
const LOG_PX = 26
export const LINE_PX = 20 // as in css/search-hits.css
const GAP_PX = 7 // between hits with lines around them
const MOST_PX = 15_000_000 // browsers clamp an element at about 17 million; so long a list is no list
const MOST_WAITING = 20 // lines kept free for what is not loaded yet

/** Rows from above: {type: job|log|hit|rest|cut, key, top, height, group, hit?, nested}. */
export function layout(jobs, { byJob, context }) {
  const rows = []
  let top = 0
  const add = (row, height) => {
    rows.push({ ...row, top, height })
    top += height
  }
  for (const job of jobs) {
    if (byJob) add({ type: 'job', key: `job-${job.id}`, group: job, nested: false }, JOB_PX)
    if (byJob && !job.open) continue
    for (const group of job.groups) {
      if (top > MOST_PX) {
        add({ type: 'cut', key: 'cut', group, nested: false }, LOG_PX)
        return rows
      }
      add({ type: 'log', key: `log-${group.stream}`, group, nested: byJob }, LOG_PX)
      if (!group.open) continue
      for (const hit of group.hits) add({ type: 'hit', key: `${group.stream}-${hit.n}`, group, hit, nested: byJob }, hitHeight(hit, context))
      const missing = group.missing ?? 1
      if (missing) add({ type: 'rest', key: `rest-${group.stream}`, group, nested: byJob }, Math.min(missing * (1 + 2 * context), MOST_WAITING) * LINE_PX)
    }
  }
  return rows
}

/** Those rows that touch [from, to). */
export function visible(rows, from, to) {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (rows[middle].top + rows[middle].height <= from) low = middle + 1
    else high = middle
  }
  let end = low
  while (end < rows.length && rows[end].top < to) end += 1
  return rows.slice(low, end)
}

function hitHeight({ before, after }, context) {
  return (1 + before.length + after.length) * LINE_PX + (context ? GAP_PX : 0)
}
