/** The chart from the keyboard: a place that arrow keys move, a stretch from it that Shift marks. */

const FAR = 10 // parts of the chart
const ZOOM = 2

export class ChartKeys {
  /**
   * @param {HTMLElement} element has the focus
   * @param {object} options
   *   count(): parts of the chart; show(place, end): where one stands, and to where is marked (null: nothing);
   *   on: {stretch(first, last), moment(place), zoom(factor, place), reset()}
   */
  constructor(element, { count, show, on }) {
    Object.assign(this, { element, count, show, on, place: null, end: null })
    element.addEventListener('keydown', (event) => this.#pressed(event))
    element.addEventListener('blur', () => this.#stand(null))
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.count()) return
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -FAR, PageDown: FAR, Home: -Infinity, End: Infinity }
    const actions = {
      Enter: () => this.#enter(),
      '+': () => this.on.zoom(1 / ZOOM, this.place),
      '=': () => this.on.zoom(1 / ZOOM, this.place),
      '-': () => this.on.zoom(ZOOM, this.place),
      Escape: () => (this.end === null ? this.on.reset() : this.#stand(this.place)),
    }
    if (Object.hasOwn(moves, event.key)) this.#move(moves[event.key], event.shiftKey)
    else if (Object.hasOwn(actions, event.key)) actions[event.key]()
    else return
    event.preventDefault()
  }

  #move(step, marks) {
    const last = this.count() - 1
    const from = (marks ? this.end : null) ?? this.place
    const at = from === null ? (step > 0 && step !== Infinity ? 0 : last) : Math.min(last, Math.max(0, from + step))
    if (marks && this.place !== null) this.end = at
    else Object.assign(this, { place: step === -Infinity ? 0 : at, end: null })
    this.show(this.place, this.end)
  }

  #enter() {
    if (this.place === null) return
    if (this.end === null || this.end === this.place) {
      this.on.moment(this.place)
    } else {
      this.on.stretch(Math.min(this.place, this.end), Math.max(this.place, this.end))
      this.#stand(null)
    }
  }

  #stand(place) {
    Object.assign(this, { place, end: null })
    this.show(place, null)
  }
}
