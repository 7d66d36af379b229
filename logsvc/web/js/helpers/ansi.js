/**
 * Terminal text -> pieces: what is shown, in which style, and where it stood in the text.
 *
 * Nothing is ever lost: a sequence that is finished changes the style, moves the cursor or is marked
 * `hidden`; one that is not finished stays visible as text.
 */

/** Plain style; styles are compared by identity. */
export const PLAIN = Object.freeze({ classes: '', color: '', background: '' })

const ESC = '\u001b'
const CSI = /\u001b\[([0-?]*)([ -/]*)([@-~])/y
const OSC = /\u001b\]([^\u0007\u001b]*)(?:\u0007|\u001b\\)/y
const SHORT = /\u001b(?:[()][0-9A-B]|[=>78cDEHMNOZ])/y
// controls, what cannot be seen or turns the text around, and combining marks past the eighth on one character
const SPECIAL =
  /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{e0000}-\u{e0fff}]|\p{M}(?<=\p{M}{9})/gu

/**
 * Splits a line into tokens, in order and without gaps.
 *
 * @returns {{kind: 'text'|'control'|'move'|'link'|'style'|'hidden', text: string, start: number, style: object, move?: object}[]}
 *   `text`: shown as it is. `control`: shown by its visible name. `move`: \r, \b and cursor
 *   movements. `link`: an OSC 8 link's target, after its text. `style`: a change of it. `hidden`:
 *   any other finished sequence. `start` in UTF-16 units.
 */
export function tokens(text) {
  const found = []
  const pen = new Pen()
  let style = PLAIN
  let target = ''
  let at = 0
  const add = (kind, shown, start, more) => found.push({ kind, text: shown, start, style, ...more })
  const hide = (start, end) => found.push({ kind: 'hidden', text: text.slice(start, end), start, style })

  SPECIAL.lastIndex = 0
  for (let hit = SPECIAL.exec(text); hit; hit = SPECIAL.exec(text)) {
    const start = hit.index
    if (start > at) add('text', text.slice(at, start), at)
    const character = hit[0]
    at = start + character.length
    if (character === '\r' || character === '\b') {
      add('move', character, start, { move: { by: character === '\r' ? 'start' : 'back', count: 1 } })
    } else if (character === ESC) {
      const sequence = escapeAt(text, start)
      if (!sequence) {
        add('control', visibleName(character), start)
        continue
      }
      at = start + sequence.length
      SPECIAL.lastIndex = at
      if (sequence.final === 'm') {
        add('style', sequence.text, start)
        style = pen.apply(sequence.parameters)
      } else if (sequence.move) {
        add('move', sequence.text, start, { move: sequence.move })
      } else if (sequence.link !== undefined) {
        if (target && sequence.link !== target) add('link', target, start)
        hide(start, at)
        target = sequence.link
      } else {
        hide(start, at)
      }
    } else {
      add('control', visibleName(character), start)
    }
  }
  if (at < text.length) add('text', text.slice(at), at)
  if (target) add('link', target, text.length)
  return found
}

/** Whether `tokens` would find anything but plain text. */
export function isPlain(text) {
  SPECIAL.lastIndex = 0
  return !SPECIAL.test(text)
}

/** "^@" for NUL, "^[" for escape, as terminals write them; "[U+202E]" for what has no such name. */
export function visibleName(character) {
  const code = character.codePointAt(0)
  if (code < 0x20) return `^${String.fromCodePoint(0x40 + code)}`
  if (code === 0x7f) return '^?'
  if (code < 0xa0) return `\\x${code.toString(16)}`
  return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`
}

/** The finished sequence that begins at `start`, or null. */
function escapeAt(text, start) {
  CSI.lastIndex = start
  const csi = CSI.exec(text)
  if (csi) {
    const parameters = parametersOf(csi[1])
    const final = csi[2] === '' ? csi[3] : ''
    return { text: csi[0], length: csi[0].length, final, parameters, move: movement(final, parameters) }
  }
  OSC.lastIndex = start
  const osc = OSC.exec(text)
  if (osc) {
    const link = osc[1].startsWith('8;') ? osc[1].slice(osc[1].indexOf(';', 2) + 1) : undefined
    return { text: osc[0], length: osc[0].length, link }
  }
  SHORT.lastIndex = start
  const short = SHORT.exec(text)
  return short ? { text: short[0], length: short[0].length } : null
}

/** "38:2::1:2:3;4:3" -> [38, 2, 1, 2, 3, 4]: colours may come with colons, styles of underlining are left out. */
function parametersOf(text) {
  return text.split(';').flatMap((part) => {
    const [code, ...more] = part.split(':').map((number) => (/^\d+$/.test(number) ? Number(number) : 0))
    if (code === 4 && more[0] === 0) return [24]
    if (code !== 38 && code !== 48) return [code]
    return more[0] === 2 && more.length > 4 ? [code, 2, ...more.slice(2)] : [code, ...more]
  })
}

/** What a finished CSI sequence does to the cursor or the line; other lines there are none. */
function movement(final, parameters) {
  const count = parameters[0] || 1
  if (final === 'C' || final === 'a') return { by: 'forward', count }
  if (final === 'D') return { by: 'back', count }
  if (final === 'G' || final === '`') return { by: 'column', count: count - 1 }
  if (final === 'H' || final === 'f') return { by: 'column', count: (parameters[1] || 1) - 1 }
  if (final === 'E' || final === 'F') return { by: 'start', count }
  if (final === 'K' || final === 'J') return ERASURES[parameters[0]]
  if (final === 'X') return { by: 'blank', count }
  if (final === 'P') return { by: 'delete', count }
  if (final === '@') return { by: 'insert', count }
  return undefined
}

