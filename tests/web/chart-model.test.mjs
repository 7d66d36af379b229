// What the chart asks of the service, and when. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'

globalThis.document = Object.assign(new EventTarget(), { hidden: false })
const { Chart } = await import(`${process.env.LOGSVC_WEB}/js/models/chart.js`)
const NOW = Date.parse('2026-11-24T12:00:00Z')
const HOUR = 3_600_000

/** A chart of a job with so many workers and cards, and what it asked for. */
function aChart({ workers = 1, cards = 2, ended_at = null, place = {}, fail = false } = {}) {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
  const asked = []
  const devices = Array.from({ length: workers * cards }, (_, n) => ({ task: `worker-${Math.floor(n / cards)}`, device: String(n % cards), mean_percent: n }))
  const means = { devices, tasks: Array.from({ length: workers }, (_, n) => ({ task: `worker-${n}`, mean_percent: n })) }
  const state = { fail, capSeconds: 0 }
  const http = {
    utilization: async (_, given) => {
      asked.push(given)
      if (state.fail) throw Object.assign(new Error('no'), { status: 503 })
      const [fromMs, toMs] = [given.from ?? '2026-11-24T10:00:00Z', given.to ?? '2026-11-24T12:00:00Z'].map(Date.parse)
      const seconds = Math.max(state.capSeconds, (toMs - fromMs) / 1000 / given.points)
      const one = ({ task, device = null }) => ({ task, device, kind: 'npu', readings: { utilization_percent: { min: [], mean: [], max: [] } } })
      const wanted = (given.by === 'device' ? devices : means.tasks).filter(({ task }) => !given.task || task === given.task)
      return { from: new Date(fromMs).toISOString(), means, series: wanted.map(one), log_lines: null, events: [], bucket_seconds: seconds }
    },
  }
  const address = Object.assign(new EventTarget(), {
    place: { job: 'a', from: '', to: '', readings: '', cards: '', ...place },
    go(changes) {
      this.place = { ...this.place, ...changes }
      this.dispatchEvent(new Event('change'))
    },
  })
  const job = { id: 'a', job: { created_at: '2026-11-24T11:00:00Z', ended_at }, tasks: [] }
  const chart = new Chart({ http, address, job, now: () => NOW })
  return { chart, asked, address, state, settle: async (ms = 0) => {
    mock.timers.tick(ms)
    for (let turn = 0; turn < 20; turn += 1) await null
  } }
}

test('first it learns how many cards there are and since when, then it asks for whole parts', async () => {
  const { chart, asked, settle } = aChart()
  chart.start()
  await settle()
  assert.deepEqual(asked[0], { points: 1, by: 'job' })
  assert.equal(asked[1].by, 'device')
  assert.equal(asked[1].from, '2026-11-24T10:00:00.000Z', 'readings may be older than the job')
  assert.equal(asked[1].to, '2026-11-24T12:00:00.000Z')
  assert.equal(asked[1].points, 240) // of 30 s
  assert.deepEqual(chart.series.map(({ key }) => key), ['worker-0/0', 'worker-0/1'])
  chart.stop()
})

test('it asks again while the job runs and the span reaches to now, else not', async () => {
  for (const [given, again] of [
    [{}, true],
    [{ ended_at: '2026-11-24T11:30:00Z' }, false],
    [{ place: { from: '2026-11-24T11:00:00Z', to: '2026-11-24T11:10:00Z' } }, false],
    [{ place: { from: '2026-11-24T11:00:00Z', to: '2026-11-24T12:10:00Z' } }, true],
    [{ fail: true }, true],
  ]) {
    const { chart, asked, settle } = aChart(given)
    chart.start()
    await settle()
    const before = asked.length
    await settle(60_000)
    assert.equal(asked.length > before, again, JSON.stringify(given))
    chart.stop()
    await settle(600_000)
    assert.ok(asked.length <= before + 1, 'it is not looked at any more')
  }
})

test('a page that nobody looks at asks nothing; one that is looked at again does at once', async () => {
  const { chart, asked, settle } = aChart()
  document.hidden = true
  chart.start()
  await settle(60_000)
  assert.equal(asked.length, 0)
  document.hidden = false
  document.dispatchEvent(new Event('visibilitychange'))
  await settle()
  assert.equal(asked.length, 2)
  chart.stop()
})

test('beyond 32 cards each task is a series, until one is opened', async () => {
  const { chart, asked, address, settle } = aChart({ workers: 5, cards: 8 })
  chart.start()
  await settle()
  assert.equal(asked.at(-1).by, 'task')
  assert.deepEqual(chart.rows.map(({ key }) => key), ['worker-0', 'worker-1', 'worker-2', 'worker-3', 'worker-4'])
  chart.toggle('worker-3')
  await settle()
  assert.equal(address.place.cards, 'worker-3')
  assert.equal(asked.length, 2, 'what is chosen among those that are there is not asked for')
  assert.deepEqual(chart.series.map(({ key }) => key), ['worker-3'])
  chart.openTask('worker-4')
  assert.equal(chart.series.length, 5, 'until its cards are there, nothing vanishes')
  await settle()
  assert.deepEqual([asked.at(-1).by, asked.at(-1).task], ['device', 'worker-4'])
  assert.equal(chart.series.length, 8)
  chart.toggle('worker-4/2')
  assert.deepEqual(chart.series.map(({ key }) => key), ['worker-4/2'])
  chart.toggle('worker-4/2')
  assert.equal(address.place.cards, 'worker-4/', 'the last one given up: all of that worker again')
  chart.openTask(null)
  await settle()
  assert.equal(asked.at(-1).by, 'task')
  chart.stop()
})

test('a few lines keep their colours when others are left out; of many, those that are chosen have one', async () => {
  for (const [cards, colours] of [[8, [2, 5]], [9, [0, 1]]]) {
    const { chart, settle } = aChart({ cards, place: { cards: 'worker-0/2,worker-0/5' } })
    chart.start()
    await settle()
    assert.deepEqual(chart.series.map(({ colour }) => colour), colours)
    chart.stop()
  }
})

test('readings: utilization unless others are chosen; memory is drawn up to what the cards have', async () => {
  const { chart, asked, address, settle } = aChart()
  chart.start()
  await settle()
  assert.equal(asked.at(-1).readings, 'utilization_percent')
  chart.toggleReading('memory')
  await settle()
  assert.equal(asked.at(-1).readings, 'utilization_percent,memory_used_bytes,memory_total_bytes')
  chart.toggleReading('utilization')
  chart.toggleReading('memory')
  assert.equal(address.place.readings, '', 'never none')
  assert.deepEqual(chart.readings, ['utilization'])
  chart.stop()
})

test('the service may cut a span into fewer parts than were asked for', async () => {
  const { chart, state, settle } = aChart()
  state.capSeconds = 120
  chart.start()
  await settle()
  assert.deepEqual([chart.answer.parts.stepMs, chart.answer.parts.points], [120_000, 60])
  chart.stop()
})

test('zooming out at last leaves no span in the address', async () => {
  const { chart, address, settle } = aChart()
  chart.start()
  await settle()
  chart.zoomBy(1 / 2)
  assert.deepEqual([address.place.from, address.place.to], ['2026-11-24T10:30:00Z', '2026-11-24T11:30:00Z'])
  assert.equal(chart.span.zoomed, true)
  chart.zoomBy(2)
  assert.equal(address.place.from, '')
  chart.zoom({ fromMs: NOW - HOUR, toMs: NOW })
  chart.reset()
  assert.equal(address.place.from, '')
  chart.stop()
})
