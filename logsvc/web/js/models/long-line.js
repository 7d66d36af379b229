/** One line that is too long to show at once, read in pieces: never more than one of them is held. */

import { Model, wasAborted } from './model.js'

export const PIECE_BYTES = 64 * 1024
const MOST_CHARACTER_BYTES = 4

/** Fires `change` when another piece is there. */
export class LongLine extends Model {
  /**
   * @param {object} options
   *   line: as `/lines` gives it, with `offset` and `size_bytes`; hit: where the reader wants to begin, in lengths
   *   of the line's first piece, which its row shows (null: behind it).
   */
  constructor({ http, stream, line, hit = null }) {
    super()
    Object.assign(this, { http, stream, line, piece: Math.floor(hit ?? 1), text: null, error: null, request: null })
  }

  get pieces() {
    return Math.max(1, Math.ceil(this.line.size_bytes / PIECE_BYTES))
  }

  /** Bytes of the line before this piece, and up to its end. */
  get from() {
    return this.piece * PIECE_BYTES
  }

  get to() {
    return Math.min(this.line.size_bytes, this.from + PIECE_BYTES)
  }

  async show(piece) {
    this.request?.abort()
    const request = new AbortController()
    this.request = request
    this.piece = Math.min(this.pieces - 1, Math.max(0, piece))
    this.changed()
    try {
      const text = await this.#read(request.signal)
      Object.assign(this, { text, error: null })
    } catch (error) {
      if (wasAborted(error)) return
      this.error = error
    }
    this.changed()
  }

  close() {
    this.request?.abort()
  }

  /** A character across a border belongs to the piece where it begins. */
  async #read(signal) {
    const { offset, size_bytes: size } = this.line
    const start = Math.max(0, this.from - MOST_CHARACTER_BYTES)
    const stop = Math.min(size, this.to + MOST_CHARACTER_BYTES)
    const bytes = await this.http.rawBytes(this.stream, offset + start, offset + stop, { signal })
    const from = characterStart(bytes, this.from - start)
    const to = this.to === size ? bytes.length : characterStart(bytes, this.to - start)
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(from, to))
  }
}

/** The start of the UTF-8 character that byte `at` belongs to; `at` itself where it begins one. */
export function characterStart(bytes, at) {
  for (let back = 0; back < MOST_CHARACTER_BYTES && back <= at; back += 1) {
    const byte = bytes[at - back]
    if ((byte & 0xc0) === 0x80) continue
    return lengthOf(byte) > back ? at - back : at
  }
  return at
}

function lengthOf(lead) {
  if (lead >= 0xf0) return 4
  if (lead >= 0xe0) return 3
  return lead >= 0xc0 ? 2 : 1
}