const ERASURES = [{ by: 'eraseRight' }, { by: 'eraseLeft' }, { by: 'eraseAll' }]

/** Keeps what the SGR sequences so far have set. */
class Pen {
  constructor() {
    this.clear()
  }

  clear() {
    Object.assign(this, { marks: new Set(), front: '', back: '', frontColor: '', backColor: '' })
  }

  apply(codes) {
    for (let i = 0; i < codes.length; i += 1) {
      const code = codes[i]
      if (code === 38 || code === 48) i = this.extended(codes, i)
      else this.one(code)
    }
    return this.style()
  }

  one(code) {
    if (code === 0) this.clear()
    else if (code in MARKS) this.marks.add(MARKS[code])
    else if (code in UNMARKS) for (const mark of UNMARKS[code]) this.marks.delete(mark)
    else if (code >= 30 && code <= 37) this.setFront(`ansi-f${code - 30}`, '')
    else if (code >= 90 && code <= 97) this.setFront(`ansi-f${code - 82}`, '')
    else if (code === 39) this.setFront('', '')
    else if (code >= 40 && code <= 47) this.setBack(`ansi-b${code - 40}`, '')
    else if (code >= 100 && code <= 107) this.setBack(`ansi-b${code - 92}`, '')
    else if (code === 49) this.setBack('', '')
  }

  /** 38/48;5;n and 38/48;2;r;g;b; returns the index of the last code used. */
  extended(codes, i) {
    const set = codes[i] === 38 ? (name, color) => this.setFront(name, color) : (name, color) => this.setBack(name, color)
    const letter = codes[i] === 38 ? 'f' : 'b'
    if (codes[i + 1] === 5) {
      const n = codes[i + 2]
      if (n < 16) set(`ansi-${letter}${n}`, '')
      else if (n < 256) set('', paletteColor(n))
      return i + 2
    }
    if (codes[i + 1] === 2) {
      const rgb = codes.slice(i + 2, i + 5)
      if (rgb.length === 3 && rgb.every((part) => part >= 0 && part < 256)) set('', `rgb(${rgb.join(', ')})`)
      return i + 4
    }
    return i + 1
  }

  setFront(name, color) {
    this.front = name
    this.frontColor = color
  }

  setBack(name, color) {
    this.back = name
    this.backColor = color
  }

  style() {
    const classes = [this.backColor ? '' : this.front, this.back, ...this.marks].filter(Boolean).join(' ')
    if (!classes && !this.frontColor && !this.backColor) return PLAIN
    const color = this.backColor ? readableOn(this.backColor, this.frontColor) : this.frontColor
    return { classes, color, background: this.backColor }
  }
}

const MARKS = { 1: 'ansi-bold', 2: 'ansi-dim', 3: 'ansi-italic', 4: 'ansi-under', 7: 'ansi-inverse', 9: 'ansi-strike' }
const UNMARKS = { 22: ['ansi-bold', 'ansi-dim'], 23: ['ansi-italic'], 24: ['ansi-under'], 27: ['ansi-inverse'], 29: ['ansi-strike'] }

/** The wanted colour if it stands out from the background, both "rgb(r, g, b)"; else black or white. */
function readableOn(background, wanted) {
  const ground = brightness(background)
  if (wanted && Math.abs(brightness(wanted) - ground) >= LEAST_CONTRAST) return wanted
  return ground > 140 ? 'black' : 'white'
}

const LEAST_CONTRAST = 60

function brightness(color) {
  const [red, green, blue] = color.match(/\d+/g).map(Number)
  return red * 0.3 + green * 0.59 + blue * 0.11
}

/** Colours 16-255 of the usual 256: a 6×6×6 cube, then greys. */
function paletteColor(n) {
  if (n >= 232) return `rgb(${Array(3).fill(8 + 10 * (n - 232)).join(', ')})`
  const levels = [0, 95, 135, 175, 215, 255]
  const cube = n - 16
  return `rgb(${levels[Math.floor(cube / 36)]}, ${levels[Math.floor(cube / 6) % 6]}, ${levels[cube % 6]})`
}
