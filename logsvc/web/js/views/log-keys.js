/** Keys of the log view; text fields keep theirs. */

/** Listens until the function that it returns is called. */
export function listenKeys({ pane, log, search, searchInput, jumpInput, actions }) {
  const focus = (ref) => {
    ref.current.focus()
    ref.current.select()
  }
  const bare = {
    '/': () => focus(searchInput),
    n: () => search.next(),
    N: () => search.previous(),
    g: () => focus(jumpInput),
    G: actions.toEnd,
    End: actions.toEnd,
    Home: () => pane.current.toStart(),
    f: () => (log.following ? log.setFollowing(false) : actions.toEnd()),
    w: () => actions.toggle('wrap'),
    s: () => actions.setUserLines(log.lines !== 'user'),
    j: () => pane.current.scrollRows(1),
    k: () => pane.current.scrollRows(-1),
    ArrowDown: () => pane.current.scrollRows(1),
    ArrowUp: () => pane.current.scrollRows(-1),
    PageDown: () => pane.current.scrollPages(1),
    PageUp: () => pane.current.scrollPages(-1),
    ' ': (event) => pane.current.scrollPages(event.shiftKey ? -1 : 1),
    Escape: () => search.active && actions.query({ q: '' }),
  }
  const pressed = (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]')) return
    const withControl = event.ctrlKey || event.metaKey
    if (withControl && !event.altKey && event.key.toLowerCase() === 'f') {
      event.preventDefault()
      focus(searchInput)
      return
    }
    if (withControl || event.altKey || keepsKey(event)) return
    const action = Object.hasOwn(bare, event.key) ? bare[event.key] : null
    if (!action) return
    event.preventDefault()
    action(event)
  }
  document.addEventListener('keydown', pressed)
  return () => document.removeEventListener('keydown', pressed)
}

/** Whether the focused element has a use of its own for the key. */
function keepsKey({ target, key }) {
  if (!(target instanceof Element)) return false
  if (target.closest('input[type="text"], input[type="search"], input[type="password"], textarea, select')) return true
  return key === ' ' && Boolean(target.closest('button, a, input, label'))
}
