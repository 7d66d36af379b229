/**
 * The colours that the reader chose, or those of the system: a plain script in the head, so that no page is
 * drawn in the wrong ones first. `models/settings.js` keeps the choice.
 */
{
  const dark = matchMedia('(prefers-color-scheme: dark)')
  let chosen = stored()

  function stored() {
    try {
      return JSON.parse(localStorage.getItem('logsvc.settings'))?.theme ?? ''
    } catch {
      return '' // nothing that can be read, or storage is forbidden
    }
  }

  function apply(theme) {
    chosen = theme
    document.documentElement.dataset.theme = chosen || (dark.matches ? 'dark' : 'light')
  }

  apply(chosen)
  dark.addEventListener('change', () => apply(chosen))
  addEventListener('storage', () => apply(stored()))
  addEventListener('logsvc-theme', (event) => apply(event.detail))
}
