/**
 * What stands over the plots at its time: events, spans that findings mean, the moment that the logs show.
 *
 * Decoration: the same is told in words beside the chart, so that it is hidden from those who hear the page.
 */

const LEAST_PX = 3

export class Marks {
  /** @param {{onMoment: (ms: number) => void}} options a mark was clicked */
  constructor({ onMoment }) {
    Object.assign(this, { onMoment, events: [], spans: [], moment: null })
    this.element = part('chart-marks')
    this.element.setAttribute('aria-hidden', 'true')
    this.line = part('chart-moment')
    this.element.addEventListener('click', ({ target }) => target.dataset.at && this.onMoment(Number(target.dataset.at)))
  }

  /** @param {object} what events: [{at, kind, words}]; spans: [{fromMs, toMs, kind, words}]; moment: milliseconds or null */
  set({ events, spans, moment }) {
    Object.assign(this, { events, spans, moment })
  }

  /** @param {(ms: number) => number|null} leftOf pixels of a moment; null: out of sight; @param {{fromMs, toMs}} span what is shown */
  draw(leftOf, span) {
    const parts = []
    for (const one of this.spans) {
      const left = leftOf(Math.max(one.fromMs, span.fromMs))
      const right = leftOf(Math.min(one.toMs, span.toMs))
      if (left !== null && right !== null && right >= left) parts.push(this.#span(one, left, right))
    }
    for (const one of this.events) {
      const left = leftOf(one.at)
      if (left !== null) parts.push(this.#event(one, left))
    }
    const left = this.moment === null ? null : leftOf(this.moment)
    if (left !== null) {
      this.line.style.left = `${left}px`
      parts.push(this.line)
    }
    this.element.replaceChildren(...parts)
  }

  #span({ kind, words }, left, right) {
    const element = part(`chart-span is-${kind}`)
    element.title = words
    element.style.left = `${left}px`
    element.style.width = `${Math.max(LEAST_PX, right - left)}px`
    return element
  }

  #event({ at, kind, words }, left) {
    const element = part(`chart-event is-${kind}`)
    element.title = words
    element.dataset.at = String(at)
    element.style.left = `${left}px`
    return element
  }
}

function part(name) {
  const element = document.createElement('div')
  element.className = name
  return element
}
