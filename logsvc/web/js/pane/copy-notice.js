/** Says how far copying has come, at the foot of the pane. */

const COPIED_MS = 3000

export class CopyNotice {
  /** @param {{copying: object, words: () => object}} options words: `copyState(state)`, `copy`, `cancel`, `close` */
  constructor({ copying, words }) {
    Object.assign(this, { copying, words, timer: null })
    this.element = document.createElement('div')
    this.element.className = 'pane-notice'
    this.element.setAttribute('role', 'status')
    copying.addEventListener('change', () => this.#draw())
  }

  close() {
    clearTimeout(this.timer)
  }

  #draw() {
    const { copying } = this
    const { state } = copying
    clearTimeout(this.timer)
    this.element.setAttribute('aria-live', state?.name === 'collecting' ? 'off' : 'polite') // no announcement for each page
    if (!state) return this.element.replaceChildren()
    const text = document.createElement('span')
    text.textContent = this.words().copyState(state)
    const buttons = []
    if (state.name === 'ready') buttons.push(this.#button(this.words().copy, () => copying.write(state)))
    if (state.name !== 'copied') buttons.push(this.#button(state.name === 'collecting' ? this.words().cancel : this.words().close, () => copying.cancel()))
    else this.timer = setTimeout(() => copying.cancel(), COPIED_MS)
    this.element.replaceChildren(text, ...buttons)
    return undefined
  }

  #button(label, act) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'button'
    button.textContent = label
    button.addEventListener('click', act)
    return button
  }
}
