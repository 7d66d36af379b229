// What the chart over the log works out: spans, parts, columns, the legend, words. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

process.env.TZ = 'Asia/Shanghai'
const WEB = process.env.LOGSVC_WEB
const { addressOf, lifeOf, partsOf, shownSpan, spanInAddress, zoomedBy } = await import(`${WEB}/js/models/chart-span.js`)
const { bridgedParts, columnsOf, legendOf, lonePlaces, ordered, valueAt } = await import(`${WEB}/js/models/chart-data.js`)
const { sparklineFacts, sparklinePath } = await import(`${WEB}/js/helpers/sparkline.js`)
const { formatDuration, formatPercentOf, fromTo } = await import(`${WEB}/js/helpers/format.js`)
const HOUR = 3_600_000
const NOON = Date.parse('2026-11-24T12:00:00Z')

test('a span in the address is a time, or the milliseconds that Grafana writes', () => {
  const from = '2026-11-24T12:00:00Z'
  assert.deepEqual(spanInAddress(from, '2026-11-24T13:00:00Z'), { from, to: '2026-11-24T13:00:00Z' })
  assert.deepEqual(spanInAddress(String(NOON), String(NOON + HOUR)), { from, to: '2026-11-24T13:00:00Z' })
  assert.deepEqual(spanInAddress(from, ''), { from, to: '' })
  assert.deepEqual(spanInAddress(String(NOON), String(NOON)), { from: '2026-11-24T11:55:00Z', to: '2026-11-24T12:05:00Z' }, 'a point of a dashboard')
  for (const [one, other] of [['', from], ['yesterday', from], ['2026-11-24T13:00:00Z', from], ['9'.repeat(30), '']]) {
    assert.deepEqual(spanInAddress(one, other), { from: '', to: '' }, `${one} to ${other}`)
  }
})

test('a span is kept to the second, and never loses what was dragged over', () => {
  assert.deepEqual(addressOf({ fromMs: NOON + 900, toMs: NOON + HOUR + 1 }), { from: '2026-11-24T12:00:00Z', to: '2026-11-24T13:00:01Z' })
  assert.deepEqual(addressOf({ fromMs: NOON + 900.7, toMs: NOON + 5000.2 }), { from: '2026-11-24T12:00:00.900Z', to: '2026-11-24T12:00:05.001Z' })
})

test('a job’s life ends with the job, or now', () => {
  const created_at = '2026-11-24T11:00:00Z'
  assert.deepEqual(lifeOf({ created_at }, NOON), { fromMs: NOON - HOUR, toMs: NOON })
  assert.deepEqual(lifeOf({ created_at, ended_at: '2026-11-24T11:30:00Z' }, NOON), { fromMs: NOON - HOUR, toMs: NOON - HOUR / 2 })
  assert.ok(lifeOf({ created_at: '2026-11-24T12:00:00Z' }, NOON).toMs > NOON, 'one that has just begun has a length')
  assert.deepEqual(shownSpan({ from: '', to: '' }, { fromMs: 1, toMs: 2 }), { fromMs: 1, toMs: 2, zoomed: false })
  assert.deepEqual(shownSpan({ from: created_at, to: '' }, { fromMs: 0, toMs: NOON }), { fromMs: NOON - HOUR, toMs: NOON, zoomed: true })
})

test('parts are whole and hold the span; while it grows they stay where they were', () => {
  for (const [length, points] of [[HOUR, 300], [24 * HOUR, 500], [7, 300], [400 * 24 * HOUR, 200], [9 * HOUR, 2]]) {
    const parts = partsOf({ fromMs: NOON + 123, toMs: NOON + 123 + length }, points)
    assert.ok(parts.fromMs <= NOON + 123 && parts.toMs >= NOON + 123 + length)
    assert.equal(parts.fromMs % parts.stepMs, 0)
    assert.equal((parts.toMs - parts.fromMs) / parts.stepMs, parts.points)
    assert.ok(parts.points >= 1 && parts.points <= Math.max(2, points) + 1, `${parts.points} of ${points}`)
  }
  assert.equal(partsOf({ fromMs: NOON, toMs: NOON + 24 * HOUR }, 500).stepMs, 300_000)
  const before = partsOf({ fromMs: NOON, toMs: NOON + HOUR }, 300)
  const after = partsOf({ fromMs: NOON, toMs: NOON + HOUR + 5000 }, 300)
  assert.deepEqual([after.fromMs, after.stepMs], [before.fromMs, before.stepMs])
})

test('zooming keeps its middle and stays within the job’s life', () => {
  const life = { fromMs: 0, toMs: 100 * HOUR }
  assert.deepEqual(zoomedBy({ fromMs: 0, toMs: 100 * HOUR }, 0.5, 25 * HOUR, life), { fromMs: 12.5 * HOUR, toMs: 62.5 * HOUR })
  assert.deepEqual(zoomedBy({ fromMs: 10 * HOUR, toMs: 90 * HOUR }, 4, 50 * HOUR, life), life)
})

