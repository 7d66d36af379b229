/**
 * A scrollbar over any number of rows, and what moves it: wheel, touch, drag.
 *
 * A browser clamps an element at 17 to 33 million pixels; here nothing is ever taller than the
 * pane: a position is a row number with a fraction, and the thumb shows it.
 */

const LEAST_THUMB_PX = 28
const LINE_PX = 20 // a wheel that counts in lines
const FRICTION = 0.95 // of a flick's speed, kept each 16 ms

export class Scroller {
  /**
   * @param {object} options
   *   view: the element whose wheel and touch move the rows; label: for screen readers;
   *   onPixels(px): the reader scrolls by so much; onFraction(f): the reader drags to 0-1;
   *   onPage(direction): a click beside the thumb.
   */
  constructor({ view, label, controls, onPixels, onFraction, onPage }) {
    Object.assign(this, { view, onPixels, onFraction, onPage })
    this.bar = document.createElement('div')
    this.bar.className = 'pane-bar'
    this.bar.setAttribute('role', 'scrollbar')
    this.bar.setAttribute('aria-orientation', 'vertical')
    this.bar.setAttribute('aria-controls', controls)
    this.bar.setAttribute('aria-valuemin', '0')
    this.bar.setAttribute('aria-valuemax', '100')
    this.bar.setAttribute('aria-label', label)
    this.thumb = document.createElement('div')
    this.thumb.className = 'pane-thumb'
    this.bar.append(this.thumb)
    this.thumbPx = 0
    this.flick = null
    this.#listen()
  }

  /** Where the rows stand: `fraction` 0-1 of the way, `share` 0-1 of them on screen. */
  show({ fraction, share }) {
    const height = this.bar.clientHeight
    this.thumbPx = Math.min(height, Math.max(LEAST_THUMB_PX, share * height))
    this.bar.classList.toggle('is-idle', share >= 1)
    this.thumb.style.height = `${this.thumbPx}px`
    this.thumb.style.transform = `translateY(${fraction * (height - this.thumbPx)}px)`
    this.bar.setAttribute('aria-valuenow', String(Math.round(fraction * 100)))
  }

  close() {
    cancelAnimationFrame(this.flick)
  }

  #listen() {
    this.view.addEventListener('wheel', (event) => this.#wheel(event), { passive: false })
    this.bar.addEventListener('wheel', (event) => this.#wheel(event), { passive: false })
    this.bar.addEventListener('pointerdown', (event) => this.#grab(event))
    this.view.addEventListener('touchstart', (event) => this.#touch(event), { passive: true })
  }

  #wheel(event) {
    if (event.ctrlKey || (event.shiftKey && event.deltaX === 0)) return
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return
    event.preventDefault()
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : event.deltaMode === WheelEvent.DOM_DELTA_PAGE ? this.view.clientHeight : 1
    this.onPixels(event.deltaY * unit)
  }

  #grab(event) {
    if (event.button !== 0) return
    event.preventDefault()
    const box = this.bar.getBoundingClientRect()
    const thumb = this.thumb.getBoundingClientRect()
    const onThumb = event.clientY >= thumb.top && event.clientY <= thumb.bottom
    if (!onThumb && !event.altKey) {
      this.onPage(event.clientY < thumb.top ? -1 : 1)
      return
    }
    const grip = onThumb ? event.clientY - thumb.top : this.thumbPx / 2
    const drag = ({ clientY }) => {
      const room = box.height - this.thumbPx
      if (room > 0) this.onFraction(Math.min(1, Math.max(0, (clientY - box.top - grip) / room)))
    }
    this.bar.setPointerCapture(event.pointerId)
    this.bar.classList.add('is-dragged')
    this.bar.addEventListener('pointermove', drag)
    const release = () => {
      this.bar.classList.remove('is-dragged')
      this.bar.removeEventListener('pointermove', drag)
    }
    this.bar.addEventListener('pointerup', release, { once: true })
    this.bar.addEventListener('pointercancel', release, { once: true })
    if (!onThumb) drag(event)
  }

  /** Pans with the finger; a flick goes on for a while. */
  #touch(start) {
    cancelAnimationFrame(this.flick)
    if (start.touches.length !== 1) return
    let y = start.touches[0].clientY
    let at = start.timeStamp
    let speed = 0
    const move = (event) => {
      const next = event.touches[0].clientY
      const elapsed = Math.max(1, event.timeStamp - at)
      speed = 0.6 * ((y - next) / elapsed) + 0.4 * speed
      this.onPixels(y - next)
      y = next
      at = event.timeStamp
    }
    const end = () => {
      this.view.removeEventListener('touchmove', move)
      this.#glide(speed)
    }
    this.view.addEventListener('touchmove', move, { passive: true })
    this.view.addEventListener('touchend', end, { once: true })
    this.view.addEventListener('touchcancel', end, { once: true })
  }

  #glide(speed) {
    let last = performance.now()
    const step = (now) => {
      const elapsed = now - last
      last = now
      speed *= FRICTION ** (elapsed / 16)
      this.onPixels(speed * elapsed)
      if (Math.abs(speed) > 0.02) this.flick = requestAnimationFrame(step)
    }
    if (Math.abs(speed) > 0.05) this.flick = requestAnimationFrame(step)
  }
}
