// How a log is followed and what of it is kept, without a browser. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

globalThis.window = new EventTarget()
globalThis.document = Object.assign(new EventTarget(), { hidden: false })

const at = (path) => import(`${process.env.LOGSVC_WEB}/js/${path}`)
const { Connection } = await at('models/connection.js')
const { LineWindow } = await at('models/line-window.js')

const LONGEST = 'x'.repeat(64 * 1024)
const rowOf = ({ n }) => n - 1
const soon = () => new Promise((done) => setImmediate(done))
const characters = ({ pages }) => [...pages.values()].flatMap(({ rows }) => [...rows.values()]).reduce((sum, { text }) => sum + text.length, 0)

test('the longest lines that come live do not pile up', () => {
  const lines = new LineWindow({ fetchRows: async () => [], rowOf })
  lines.need(0, 50, 50)
  for (let n = 1; n <= 5000; n += 1) lines.put({ n, text: LONGEST })
  assert.ok(characters(lines) <= 32 * 1024 * 1024, `${characters(lines)}`)
  assert.equal(lines.characters, characters(lines))
  assert.ok(lines.get(4999), 'what came last is there')
})

test('rows on screen stay while others come live', () => {
  const lines = new LineWindow({ fetchRows: async () => [], rowOf })
  for (let n = 1; n <= 400; n += 1) lines.put({ n, text: 'x' })
  lines.need(150, 200, 400)
  for (let n = 401; n <= 50_000; n += 1) lines.put({ n, text: 'x' })
  assert.ok(Array.from({ length: 50 }, (_, i) => lines.get(150 + i)).every(Boolean))
  assert.equal(lines.get(20_000), null)
})

test('whoever jumps does not wait for what was asked for before', async () => {
  const asked = []
  const fetchRows = (row, limit, signal) => {
    asked.push({ row, signal })
    return new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason)))
  }
  const lines = new LineWindow({ fetchRows, rowOf })
  lines.need(0, 50, 1_000_000)
  lines.need(500_000, 500_050, 1_000_000)
  assert.deepEqual(asked.map(({ row, signal }) => [row, signal.aborted]).slice(0, 3), [[0, true], [100, true], [500_000, false]])
  lines.close()
})

test('an answer that ends early is asked on', async () => {
  const asked = []
  const fetchRows = async (row, limit) => {
    asked.push([row, limit])
    return Array.from({ length: Math.min(limit, 30) }, (_, i) => ({ n: row + i + 1, text: '' }))
  }
  const lines = new LineWindow({ fetchRows, rowOf })
  lines.addEventListener('change', () => lines.need(0, 100, 100))
  lines.need(0, 100, 100)
  for (let turn = 0; turn < 10; turn += 1) await soon()
  assert.deepEqual(asked, [[0, 100], [30, 70], [60, 40], [90, 10]])
})

class Socket extends EventTarget {
  constructor() {
    super()
    Object.assign(this, { next: 1, opened: false, heard: false, finished: false, progressed: false, closed: false })
  }

  open() {
    this.opened = true
    this.dispatchEvent(new Event('open'))
  }

  frame(data) {
    Object.assign(this, { heard: true, next: data.through + 1, progressed: true })
    this.dispatchEvent(new MessageEvent('frame', { data }))
  }

  close() {
    if (this.closed) return
    this.closed = true
    this.dispatchEvent(new Event('close'))
  }
}

/** A connection whose looks answer as told, with time that is moved by hand. */
async function follow(t, { look = async () => {}, lastLine = async () => 0 } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] })
  const told = { sockets: [], looks: 0, states: [], lines: [] }
  const connection = new Connection({
    openSocket: () => told.sockets[told.sockets.push(new Socket()) - 1],
    look: async (signal) => look((told.looks += 1), signal),
    lastLine,
  })
  connection.addEventListener('change', () => told.states.push(connection.state))
  connection.addEventListener('frame', ({ data }) => told.lines.push(data.through))
  t.after(() => connection.close())
  await connection.open()
  const pass = async (ms) => {
    t.mock.timers.tick(ms)
    await soon()
    await soon()
  }
  return { connection, told, pass, last: () => told.sockets.at(-1) }
}

