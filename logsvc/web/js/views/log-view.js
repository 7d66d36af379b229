/** One log: its lines, and a line below that says where one stands. */

import { formatBytes } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { LongLine } from '../models/long-line.js'
import { LogPane } from '../pane/log-pane.js'
import { Connection } from './connection.js'
import { CopyButton, fullLink } from './copy.js'
import { FullText } from './full-text.js'
import { html, useChanges, useEffect, useLayoutEffect, useRef, useState } from './html.js'
import { LongLineDialog } from './long-line.js'
import { NewsOf } from './news.js'
import { positionWords, paneWords } from './pane-words.js'
import { ErrorNotice, Icon, Loading, Notice } from './parts.js'
import { fileLabel } from './stream-tree.js'

const ANY_LINE = Number.MAX_SAFE_INTEGER // stands for the number of a line

export function LogView({ reader, job, pane, settings }) {
  const { log, search, place } = pane
  useChanges(log, search, settings, reader.cursor)
  const host = useRef(null)
  const position = useRef(null)
  const [reading, setReading] = useState(null)
  const language = currentLanguage()
  const several = reader.panes.length > 1

  useLayoutEffect(() => {
    const view = new LogPane(host.current, {
      id: `log-view-${pane.id}`,
      log,
      search,
      words: paneWords(),
      hrefOf: lineLinks(reader, pane),
      onSelect: (line, lineEnd) => reader.choose(pane, line, lineEnd),
      onMore: (line, hit) => setReading(new LongLine({ http: reader.http, stream: log.stream.id, line, hit })),
    })
    pane.view = view
    view.onDraw = () => {
      drawPosition(position.current, view.position, log)
      if (!settings.get('lockTimes') || pane !== reader.active) return
      if (log.following) reader.cursor.followed(pane)
      else reader.cursor.scrolled(pane, view.position.receivedAt)
    }
    search.topLine = () => view.position.topLine
    search.selectedLine = () => view.selectedInView
    const found = ({ detail }) => {
      view.showLine(detail.n, { reveal: true }).catch(() => {})
      reader.choose(pane, detail.n, null, { replace: true })
    }
    search.addEventListener('jump', found)
    return () => {
      search.removeEventListener('jump', found)
      pane.view = null
      view.close()
    }
  }, [log])

  useEffect(() => pane.view.setWords(paneWords()), [log, language])
  const previous = job.previous(log.stream)
  useEffect(() => pane.view.setStart(previous && fileStart(log.stream, previous, reader.href(pane, job.startOf(previous)))), [log, previous?.id, language])
  useEffect(() => pane.view.setColumns({ wrap: settings.get('wrap'), times: settings.get('times') }))
  useEffect(() => pane.view.select(place.line, place.lineEnd ?? place.line), [log, place.line, place.lineEnd])

  useEffect(() => {
    if (pane === reader.active) reader.cursor.named(pane, place.line)
  }, [log, place.line])
  // A link to a span of the chart, or a log opened while one is chosen: it begins with that span.
  useEffect(() => {
    const { from } = reader.address.place
    if (from && log.ready && place.line === null) startAt(pane, from)
  }, [log, log.ready])
  useEffect(() => pane.view.markTime(reader.cursor.lineIn(pane)))

  const active = pane === reader.active
  return html`<section
    class="log ${several && active ? 'is-active' : ''}"
    aria-label=${log.stream.path}
    onFocusCapture=${() => reader.activate(pane)}
    onPointerDownCapture=${() => reader.activate(pane)}
  >
    ${several && html`<${PaneHead} reader=${reader} pane=${pane} />`}
    ${log.ready && place.line > log.totalLines && html`<p class="log-notice" role="status">${t(log.sealed ? 'log.noLine' : 'log.noLineYet', { n: place.line, total: log.totalLines })}</p>`}
    <div class="log-body">
      <div ref=${host}></div>
      <${Overlay} log=${log} reader=${reader} pane=${pane} />
    </div>
    <footer class="log-foot">
      <${Connection} log=${log} job=${job} reader=${reader} pane=${pane} />
      <span class="log-position" ref=${position}></span>
      <span class="log-size">${formatBytes(job.byId(log.stream.id)?.size_bytes ?? log.stream.size_bytes, language)}</span>
      <${FullText} http=${reader.http} stream=${log.stream} size=${job.byId(log.stream.id)?.size_bytes ?? log.stream.size_bytes} />
      <${CopyButton} text=${() => fullLink(reader.address.href({ ...place, panes: [] }))} label=${linkWords(place)} icon="link" bare />
      <a class="log-raw" href=${reader.http.saveUrl(log.stream.id)} title=${t('log.rawTitle')}><${Icon} name="save" /><span>${t('log.raw')}</span></a>
    </footer>
    ${active && html`<${NewsOf} log=${log} />`}
    ${reading && html`<${LongLineDialog} reading=${reading} onClose=${() => setReading(null)} />`}
  </section>`
}

