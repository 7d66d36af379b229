// What may be typed into the jump box. LOGSVC_WEB is the file: URL of logsvc/web.
import assert from 'node:assert/strict'
import { test } from 'node:test'

process.env.TZ = 'Asia/Shanghai'
const { parseJump } = await import(`${process.env.LOGSVC_WEB}/js/models/jump.js`)
const NEAR = Date.parse('2026-11-24T14:30:00+08:00')
const jump = (text) => parseJump(text, NEAR)

test('lines', () => {
  assert.deepEqual(jump(' 42 '), { line: 42, lineEnd: null })
  assert.deepEqual(jump('1,234,567'), { line: 1234567, lineEnd: null })
  assert.deepEqual(jump('42-60'), { line: 42, lineEnd: 60 })
  assert.deepEqual(jump('60 – 42'), { line: 42, lineEnd: 60 })
  assert.deepEqual(jump('7-7'), { line: 7, lineEnd: null })
})

test('shares', () => {
  assert.deepEqual(jump('50%'), { share: 0.5 })
  assert.deepEqual(jump('0 %'), { share: 0 })
  assert.deepEqual(jump('99.5%'), { share: 0.995 })
})

test('times are the reader’s, of the day that is on screen', () => {
  assert.deepEqual(jump('14:05'), { at: '2026-11-24T06:05:00.000Z' })
  assert.deepEqual(jump('9:05:09'), { at: '2026-11-24T01:05:09.000Z' })
  assert.deepEqual(jump('14:05:09.25'), { at: '2026-11-24T06:05:09.250Z' })
  assert.deepEqual(jump('2026-11-23 23:59'), { at: '2026-11-23T15:59:00.000Z' })
  assert.deepEqual(jump('2026-11-23T23:59:01'), { at: '2026-11-23T15:59:01.000Z' })
})

test('steps in time', () => {
  assert.deepEqual(jump('+10m'), { at: '2026-11-24T06:40:00.000Z' })
  assert.deepEqual(jump('-1h30m'), { at: '2026-11-24T05:00:00.000Z' })
  assert.deepEqual(jump('-2d'), { at: '2026-11-22T06:30:00.000Z' })
  assert.deepEqual(jump('+90s'), { at: '2026-11-24T06:31:30.000Z' })
})

test('what is none of these', () => {
  for (const text of ['', 'loss', '0', '-', '+', '101%', '25:00', '12:61', '2026-13-01 10:00', '4-', '+10', '1e3', '99999999999999999999']) assert.equal(jump(text), null, text)
})