test('after a cut the end of the log is asked for before the next socket', async (t) => {
  const { connection, told, pass, last } = await follow(t)
  last().open()
  last().frame({ through: 5 })
  last().close()
  assert.equal(connection.state, 'waiting')
  assert.equal(connection.error, null)
  assert.ok(connection.retryAt > Date.now())
  await pass(1000)
  assert.deepEqual([told.looks, told.sockets.length], [2, 2])
  last().open()
  assert.equal(connection.state, 'open')
  assert.deepEqual(told.lines, [5])
})

test('a service that refuses is not asked again until somebody says so', async (t) => {
  let status = 410
  const refuse = async () => {
    if (status) throw Object.assign(new Error('expired'), { status })
  }
  const { connection, told, pass } = await follow(t, { look: refuse })
  assert.equal(connection.state, 'refused')
  assert.equal(connection.error.status, 410)
  await pass(60_000)
  assert.deepEqual([told.looks, told.sockets.length], [1, 0])

  status = 0
  connection.wake()
  await soon()
  assert.equal(told.sockets.length, 1)
})

test('a store that does not answer is tried again, later and later', async (t) => {
  const { connection, told, pass } = await follow(t, {
    look: async () => {
      throw Object.assign(new Error('down'), { status: 503 })
    },
  })
  assert.equal(connection.state, 'waiting')
  assert.equal(connection.error.status, 503)
  for (let second = 0; second < 60; second += 1) await pass(1000)
  assert.ok(told.looks > 5 && told.looks < 20, `${told.looks} tries in a minute`)
})

test('without WebSockets it looks every second, and tries one again now and then', async (t) => {
  const { connection, told, pass, last } = await follow(t)
  for (let tries = 1; tries <= 3; tries += 1) {
    last().close()
    await pass(2000)
  }
  assert.equal(connection.state, 'polling')
  assert.equal(told.sockets.length, 3)
  const { looks } = told
  for (let second = 0; second < 10; second += 1) await pass(1000)
  assert.equal(told.looks, looks + 10)

  for (let second = 0; second < 60; second += 1) await pass(1000)
  assert.equal(told.sockets.length, 4)
  last().open()
  assert.equal(connection.state, 'open')
})

test('a socket that brings nothing of what there is counts as none', async (t) => {
  const { connection, pass, last } = await follow(t, { lastLine: async () => 7 })
  last().open()
  await pass(5000)
  assert.equal(connection.state, 'open')
  await pass(3000)
  assert.equal(connection.state, 'polling')
})

test('a quiet log is left in peace', async (t) => {
  const { connection, told, pass, last } = await follow(t, { lastLine: async () => 5 })
  last().open()
  last().frame({ through: 5 })
  window.dispatchEvent(new Event('online'))
  await pass(3000)
  assert.equal(connection.state, 'open')
  assert.equal(told.sockets.length, 1)
})

test('a socket that died unnoticed is replaced when the network is back', async (t) => {
  const { told, pass, last } = await follow(t, { lastLine: async () => 9 })
  last().open()
  last().frame({ through: 5 })
  window.dispatchEvent(new Event('online'))
  await soon()
  await pass(3000)
  assert.ok(told.sockets[0].closed)
  assert.equal(told.sockets.length, 2)
})

test('what is finished or closed stays so', async (t) => {
  const { connection, told, pass, last } = await follow(t)
  last().open()
  last().finished = true
  last().close()
  assert.equal(connection.state, 'finished')
  await pass(60_000)
  assert.equal(told.looks, 1)
  connection.close()
  window.dispatchEvent(new Event('online'))
  await pass(60_000)
  assert.deepEqual([connection.state, told.looks], ['closed', 1])
})
