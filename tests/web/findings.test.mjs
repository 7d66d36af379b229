// Findings in words: from names and numbers, in both languages. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

const WEB = process.env.LOGSVC_WEB
const { useLanguage } = await import(`${WEB}/js/i18n/index.js`)
const { concernedWords, findingName, findingWords } = await import(`${WEB}/js/views/finding-words.js`)
const { samplerTroubles, hangWords } = await import(`${WEB}/js/views/chart-words.js`)

const NUMBERS = {
  low_utilization: { mean_percent: 41.2, readings: 17280, limit_percent: 50 },
  hung: { io_still_seconds: 2400, cycles: 12, window_seconds: 300, variance: 0, median_percent: 100 },
  recently_low: { mean_percent: 12, window_seconds: 900, limit_percent: 50 },
  never_used: { cards: 2, watched_seconds: 1200 },
  long_idle_gap: { gap_seconds: 2880, below_percent: 5 },
  uneven_cards: { mean_percent: 8, others_percent: 91.5 },
  uneven_workers: { mean_percent: 8, others_percent: 91.5 },
  memory_without_process: { memory_bytes: 30 * 2 ** 30, held_seconds: 600 },
  sawtooth: { period_seconds: 12.5, high_percent: 95, low_percent: 4 },
  checkpoint_dips: { dips: 7, mean_dip_seconds: 90, lost_percent: 11 },
}

for (const [language, script] of [['en', /^[\x20-\x7e–’…]+$/], ['zh-CN', /[\u4e00-\u9fff]/]]) {
  test(`each finding has its name, its numbers and its own advice in ${language}`, () => {
    useLanguage(language)
    const advices = new Set()
    for (const [name, numbers] of Object.entries(NUMBERS)) {
      const { reason, advice } = findingWords({ name, numbers, reason: 'their reason', advice: 'their advice' })
      for (const words of [findingName(name), reason, advice]) {
        assert.match(words, script, name)
        assert.doesNotMatch(words, /their reason|their advice|undefined|NaN|\{/, name)
      }
      assert.ok(!findingName(name).includes('_'), name)
      advices.add(advice)
    }
    assert.equal(advices.size, Object.keys(NUMBERS).length, 'each has another advice')
  })
}

test('numbers stand where they belong', () => {
  useLanguage('en')
  const reason = (name) => findingWords({ name, numbers: NUMBERS[name] }).reason
  assert.equal(reason('low_utilization'), 'Worker-0’s cards worked at 41.2% on average over 17,280 readings, below 50%.')
  assert.equal(reason('hung'), 'No process has read or written for 40 min, and for 5 min the utilization stood still at 100% (variance 0).')
  assert.equal(reason('memory_without_process'), '30 GiB of card memory have been held for 10 min though no process uses the card.')
  assert.equal(reason('never_used'), '2 cards have not worked once in 20 min.')
  assert.equal(findingWords({ name: 'never_used', numbers: { cards: 1, watched_seconds: 1200 } }).reason, '1 card has not worked once in 20 min.')
})

test('what the page does not know, or has no numbers for, the service says', () => {
  const given = { reason: 'It glows.', advice: 'Cool it.' }
  assert.deepEqual(findingWords({ name: 'glowing', numbers: { kelvin: 900 }, ...given }), given)
  assert.equal(findingName('glowing'), 'glowing')
  assert.deepEqual(findingWords({ name: 'sawtooth', numbers: { period_seconds: 12 }, ...given }), given)
  assert.deepEqual(findingWords({ name: 'sawtooth', numbers: { ...NUMBERS.sawtooth, low_percent: null }, ...given }), given)
  assert.deepEqual(findingWords({ name: 'low_utilization', ...given }), given)
  assert.deepEqual(findingWords({ name: 'constructor', numbers: {} }), { reason: '', advice: '' })
})

test('whom it concerns, and not endlessly', () => {
  useLanguage('en')
  assert.equal(concernedWords({ devices: [{ task: 'worker-1', device: '2' }], tasks: ['worker-1'] }), 'Cards: worker-1/2')
  assert.equal(concernedWords({ tasks: ['worker-1', 'worker-7'], devices: [] }), 'Workers: worker-1, worker-7')
  assert.equal(concernedWords({ tasks: Array.from({ length: 20 }, (_, n) => `worker-${n}`) }), 'Workers: worker-0, worker-1, worker-2, worker-3, worker-4, worker-5 and 14 more')
  assert.equal(concernedWords({}), '')
})

test('troubles of samplers in words, the same of many tasks once', () => {
  useLanguage('en')
  const hung = (task) => ({ task, name: 'npu-smi', state: 'hung', reason: 'no answer for 5 s' })
  const found = samplerTroubles([hung('worker-0'), { task: 'worker-0', name: 'host', state: 'ok', reason: '' }, hung('worker-1'), { task: 'worker-2', name: 'nvidia', state: 'absent', reason: 'driver not loaded' }])
  assert.deepEqual(found, [
    { what: 'worker-0: npu-smi does not answer; its readings stop until it does.', more: 'and 1 more task', reason: 'It says: no answer for 5 s' },
    { what: 'worker-2: nvidia finds no device or no driver.', more: '', reason: 'It says: driver not loaded' },
  ])
  const absent = { task: 'worker-0', name: 'npu-smi', state: 'absent', reason: '' }
  assert.deepEqual(samplerTroubles([absent, hung('worker-1')], true).map(({ what }) => what.split(':')[0]), ['worker-1'], 'a GPU node has no npu-smi')
  assert.deepEqual(samplerTroubles([]), [])
  assert.deepEqual(samplerTroubles(undefined), [])
})

test('how the watch for a hang stands', () => {
  useLanguage('en')
  const state = { io_still_seconds: 720, cycles: 12, variance: null, median_percent: null }
  assert.deepEqual(hangWords({ ...state, stage: 1 }), { state: 'Stage 1 of 2: no process has read or written anything for 12 min.', numbers: '12 cycles without any' })
  assert.match(hangWords({ ...state, stage: 2, variance: 0, median_percent: 100 }).numbers, /variance 0 · median 100%$/)
  assert.match(hangWords({ ...state, stage: 0 }).state, /No sign of a hang/)
})
