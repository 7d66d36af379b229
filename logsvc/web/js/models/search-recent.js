/** What was looked for lately; stays in this browser. */

const KEY = 'logsvc.searches'
const MOST = 10

export class RecentSearches {
  constructor(storage = window.localStorage) {
    this.storage = storage
    this.texts = this.#stored()
  }

  /** The newest first. */
  add(text) {
    if (!text || text === this.texts[0]) return
    this.texts = [text, ...this.texts.filter((one) => one !== text)].slice(0, MOST)
    try {
      this.storage.setItem(KEY, JSON.stringify(this.texts))
    } catch {
      // storage is full or forbidden: they are remembered until the page is closed
    }
  }

  #stored() {
    try {
      const stored = JSON.parse(this.storage.getItem(KEY))
      return Array.isArray(stored) ? stored.filter((text) => typeof text === 'string').slice(0, MOST) : []
    } catch {
      return []
    }
  }
}
