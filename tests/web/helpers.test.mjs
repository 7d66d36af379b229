// Pure helpers of the page. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

const at = (path) => import(`${process.env.LOGSVC_WEB}/js/${path}`)
const { foldLine, toUnits } = await at('helpers/folding.js')
const { formatBytes, naturalOrder } = await at('helpers/format.js')
const { Backoff } = await at('helpers/timing.js')
const { LineWindow } = await at('models/line-window.js')
const { characterStart } = await at('models/long-line.js')
const { fairShare } = await at('pane/row-list.js')

const shown = (text, spans, options) => foldLine(text, spans, options).pieces.map((piece) => piece.text).join('')
const hits = (text, spans) => foldLine(text, spans).pieces.filter(({ hit }) => hit).map(({ text: part }) => part)

test('progress folds to what a terminal leaves', () => {
  assert.equal(shown('abc\rX'), 'Xbc')
  assert.equal(shown('long text\rshort\u001b[K'), 'short')
  assert.equal(shown('- \b\b\\ \b\b| done'), '| done')
  assert.equal(shown('中文\b\bX'), '中X ')
  assert.equal(shown('a\u001b[3Cb\u001b[1Gc'), 'c   b')
  assert.equal(shown('\b\b\bat the start'), 'at the start')
  assert.equal(foldLine('plain').folded, false)
  assert.equal(foldLine('a\rb').folded, true)
})

test('nothing that is not understood is lost', () => {
  assert.equal(shown('x\u001b[9'), 'x^[[9')
  assert.equal(shown('x\u001b]0;title'), 'x^[]0;title')
  assert.equal(shown('\u001b'), '^[')
  assert.equal(shown('a\u0000b\u007f'), 'a^@b^?')
  assert.equal(shown('a\u202eb'), 'a[U+202E]b')
  assert.equal(shown('a\u001b[31mb\rc', [], { raw: true }), 'a^[[31mb^Mc')
})

test('styles become classes, colours beyond sixteen become values', () => {
  const styles = (text) => foldLine(text).pieces.map(({ style }) => style.classes || style.color || style.background)
  assert.deepEqual(styles('\u001b[1;31ma\u001b[22mb\u001b[0mc'), ['ansi-f1 ansi-bold', 'ansi-f1', ''])
  assert.deepEqual(styles('\u001b[38;5;208ma\u001b[38;2;1;2;3mb'), ['rgb(255, 135, 0)', 'rgb(1, 2, 3)'])
  assert.deepEqual(styles('\u001b[38;2;999;0;0ma\u001b[38;5;mb'), ['', 'ansi-f0'])
})

test('links show their target and are no links', () => {
  assert.equal(shown('\u001b]8;;javascript:x\u001b\\here\u001b]8;;\u001b\\!'), 'here ‹javascript:x›!')
})

test('hits are code points, also across styles and folds', () => {
  assert.deepEqual(toUnits('😀ab', [[1, 2]]), [[2, 3]])
  assert.deepEqual(hits('😀中ab', [[1, 3]]), ['中a'])
  assert.deepEqual(hits('a\u001b[31mb\u001b[0mc', [[0, 7], [11, 12]]), ['a', 'b', 'c'])
  assert.equal(foldLine('old\rnew', [[0, 3]]).hiddenHit, true)
  assert.deepEqual(hits('old\rnew', [[4, 7]]), ['new'])
})

test('a row has few pieces whatever the line holds', () => {
  const bright = Array.from({ length: 5000 }, (_, i) => `\u001b[3${i % 8}m${i}`).join('')
  assert.ok(foldLine(bright).pieces.length <= 201)
  assert.equal(shown(bright), Array.from({ length: 5000 }, (_, i) => i).join(''))
})

test('a million columns asked for by a log are not made', () => {
  assert.ok(shown('a\u001b[999999999Cb').length <= 100_002)
})

test('sizes and order', () => {
  assert.equal(formatBytes(1536), '1.5 KiB')
  assert.equal(formatBytes(null), '–')
  assert.deepEqual(['worker-10', 'worker-2'].sort(naturalOrder), ['worker-2', 'worker-10'])
})

test('back-off grows, is drawn at random, and has a bound', () => {
  const backoff = new Backoff({ random: () => 1 })
  const waits = Array.from({ length: 8 }, () => backoff.nextMs())
  assert.deepEqual(waits.slice(0, 3), [500, 1000, 2000])
  assert.equal(waits.at(-1), 15000)
})

test('the window of lines is bounded and asks twice at a time at most', async () => {
  let open = 0
  let most = 0
  const fetchRows = async (row, limit) => {
    most = Math.max(most, (open += 1))
    await null
    open -= 1
    return Array.from({ length: limit }, (_, i) => ({ n: row + i + 1, text: 'x' }))
  }
  const window = new LineWindow({ fetchRows, rowOf: (line) => line.n - 1 })
  for (let row = 0; row < 1_000_000; row += 5000) {
    window.need(row, row + 50, 1_000_000)
    await new Promise((done) => setImmediate(done))
    assert.equal(window.get(row)?.n, row + 1)
  }
  assert.ok(most <= 2)
  assert.ok(window.pages.size <= 100, `${window.pages.size} pages`)
})

test('colourful rows share what nodes there are', () => {
  assert.equal(fairShare([1, 2, 3], 10), Infinity)
  assert.equal(fairShare([1, 50, 50], 21), 10)
  assert.equal(fairShare([9, 9, 9], 3), 2)
  for (const wanted of [[400, 3, 3, 200, 1], Array(80).fill(17), [1, 1, 1000]]) {
    const most = fairShare(wanted, 300)
    assert.ok(wanted.reduce((sum, nodes) => sum + Math.min(nodes, most), 0) <= 300)
  }
})

test('a piece of a long line begins and ends between characters', () => {
  const bytes = new TextEncoder().encode('aé中😀b')
  const starts = Array.from(bytes, (_, at) => characterStart(bytes, at))
  assert.deepEqual(starts, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10])
  const broken = Uint8Array.of(0x80, 0x80, 0x41, 0xc3, 0x41, 0x80, 0x80)
  assert.deepEqual(Array.from(broken, (_, at) => characterStart(broken, at)), [0, 1, 2, 3, 4, 5, 6])
})

test('lone surrogates, colours with colons and hidden text are shown', () => {
  assert.equal(shown('a\ud800b\udc00'), 'a\ud800b\udc00')
  assert.equal(shown('\ud83d\rx'), 'x')
  const styles = (text) => foldLine(text).pieces.map(({ style }) => [style.classes, style.color, style.background])
  assert.deepEqual(styles('\u001b[38:2::255:0:9ma\u001b[4:3mb\u001b[4:0mc'), [
    ['', 'rgb(255, 0, 9)', ''],
    ['ansi-under', 'rgb(255, 0, 9)', ''],
    ['', 'rgb(255, 0, 9)', ''],
  ])
  assert.deepEqual(styles('\u001b[8;38;2;9;9;9;48;2;9;9;9ma'), [['', 'white', 'rgb(9, 9, 9)']])
})

test('what cannot be seen has a name', () => {
  assert.equal(shown('a\u{e0041}b\u3164c\u034fd'), 'a[U+E0041]b[U+3164]c[U+034F]d')
})
