/** What the reader chose and wants kept: language, theme, columns, filter. */

import { USUAL_COLUMNS } from './job-columns.js'
import { Model } from './model.js'

const KEY = 'logsvc.settings'
const DEFAULTS = Object.freeze({
  language: '', // '': as the browser says
  theme: '', // '': as the system says
  userLines: false,
  wrap: false,
  hitsHeight: 0, // 0: as the style sheet says
  times: false,
  chart: '', // 'shown' or 'folded'; '': shown where there are readings and room
  lockTimes: false,
  jobColumns: USUAL_COLUMNS,
  jobFilters: false,
  treeHidden: matchMedia('(max-width: 760px)').matches, // on a phone the log needs the room
})

export class Settings extends Model {
  constructor(storage = window.localStorage) {
    super()
    this.storage = storage
    this.values = { ...DEFAULTS, ...this.#stored() }
  }

  get(name) {
    return this.values[name]
  }

  set(name, value) {
    if (this.values[name] === value) return
    this.values = { ...this.values, [name]: value }
    try {
      this.storage.setItem(KEY, JSON.stringify(this.values))
    } catch {
      // storage is full or forbidden: the choice holds until the page is closed
    }
    this.changed()
  }

  #stored() {
    try {
      const stored = JSON.parse(this.storage.getItem(KEY)) ?? {}
      return Object.fromEntries(Object.entries(stored).filter(([name, value]) => typeof value === typeof DEFAULTS[name]))
    } catch {
      return {}
    }
  }
}
