/** When to do things: not at every key stroke, not all at once, later again. */

/** Calls `action` once, `delayMs` after the last call; `.cancel()` forgets it, `.flush()` does it now. */
export function debounce(action, delayMs) {
  let timer = null
  let lastArgs = []
  const later = (...args) => {
    lastArgs = args
    clearTimeout(timer)
    timer = setTimeout(() => {
      timer = null
      action(...lastArgs)
    }, delayMs)
  }
  later.cancel = () => {
    clearTimeout(timer)
    timer = null
  }
  later.flush = () => {
    if (timer === null) return
    later.cancel()
    action(...lastArgs)
  }
  return later
}

/** Calls `action` in the next animation frame, however often it is asked before. */
export function perFrame(action) {
  let frame = null
  const soon = () => {
    frame ??= requestAnimationFrame(() => {
      frame = null
      action()
    })
  }
  soon.cancel = () => {
    cancelAnimationFrame(frame)
    frame = null
  }
  return soon
}

/** Delays that double from 0.5 s to 15 s, each drawn between half and the whole (so that viewers spread out). */
export class Backoff {
  constructor({ firstMs = 500, longestMs = 15000, random = Math.random } = {}) {
    Object.assign(this, { firstMs, longestMs, random, tries: 0 })
  }

  nextMs() {
    const whole = Math.min(this.firstMs * 2 ** this.tries, this.longestMs)
    this.tries += 1
    return Math.round(whole * (0.5 + this.random() / 2))
  }

  reset() {
    this.tries = 0
  }
}
