// What search counts on in the page itself. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

const at = (path) => import(`${process.env.LOGSVC_WEB}/js/${path}`)
const { snippet } = await at('helpers/snippet.js')
const { fromLocalInput, minutesAgo, toLocalInput } = await at('helpers/local-time.js')
const { LiteralMarker, isActive, lineParameters, toggled } = await at('models/search-query.js')
const { Groups } = await at('models/search-groups.js')
const { inTurn } = await at('models/search-turn.js')
const { layout, visible } = await at('views/search-rows.js')

const NOTHING = { q: '', regex: false, ignoreCase: false, word: false, level: '', since: '', until: '' }
const spans = (query, line) => new LiteralMarker({ ...NOTHING, ...query }).spans({ level: null, received_at: '2026-01-01T00:00:00.000Z', ...line })

test('a level alone is a query for each of its lines', () => {
  assert.equal(isActive(NOTHING), false)
  assert.equal(isActive({ ...NOTHING, level: 'error' }), true)
  assert.deepEqual(lineParameters({ ...NOTHING, level: 'error' }, 'user'), { q: '^', regex: 1, level: 'error', since: '', until: '', lines: 'user' })
  assert.equal(lineParameters({ ...NOTHING, q: 'a', word: true }, 'all').word, 1)
})

test('a value goes into a list and out of it', () => {
  assert.equal(toggled('', 'worker-2'), 'worker-2')
  assert.equal(toggled('worker-10', 'worker-2'), 'worker-2,worker-10')
  assert.equal(toggled('worker-2,worker-10', 'worker-2'), 'worker-10')
})

test('hits are marked where the service finds them', () => {
  assert.deepEqual(spans({ q: '.' }, { text: '😀a.b.' }), [[2, 3], [4, 5]])
  assert.deepEqual(spans({ q: 'ſ', ignoreCase: true }, { text: 'Sſs' }), [[0, 1], [1, 2], [2, 3]])
  assert.deepEqual(spans({ q: 'aa' }, { text: 'aaa' }), [[0, 2]])
  assert.deepEqual(spans({ q: 'cat', word: true }, { text: 'cat cats _cat écat cat' }), [[0, 3], [15, 18], [19, 22]])
  assert.deepEqual(spans({ q: '', level: 'error' }, { text: 'x', level: 'error' }), [])
})

test('lines that the filters leave out have no hits', () => {
  assert.deepEqual(spans({ q: 'x', level: 'error' }, { text: 'x', level: 'warning' }), [])
  assert.deepEqual(spans({ q: 'x', level: 'error,warning' }, { text: 'x', level: 'warning' }), [[0, 1]])
  assert.deepEqual(spans({ q: 'x', since: '2026-01-01T00:00:01Z' }, { text: 'x' }), [])
  assert.deepEqual(spans({ q: 'x', until: '2026-01-01T00:00:00Z' }, { text: 'x' }), [])
  assert.deepEqual(spans({ q: 'x', until: '2026-01-01T00:00:01Z' }, { text: 'x' }), [[0, 1]])
  assert.deepEqual(spans({ q: 'x', since: '2026-01-01T00:00:01Z' }, { text: 'x', received_at: null }), [[0, 1]])
})

test('a snippet shows the first hit of a long line, and is short', () => {
  const text = `${'a'.repeat(5000)}needle${'b'.repeat(5000)}`
  const pieces = snippet(text, [[5000, 5006]])
  assert.deepEqual(pieces.find(({ hit }) => hit), { text: 'needle', hit: true })
  assert.equal(pieces[0].text, `…${'a'.repeat(60)}`)
  assert.equal(pieces.at(-1).text, '…')
  assert.ok(pieces.reduce((length, { text: part }) => length + part.length, 0) < 1300)
  assert.deepEqual(snippet('short needle', [[6, 12]]), [{ text: 'short ', hit: false }, { text: 'needle', hit: true }])
  assert.deepEqual(snippet('gone\rstay', [[0, 4]]).find(({ hit }) => hit), { text: 'gone', hit: true })
})