/** Shows the first line that was received at a time or later. */
async function startAt(pane, time) {
  const n = await pane.log.lineAtTime(time).catch(() => null) // the log says itself that it cannot be read
  if (n !== null) await pane.view?.showLine(n, { atTop: true })
}

/** Which log a pane shows, where there are several. */
export function PaneHead({ reader, pane }) {
  const { task } = pane.place
  const name = pane.stream ? [pane.stream.kind === 'ordinary' ? '' : task, fileLabel(pane.stream)].filter(Boolean).join(' · ') : task
  return html`<header class="log-pane-head">
    <span class="log-file" title=${pane.stream?.path ?? pane.place.file}>${name}</span>
    ${pane.place.gen > 0 && html`<span class="log-generation">${t('job.generation', { generation: pane.place.gen })}</span>`}
    <button type="button" class="button button-icon" aria-label=${t('log.closePane', { name })} title=${t('log.closePane', { name })} onClick=${() => reader.closePane(pane)}><${Icon} name="close" /></button>
  </header>`
}

function linkWords({ line, lineEnd }) {
  if (lineEnd) return t('log.copyLinkLines', { first: line, last: lineEnd })
  return line ? t('log.copyLinkLine', { n: line }) : t('log.copyLink')
}

/** Written by hand because it changes with every frame. */
function drawPosition(node, position, log) {
  const text = positionWords(position, log)
  if (node && node.textContent !== text) node.textContent = text
}

/** Links to lines; the address is spelled out once, not for each row of each frame. */
function lineLinks(reader, pane) {
  let place = null
  let parts = []
  return (n) => {
    if (place !== reader.address.place) {
      place = reader.address.place
      parts = reader.href(pane, { line: ANY_LINE, lineEnd: null }).split(String(ANY_LINE))
    }
    return parts.join(n)
  }
}

/** What stands before the first line of a file that was rotated: the way back. */
function fileStart({ generation }, previous, href) {
  return { label: t('log.fileStart', { generation, previous: previous.generation }), href }
}

/** Over the rows: why there are none, or how many have come meanwhile. */
function Overlay({ log, reader, pane }) {
  if (!log.ready) return html`<div class="log-cover">${log.error ? html`<${ErrorNotice} error=${log.error} onRetry=${() => log.retry()} />` : html`<${Loading} />`}</div>`
  if (log.count === 0) {
    const hidden = log.lines === 'user' && log.totalLines > 0
    return html`<div class="log-cover">
      <${Notice} what=${hidden ? t('log.allHidden', { count: log.totalLines }) : log.sealed ? t('log.emptySealed') : t('log.empty')}>
        ${hidden && html`<p><button type="button" class="button" onClick=${() => reader.setLines('all')}>${t('log.showAll')}</button></p>`}
      <//>
    </div>`
  }
  if (log.following) return null
  const label = log.newLines ? t('log.newLines', { count: log.newLines }) : log.sealed ? '' : t('log.follow')
  return html`<button type="button" class="to-end ${log.newLines ? 'has-new' : ''}" title=${t('log.toEnd')} aria-label=${label || t('log.toEnd')} onClick=${() => toEnd(reader, pane)}>
    ${label}<${Icon} name="end" />
  </button>`
}

/** To the end, following; the address names no line any more. */
export function toEnd(reader, pane) {
  pane.view.position.toEnd()
  reader.go(pane, { line: null, lineEnd: null }, { replace: true })
}
