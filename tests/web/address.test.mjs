// The page's address, both ways. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

const { EMPTY_CHART, EMPTY_LIST, formatPlace, panesOf, parsePlace, queryOf, withPanes } = await import(`${process.env.LOGSVC_WEB}/js/models/address.js`)

/** The same numbers at each run: "mulberry32". */
function numbers(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const TEXTS = ['', 'a', 'a&b=c #%', 'x/y z.log', '损失 λ', 'a|b|', '|', '100%', '"<>\u202e', 'a+b', '2026-11-24T05:12:09.5+08:00']

function aPane(random) {
  const line = [null, 1, 42, 123_456_789_012][random(4)]
  const file = TEXTS[random(TEXTS.length)]
  return { task: ['worker-0', 'ps-12'][random(2)], file, gen: random(3), line, lineEnd: line && random(2) ? line + 1 + random(99) : null }
}

function aPlace(random) {
  const text = () => TEXTS[random(TEXTS.length)]
  const job = ['', 'a1', 'b.c_d-e'][random(3)]
  const flag = () => !random(2)
  const search = {
    lines: ['', 'all', 'user'][random(3)],
    ...{ q: text(), regex: flag(), ignoreCase: flag(), word: flag(), since: text(), until: text() },
    ...{ level: ['', 'error', 'warning', 'error,warning'][random(4)], scope: ['log', 'job', 'all'][random(3)], hits: flag() },
    ...{ tasks: text(), ranks: text(), kinds: text(), proc: flag(), context: random(6) },
  }
  const none = { task: '', file: '', gen: 0, line: null, lineEnd: null, panes: [], ...EMPTY_CHART }
  if (!job) return { job, ...none, ...search, list: Object.fromEntries(Object.keys(EMPTY_LIST).map((name) => [name, text()])) }
  const panes = Array.from({ length: random(4) }, () => aPane(random))
  const [from, to] = [['', ''], ['2026-11-24T05:12:09Z', ''], ['2026-11-24T05:12:09Z', '2026-11-24T05:12:09.500Z']][random(3)]
  const chart = { from, to, readings: ['', 'memory', 'utilization,power'][random(3)], cards: ['', 'worker-0/3,worker-1', 'worker-7/', 'worker-0/0:2'][random(4)] }
  return { job, ...aPane(random), panes, ...search, ...chart, list: EMPTY_LIST }
}

test('any place survives its address', () => {
  const random = numbers(5)
  for (let round = 0; round < 2000; round += 1) {
    const place = aPlace(random)
    assert.deepEqual(parsePlace(formatPlace(place)), place)
  }
})

test('an address is short and can be read', () => {
  const place = { ...parsePlace(''), job: 'a', task: 'worker-0', file: 'x/y.log', line: 42, lineEnd: 60, panes: [{ task: 'worker-1', file: '', gen: 2, line: 7, lineEnd: null }] }
  assert.equal(formatPlace(place), '#job=a&task=worker-0&file=x/y.log&line=42-60&pane=worker-1||2|7')
  assert.equal(formatPlace(parsePlace('')), '')
})

test('what is malformed is left out', () => {
  for (const line of ['-1', '0', 'x', '4-', '1e99', '-', '99999999999999999999']) {
    const { line: first, lineEnd } = parsePlace(`#job=a&line=${line}`)
    assert.deepEqual([first, lineEnd], [null, null], line)
  }
  assert.deepEqual({ line: 4, lineEnd: 9 }, (({ line, lineEnd }) => ({ line, lineEnd }))(parsePlace('#job=a&line=9-4')))
  const place = parsePlace('#job=a&gen=-2&lines=some&scope=x&level=info,error&pane=worker-1&pane=&pane=a|b&pane=c|d')
  assert.deepEqual([place.gen, place.lines, place.scope, place.level], [0, '', 'log', 'error'])
  assert.deepEqual(place.panes.map(({ task, file }) => [task, file]), [['worker-1', ''], ['', ''], ['a', 'b']])
})

test('panes of a place, and a place of panes', () => {
  const place = parsePlace('#job=a&task=worker-0&line=3&pane=worker-1||0|9')
  assert.deepEqual(panesOf({ ...place, ...withPanes(panesOf(place)) }), panesOf(place))
  const second = panesOf(place)[1]
  assert.deepEqual(withPanes([second]), { ...second, panes: [] })
})

test('a search is told what to look for and nothing else', () => {
  assert.deepEqual(queryOf(parsePlace('#job=a&q=x&regex=1&case=0&line=3&scope=job')), { q: 'x', regex: true, ignoreCase: true, word: false, level: '', since: '', until: '' })
})
