/**
 * Keeps a log followed, through whatever lies between the page and the service.
 *
 * An attempt first asks over HTTP for the end of the log (`look`). That says why where the service
 * refuses, and whoever was away for an hour need not wait for lines that he does not look at: rows
 * in between are fetched when they come on screen. Then a WebSocket brings each line as it is
 * committed. Where none gets through though the service answers, `look` is repeated.
 */

import { Backoff } from '../helpers/timing.js'
import { Model, wasAborted } from './model.js'

const MOST_FAILURES = 3 // WebSockets in a row that brought nothing; then it goes without
const HELD_MS = 3000 // a connection that held this long was a good one
const LOOK_MS = 15_000 // longer takes only a connection that is dead, without saying so
const POLL_MS = 1000
const POLLS_A_TRY = 60 // after so many the WebSocket is tried once more
const TICK_MS = 5000
const QUIET_MS = 20_000 // nothing came for so long: is there really nothing?
const CATCH_UP_MS = 3000
const REFUSALS = new Set([401, 403, 404, 410])

/**
 * Fires `change` when `state` does, and `frame` as the socket does.
 *
 * state:
 *   "connecting"; "open"; "polling" (without a WebSocket); "waiting" until `retryAt`, in
 *   milliseconds since the epoch (`error` says why, null where the connection was cut); "refused"
 *   (`error` says why); "finished" (the file goes on in another stream); "closed"
 */
export class Connection extends Model {
  /**
   * @param {object} options
   *   openSocket(): a FollowSocket from the end of what is known; look(signal): learns the end of
   *   the log over HTTP; lastLine(signal): number of the last complete line, over HTTP.
   */
  constructor({ openSocket, look, lastLine }) {
    super()
    Object.assign(this, { openSocket, look, lastLine, state: 'connecting', error: null, retryAt: null })
    Object.assign(this, { socket: null, request: new AbortController(), timer: null, watch: null, failures: 0, polls: 0 })
    this.backoff = new Backoff()
    this.listening = new AbortController()
  }

  /** First attempt; done once the service has answered, or has not. */
  open() {
    const { signal } = this.listening
    window.addEventListener('online', () => this.wake(), { signal })
    document.addEventListener('visibilitychange', () => document.hidden || this.wake(), { signal })
    return this.#attempt()
  }

  /** Tries at once whatever waits, and makes sure of a connection that may have died unnoticed. */
  wake() {
    if (this.state === 'waiting' || this.state === 'refused') this.#attempt()
    else if (this.state === 'polling') this.#poll()
    else if (this.state === 'open') this.#check()
  }

  close() {
    this.listening.abort()
    this.#drop()
    this.#set('closed')
  }

  /** The line after the last one that the socket brought; 0 without a socket. */
  get next() {
    return this.socket?.next ?? 0
  }

  async #attempt() {
    if (this.failures < MOST_FAILURES) this.#set('connecting')
    if (await this.#looked()) this.#connect()
  }

  async #poll() {
    if (!(await this.#looked())) return
    this.polls += 1
    if (this.polls % POLLS_A_TRY === 0) this.#connect()
    else this.#pollLater()
  }

  #pollLater() {
    this.#set('polling')
    this.timer = setTimeout(() => this.#poll(), POLL_MS)
  }

  /** Whether the service answered, and this attempt is still the present one. */
  async #looked() {
    this.#drop()
    const { signal } = this.request
    try {
      await this.look(AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]))
    } catch (error) {
      if (signal.aborted || wasAborted(error)) return false
      if (REFUSALS.has(error.status)) this.#set('refused', error)
      else this.#wait(error)
      return false
    }
    return !signal.aborted
  }

  #connect() {
    const socket = this.openSocket()
    const startedAt = performance.now()
    this.socket = socket
    this.heardAt = startedAt
    socket.addEventListener('open', () => {
      this.#set('open')
      this.#watch()
    })
    socket.addEventListener('frame', ({ data }) => {
      this.heardAt = performance.now()
      if (socket.progressed) this.backoff.reset()
      this.dispatchEvent(new MessageEvent('frame', { data }))
    })
    socket.addEventListener('close', () => {
      if (socket !== this.socket) return
      if (socket.finished) {
        this.#drop()
        this.#set('finished')
        return
      }
      const held = socket.opened && performance.now() - startedAt > HELD_MS
      if (held) this.backoff.reset()
      this.failures = held || socket.heard ? 0 : this.failures + 1
      this.#again()
    })
  }

  #again() {
    if (this.failures >= MOST_FAILURES) {
      this.#drop()
      this.#pollLater()
    } else {
      this.#wait(null)
    }
  }

  #wait(error) {
    this.#drop()
    const waitMs = this.backoff.nextMs()
    this.retryAt = Date.now() + waitMs
    this.#set('waiting', error)
    this.timer = setTimeout(() => this.#attempt(), waitMs)
  }

  /** A socket may be dead, or held back by a proxy, without anybody saying so. */
  #watch() {
    let tickedAt = Date.now()
    this.watch = setInterval(() => {
      const slept = Date.now() - tickedAt > 3 * TICK_MS
      tickedAt = Date.now()
      const quietMs = performance.now() - this.heardAt
      if (!document.hidden && (slept || !this.socket.heard || quietMs > QUIET_MS)) this.#check()
    }, TICK_MS)
  }

  async #check() {
    const { socket } = this
    const { signal } = this.request
    if (this.checked === socket) return
    this.checked = socket
    try {
      const last = await this.lastLine(AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]))
      if (socket.next <= last) await new Promise((done) => setTimeout(done, CATCH_UP_MS))
      if (signal.aborted || socket !== this.socket) return
      this.heardAt = performance.now()
      if (socket.next > last) return
    } catch (error) {
      if (signal.aborted || wasAborted(error)) return
      this.#attempt()
      return
    } finally {
      this.checked = null
    }
    // one that never brought anything is held back: the next would be, too
    this.failures = socket.heard ? this.failures + 1 : MOST_FAILURES
    if (this.failures < MOST_FAILURES) this.#attempt()
    else this.#again()
  }

  /** Gives up what is under way. */
  #drop() {
    clearTimeout(this.timer)
    clearInterval(this.watch)
    this.request.abort()
    this.request = new AbortController()
    const { socket } = this
    this.socket = null
    socket?.close()
  }

  #set(state, error = null) {
    if (state === this.state && error === this.error && state !== 'waiting') return
    Object.assign(this, { state, error })
    this.changed()
  }
}