test('times go into the field and back', () => {
  assert.equal(fromLocalInput(toLocalInput('2026-07-01T10:20:30Z')), '2026-07-01T10:20:30Z')
  assert.equal(toLocalInput(''), '')
  assert.equal(fromLocalInput('2026-07'), '2026-07-01T00:00:00Z')
  assert.equal(fromLocalInput(''), '')
  assert.equal(minutesAgo(15, Date.parse('2026-07-01T10:20:30.500Z')), '2026-07-01T10:05:30Z')
})

const log = (stream, job, task, total) => ({ stream, job, task, kind: 'ordinary', path: `${task}.log`, generation: 0, total })

const hit = (n) => ({ n, text: 'x', spans: [[0, 1]] })

test('logs stand as in the tree, counts come later, and nothing stands twice', () => {
  const groups = new Groups()
  groups.add([log('s10', 'new', 'worker-10'), log('s7', 'old', 'worker-0')])
  groups.get('s10').take([hit(3), hit(5)], 5)
  groups.get('s10').take([hit(5), hit(8)], null)
  assert.equal(groups.get('s10').missing, 0)
  groups.add([log('s10', 'new', 'worker-10', 4), log('s2', 'new', 'worker-2', 7), log('s7', 'old', 'worker-0', 1)])
  assert.deepEqual(groups.inOrder.map(({ stream }) => stream), ['s2', 's10', 's7'])
  assert.deepEqual(groups.get('s10').hits.map(({ n }) => n), [3, 5, 8])
  assert.equal(groups.get('s10').missing, 1)
  assert.deepEqual([groups.total, groups.before('s7'), groups.before('none')], [12, 11, null])
})

test('rows follow each other, and only those that are seen are drawn', () => {
  const groups = new Groups()
  groups.add([log('a', 'j', 'worker-0', 1000), log('b', 'j', 'worker-1', 2)])
  groups.get('a').take([{ ...hit(1), after: [hit(2)] }, { ...hit(9), before: [hit(8)], after: [hit(10)] }], 9)
  const rows = layout(groups.jobs, { byJob: true, context: 1 })
  assert.deepEqual(rows.map(({ type }) => type), ['job', 'log', 'hit', 'hit', 'rest', 'log', 'rest'])
  for (const [i, row] of rows.slice(1).entries()) assert.equal(row.top, rows[i].top + rows[i].height)
  assert.ok(rows[2].height < rows[3].height)
  assert.equal(rows[4].height, 400)
  assert.deepEqual(visible(rows, rows[2].top, rows[3].top).map(({ type }) => type), ['hit'])
  groups.get('a').open = false
  assert.deepEqual(layout(groups.jobs, { byJob: false, context: 1 }).map(({ type }) => type), ['log', 'log', 'rest'])
})

test('a list longer than a browser can show ends and says so', () => {
  const groups = new Groups()
  groups.add(Array.from({ length: 60_000 }, (_, i) => log(`s${i}`, `job${i % 100}`, 'worker-0', 1000)))
  const rows = layout(groups.jobs, { byJob: true, context: 0 })
  assert.equal(rows.at(-1).type, 'cut')
  assert.ok(rows.at(-1).top < 17_000_000)
})

test('who is busy is asked again, and no more once nobody waits', async () => {
  const waits = []
  const gone = new AbortController()
  const asking = inTurn(() => Promise.reject(Object.assign(new Error(), { status: 429 })), {
    signal: gone.signal,
    onWait: (waiting) => {
      waits.push(waiting)
      gone.abort()
    },
  })
  await assert.rejects(asking, { name: 'AbortError' })
  assert.deepEqual(waits, [true])
  await assert.rejects(inTurn(() => Promise.reject(Object.assign(new Error(), { status: 500 })), { signal: new AbortController().signal, onWait() {} }), { status: 500 })
})
