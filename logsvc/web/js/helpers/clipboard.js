/** Filling the clipboard, also where the page is not served over HTTPS. */

/** Returns: whether it took the text; a browser may want a click first. */
export async function fillClipboard(text) {
  try {
    await navigator.clipboard.writeText(text) // there is no clipboard on a page without TLS
    return true
  } catch {
    return copyByCommand(text)
  }
}

/** The browser copies by itself; what it takes is this text, whatever is marked. */
function copyByCommand(text) {
  const fill = (event) => {
    event.clipboardData.setData('text/plain', text)
    event.preventDefault()
    event.stopImmediatePropagation()
  }
  document.addEventListener('copy', fill, { capture: true, once: true })
  const done = document.execCommand('copy')
  document.removeEventListener('copy', fill, { capture: true })
  return done
}
