/** The whole of a line that its row cuts, a piece at a time. */

import { formatBytes } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { shownText } from '../pane/rows.js'
import { Dialog } from './help.js'
import { html, useChanges, useEffect } from './html.js'
import { ErrorNotice, Icon, Loading } from './parts.js'

export function LongLineDialog({ reading, onClose }) {
  useChanges(reading)
  useEffect(() => {
    reading.show(reading.piece)
    return () => reading.close()
  }, [reading])
  const { line, piece, pieces, text, error } = reading
  const size = (bytes) => formatBytes(bytes, currentLanguage())
  return html`<${Dialog} title=${t('log.longTitle', { n: line.n, size: size(line.size_bytes) })} onClose=${onClose}>
    <div class="long-line-head">
      <${Step} to=${piece - 1} icon="up" label=${t('log.longPrevious')} reading=${reading} />
      <${Step} to=${piece + 1} icon="down" label=${t('log.longNext')} reading=${reading} />
      <input type="range" min="0" max=${pieces - 1} value=${piece} aria-label=${t('log.longPlace')} onInput=${(event) => reading.show(Number(event.target.value))} />
      <span class="long-line-place" role="status">${t('log.longPart', { from: size(reading.from), to: size(reading.to), size: size(line.size_bytes) })}</span>
    </div>
    ${error ? html`<${ErrorNotice} error=${error} onRetry=${() => reading.show(piece)} />` : text === null ? html`<${Loading} />` : html`<pre class="rest" tabindex="0">${shownText({ text }, { raw: true })}</pre>`}
  <//>`
}

function Step({ to, icon, label, reading }) {
  return html`<button type="button" class="button button-icon" aria-label=${label} title=${label} disabled=${to < 0 || to >= reading.pieces} onClick=${() => reading.show(to)}><${Icon} name=${icon} /></button>`
}