const PARTS = { fromMs: 0, toMs: 40_000, stepMs: 10_000, points: 4 }
const series = (key, mean, more = {}) => ({ key, colour: { a: 0, b: 3 }[key], readings: { utilization_percent: { min: mean, mean, max: mean, ...more } } })

test('columns: what encloses all lines, null where there is nothing', () => {
  const found = columnsOf({ parts: PARTS, series: [series('a', [10, 20, null, 0], { max: [90, 20, null, 0] }), series('b', [30, 5, null, null])] }, 'utilization_percent')
  assert.deepEqual(found.times, [5, 15, 25, 35])
  assert.deepEqual(found.low, [10, 5, null, 0])
  assert.deepEqual(found.high, [90, 20, null, 0])
  assert.deepEqual(found.lines, [{ key: 'a', colour: 0, values: [10, 20, null, 0] }, { key: 'b', colour: 3, values: [30, 5, null, null] }])
  const none = columnsOf({ parts: PARTS, series: [series('a', [1, 2, 3, 4])] }, 'power_watts')
  assert.deepEqual(none.lines[0].values, [null, null, null, null], 'a reading that this card does not have')
})

test('a reading alone is a dot; one that only waits for the next sample is not', () => {
  assert.equal(bridgedParts(15_000), 6)
  assert.equal(bridgedParts(300_000), 0)
  assert.deepEqual(lonePlaces([null, 1, null, null, null], 1), [1])
  assert.deepEqual(lonePlaces([1, null, 2, null, null, 3], 1), [5])
  assert.deepEqual(lonePlaces([1, 2, null, 3, null, null, 4, 5], 0), [3])
  assert.deepEqual(lonePlaces([0], 3), [0], '0 is a reading')
  assert.deepEqual(lonePlaces([null, null], 3), [])
  assert.equal(valueAt([7, null, null], 2, 1), null)
  assert.equal(valueAt([7, null, null], 2, 2), 7)
  assert.equal(valueAt([7, 0], 1, 2), 0)
})

test('the legend counts as people do; the idle ones come first where that is asked for', () => {
  const devices = ['10', '2'].flatMap((n) => ['1', '0'].map((device) => ({ task: `worker-${n}`, device, mean_percent: Number(n) })))
  const means = { devices, tasks: [{ task: 'worker-10', mean_percent: null }, { task: 'worker-2', mean_percent: 3 }] }
  assert.deepEqual(legendOf(means, { by: 'device' }).map(({ key }) => key), ['worker-2/0', 'worker-2/1', 'worker-10/0', 'worker-10/1'])
  assert.deepEqual(legendOf(means, { by: 'device', task: 'worker-10' }).map(({ key }) => key), ['worker-10/0', 'worker-10/1'])
  const tasks = legendOf(means, { by: 'task' })
  assert.deepEqual(tasks.map(({ key, device }) => [key, device]), [['worker-2', null], ['worker-10', null]])
  assert.deepEqual(ordered([{ mean: null }, { mean: 50 }, { mean: 0 }], true).map(({ mean }) => mean), [0, 50, null])
})

test('a sparkline breaks where there is no reading', () => {
  const box = { width: 32, height: 12 }
  assert.equal(sparklinePath([0, 100, null, 50], box), 'M1 11L11 1M31 6h.01')
  assert.equal(sparklinePath([null, null], box), '')
  assert.equal(sparklinePath([140, -5], box), 'M1 1L31 11', 'never outside of its box')
  assert.deepEqual(sparklineFacts([null, 3, 0, null]), { low: 0, high: 3, last: 0 })
  assert.equal(sparklineFacts([null]), null)
  assert.equal(sparklineFacts(null), null)
})

test('a mean below the limit never looks as high as the limit', () => {
  assert.equal(formatPercentOf(49.999), '49.99%')
  assert.equal(formatPercentOf(49.99), '49.99%')
  assert.equal(formatPercentOf(50), '50%')
  assert.equal(formatPercentOf(0.07), '0.07%')
  assert.equal(formatDuration(45), '45 sec')
  assert.equal(formatDuration(1800), '30 min')
  assert.equal(formatDuration(9000), '2.5 hr')
  assert.equal(formatDuration(259_200, 'zh-CN'), '3天')
  assert.deepEqual(fromTo(NOON, NOON + HOUR), { from: '2026-11-24 20:00:00', to: '21:00:00' })
  assert.deepEqual(fromTo(NOON, NOON + 5 * HOUR).to, '2026-11-25 01:00:00')
})
