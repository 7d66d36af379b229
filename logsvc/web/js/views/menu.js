/** A button that opens a small panel below it; Esc or a click elsewhere closes it. */

import { html, useEffect, useRef } from './html.js'

export function Menu({ label, title = label, children }) {
  const menu = useRef(null)
  useEffect(() => {
    const close = () => {
      menu.current.open = false
    }
    const outside = (event) => menu.current.contains(event.target) || close()
    const escape = (event) => {
      if (event.key !== 'Escape' || !menu.current.open) return
      event.stopPropagation()
      close()
      menu.current.querySelector('summary').focus()
    }
    document.addEventListener('pointerdown', outside)
    document.addEventListener('keydown', escape, true)
    return () => {
      document.removeEventListener('pointerdown', outside)
      document.removeEventListener('keydown', escape, true)
    }
  }, [])
  return html`<details class="menu" ref=${menu}>
    <summary class="button" title=${title}>${label}</summary>
    <div class="menu-panel">${children}</div>
  </details>`
}
