/** Words in the reader's language. Every key stands in every language; a test compares them. */

import { formatCount } from '../helpers/format.js'
import { en } from './en.js'
import { zhCN } from './zh-cn.js'

export const LANGUAGES = { en: { name: 'English', words: en }, 'zh-CN': { name: '简体中文', words: zhCN } }

let language = 'en'
let rules = null // how the language counts

/** The language in use, a BCP 47 tag. */
export function currentLanguage() {
  return language
}

/** The language that a browser with these preferences wants. */
export function preferredLanguage(preferences = navigator.languages) {
  for (const preference of preferences) {
    if (preference.toLowerCase().startsWith('zh')) return 'zh-CN'
    if (preference.toLowerCase().startsWith('en')) return 'en'
  }
  return 'en'
}

export function useLanguage(tag) {
  language = tag in LANGUAGES ? tag : 'en'
  rules = null
}

/**
 * A sentence; `{name}` is replaced by `values.name`. Where the words are `{one, other}`, the
 * number `values.count` chooses.
 */
export function t(key, values = {}) {
  let words = LANGUAGES[language].words[key]
  if (typeof words === 'object') words = words[(rules ??= new Intl.PluralRules(language)).select(values.count)] ?? words.other
  return words.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name]
    return typeof value === 'number' ? formatCount(value, language) : String(value)
  })
}
