/** The shape of a small line chart. */

/**
 * Numbers (null: none) of 0 to 100 -> the `d` of an SVG path in a box of that size; what stands alone is a dot.
 */
export function sparklinePath(values, { width, height }) {
  const x = (i) => round((i / Math.max(1, values.length - 1)) * (width - 2) + 1)
  const y = (value) => round(height - 1 - (Math.min(100, Math.max(0, value)) / 100) * (height - 2))
  let path = ''
  values.forEach((value, i) => {
    if (value == null) return
    const begins = values[i - 1] == null
    path += `${begins ? 'M' : 'L'}${x(i)} ${y(value)}`
    if (begins && values[i + 1] == null) path += 'h.01' // a round cap makes it a dot
  })
  return path
}

/** {low, high, last} of the numbers there are; null where there are none. */
export function sparklineFacts(values) {
  const there = (values ?? []).filter((value) => value != null)
  return there.length ? { low: Math.min(...there), high: Math.max(...there), last: there.at(-1) } : null
}

function round(number) {
  return Math.round(number * 10) / 10
}
