/** Keys of the logs; text fields keep theirs. */

import { toEnd } from './log-view.js'

/** Listens until the function that it returns is called; keys act on the active pane. */
export function listenKeys({ reader, settings, jumpInput }) {
  const focus = (ref) => {
    ref.current.focus()
    ref.current.select()
  }
  const view = () => reader.active.view
  const position = () => view().position
  const end = () => toEnd(reader, reader.active)
  const actions = {
    n: () => reader.hits.step(1),
    N: () => reader.hits.step(-1),
    g: () => focus(jumpInput),
    G: end,
    End: end,
    Home: () => position().toStart(),
    f: () => (reader.active.log.following ? reader.active.log.setFollowing(false) : end()),
    w: () => settings.set('wrap', !settings.get('wrap')),
    s: () => reader.setLines(reader.active.log.lines === 'user' ? 'all' : 'user'),
    j: () => position().scrollRows(1),
    k: () => position().scrollRows(-1),
    ArrowDown: () => position().scrollRows(1),
    ArrowUp: () => position().scrollRows(-1),
    PageDown: () => position().scrollPages(1),
    PageUp: () => position().scrollPages(-1),
    ' ': (event) => position().scrollPages(event.shiftKey ? -1 : 1),
    e: () => view().showError(1),
    E: () => view().showError(-1),
    'Shift+ArrowDown': () => view().extendSelection(1),
    'Shift+ArrowUp': () => view().extendSelection(-1),
    'Shift+PageDown': () => view().extendPages(1),
    'Shift+PageUp': () => view().extendPages(-1),
    'Shift+End': () => view().extendSelection(Infinity),
    'Shift+Home': () => view().extendSelection(-Infinity),
    'Control+a': () => view().selectAll(),
    Escape: () => view().clearSelection() || (reader.hits.active && reader.hits.clear()),
  }
  const pressed = (event) => {
    if (!reader.active?.view || event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]')) return
    if (event.altKey || keepsKey(event)) return
    const name = keyName(event)
    if (!Object.hasOwn(actions, name)) return
    event.preventDefault()
    actions[name](event)
  }
  document.addEventListener('keydown', pressed)
  return () => document.removeEventListener('keydown', pressed)
}

/** "Control+a", "Shift+End", "G": a key with what is held; the shift of a letter or a sign is in it already. */
function keyName({ key, ctrlKey, metaKey, shiftKey }) {
  return `${ctrlKey || metaKey ? 'Control+' : ''}${shiftKey && key.length > 1 ? 'Shift+' : ''}${key}`
}

/** Whether the focused element has a use of its own for the key. */
function keepsKey({ target, key }) {
  if (!(target instanceof Element)) return false
  if (target.closest('input[type="text"], input[type="search"], input[type="password"], textarea, select')) return true
  return key === ' ' && Boolean(target.closest('button, a, input, label'))
}
