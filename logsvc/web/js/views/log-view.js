/** One log: search, switches, the pane, and a line that says where one stands. */

import { formatBytes, formatCount } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { LogPane } from '../pane/log-pane.js'
import { Dialog } from './help.js'
import { html, useChanges, useEffect, useLayoutEffect, useRef, useState } from './html.js'
import { ErrorNotice, Icon, Loading, Notice } from './parts.js'
import { SearchBar } from './search-bar.js'
import { fileLabel } from './stream-tree.js'
import { listenKeys } from './log-keys.js'

const REST_BYTES = 256 * 1024 // of a cut line, shown at once

export function LogView({ reader, job, log, search, address, settings }) {
  useChanges(log, search, settings)
  const { line } = address.place
  const host = useRef(null)
  const pane = useRef(null)
  const position = useRef(null)
  const searchInput = useRef(null)
  const jumpInput = useRef(null)
  const [rest, setRest] = useState(null)
  const language = currentLanguage()

  const actions = {
    query: (changes) => {
      search.set(changes)
      address.go({ ...address.place, ...search.query }, { replace: true })
    },
    toEnd: () => {
      pane.current.toEnd()
      address.go({ line: null }, { replace: true })
    },
    jump: (n) => {
      if (n === line) pane.current.showLine(n).catch(() => {})
      else address.go({ line: n })
    },
    setUserLines: (only) => reader.setLines(only ? 'user' : 'all'),
    toggle: (name) => settings.set(name, !settings.get(name)),
  }

  useLayoutEffect(() => {
    const made = new LogPane(host.current, {
      log,
      search,
      words: paneWords(),
      hrefOf: (n) => address.href({ line: n }),
      onSelect: (n) => actions.jump(n),
      onMore: async (cut) => setRest(await readRest(reader.http, log, cut)),
    })
    pane.current = made
    made.onDraw = () => drawPosition(position.current, made, log)
    search.topLine = () => made.topLine
    search.selectedLine = () => made.selectedInView
    reader.anchor = () => made.anchor()
    const found = ({ detail }) => {
      made.showLine(detail.n, { reveal: true }).catch(() => {})
      address.go({ line: detail.n }, { replace: true })
    }
    search.addEventListener('jump', found)
    return () => {
      search.removeEventListener('jump', found)
      made.close()
    }
  }, [log])

  useEffect(() => pane.current.setWords(paneWords()), [log, language])
  useEffect(() => pane.current.setColumns({ wrap: settings.get('wrap'), times: settings.get('times') }))
  useEffect(() => {
    pane.current.select(line)
    if (log.ready && line) pane.current.showLine(line).catch(() => {})
  }, [log, line, log.ready])
  useEffect(() => listenKeys({ pane, log, search, searchInput, jumpInput, actions }), [log])

  return html`<section class="log" aria-label=${log.stream.path}>
    <div class="log-head">
      <button
        type="button"
        class="button button-icon"
        aria-pressed=${settings.get('treeHidden') ? 'false' : 'true'}
        aria-label=${settings.get('treeHidden') ? t('job.showFiles') : t('job.hideFiles')}
        title=${settings.get('treeHidden') ? t('job.showFiles') : t('job.hideFiles')}
        onClick=${() => actions.toggle('treeHidden')}
      >
        <${Icon} name="panel" />
      </button>
      <span class="log-file" title=${log.stream.path}>${fileLabel(log.stream)}</span>
      <${SearchBar} search=${search} inputRef=${searchInput} onQuery=${actions.query} onLeave=${() => pane.current.focus()} />
      <div class="log-tools">
        <label class="check" title=${t('log.hideSystemTitle')}>
          <input type="checkbox" id="hide-system" checked=${log.lines === 'user'} onChange=${(event) => actions.setUserLines(event.target.checked)} />
          ${t('log.hideSystem')}
        </label>
        <${Switch} on=${settings.get('times')} label=${t('log.times')} title=${t('log.timesTitle')} onToggle=${() => actions.toggle('times')} />
        <${Switch} on=${settings.get('wrap')} label=${t('log.wrap')} title=${t('log.wrapTitle')} onToggle=${() => actions.toggle('wrap')} />
        <${JumpBox} inputRef=${jumpInput} onJump=${actions.jump} onLeave=${() => pane.current.focus()} />
      </div>
    </div>
    <div class="log-body">
      <div ref=${host}></div>
      <${Overlay} log=${log} actions=${actions} />
    </div>
    <footer class="log-foot">
      <${Connection} log=${log} job=${job} address=${address} />
      <span class="log-position" ref=${position}></span>
      <span class="log-size">${formatBytes(job.byId(log.stream.id)?.size_bytes ?? log.stream.size_bytes, language)}</span>
      <a class="log-raw" href=${reader.http.rawUrl(log.stream.id).href} target="_blank" rel="noopener" title=${t('log.rawTitle')}>${t('log.raw')}</a>
    </footer>
    ${rest && html`<${Rest} rest=${rest} onClose=${() => setRest(null)} />`}
  </section>`
}

function paneWords() {
  return {
    label: t('log.label'),
    scrollbar: t('log.scrollbar'),
    showRaw: t('log.showRaw'),
    showFolded: t('log.showFolded'),
    hiddenHit: t('log.hiddenHit'),
    moreBytes: (bytes) => t('log.moreBytes', { size: formatBytes(bytes, currentLanguage()) }),
  }
}

/** "Lines 1–40 of 5,000"; written by hand because it changes with every frame. */
function drawPosition(node, pane, log) {
  if (!node) return
  const { first, last } = pane.shownRows
  const key = log.lines === 'user' ? 'log.positionUser' : 'log.position'
  const text = log.count ? t(key, { first: first + 1, last: last + 1, total: log.count }) : ''
  if (node.textContent !== text) node.textContent = text
}

/** Over the rows: why there are none, or how many have come meanwhile. */
function Overlay({ log, actions }) {
  if (!log.ready) return html`<div class="log-cover">${log.error ? html`<${ErrorNotice} error=${log.error} onRetry=${() => log.retry()} />` : html`<${Loading} />`}</div>`
  if (log.count === 0) {
    const hidden = log.lines === 'user' && log.totalLines > 0
    return html`<div class="log-cover">
      <${Notice} what=${hidden ? t('log.allHidden', { count: log.totalLines }) : log.sealed ? t('log.emptySealed') : t('log.empty')}>
        ${hidden && html`<p><button type="button" class="button" onClick=${() => actions.setUserLines(false)}>${t('log.showAll')}</button></p>`}
      <//>
    </div>`
  }
  if (log.following) return null
  const label = log.newLines ? t('log.newLines', { count: log.newLines }) : log.sealed ? '' : t('log.follow')
  return html`<button type="button" class="to-end ${log.newLines ? 'has-new' : ''}" title=${t('log.toEnd')} aria-label=${label || t('log.toEnd')} onClick=${actions.toEnd}>
    ${label}<${Icon} name="end" />
  </button>`
}

/** The connection in words, and the way to the next generation. */
function Connection({ log, job, address }) {
  const next = log.nextStream && job.byId(log.nextStream)
  useEffect(() => {
    if (log.nextStream && !next) job.reload()
  }, [log.nextStream])
  const [name, words] = connectionWords(log)
  return html`<span class="connection connection-${name}" role="status">
    <span class="connection-dot" aria-hidden="true"></span>${words}
    ${next && html`<a class="connection-next" href=${address.href(job.placeOf(next))} onClick=${(event) => {
      event.preventDefault()
      address.go({ ...job.placeOf(next), line: null })
    }}>${t('state.next')}</a>`}
  </span>`
}

function connectionWords(log) {
  if (log.error && log.ready) return ['waiting', t('log.failed')]
  if (log.connection === 'waiting') return ['waiting', t('state.waiting')]
  if (log.sealed) return ['sealed', t('state.sealed')]
  if (log.connection === 'open') return log.following ? ['live', t('state.following')] : ['paused', t('state.live')]
  if (log.connection === 'connecting') return ['connecting', t('state.connecting')]
  return ['waiting', t('state.closed')]
}

function Switch({ on, label, title, onToggle }) {
  return html`<button type="button" class="button toggle" aria-pressed=${on ? 'true' : 'false'} title=${title} onClick=${onToggle}>${label}</button>`
}

function JumpBox({ inputRef, onJump, onLeave }) {
  const jump = (event) => {
    event.preventDefault()
    const n = Number(inputRef.current.value.replace(/[^\d]/g, ''))
    if (n > 0) onJump(n)
    inputRef.current.value = ''
    onLeave()
  }
  const keys = (event) => {
    if (event.key !== 'Escape') return
    event.stopPropagation()
    inputRef.current.value = ''
    onLeave()
  }
  return html`<form class="jump" onSubmit=${jump}>
    <input class="input" id="jump-line" ref=${inputRef} type="text" inputmode="numeric" autocomplete="off" placeholder=${t('log.jump')} aria-label=${t('log.jumpTitle')} title=${t('log.jumpTitle')} onKeyDown=${keys} />
  </form>`
}

/** What a cut line leaves out. */
function Rest({ rest, onClose }) {
  const language = currentLanguage()
  return html`<${Dialog} title=${t('log.restTitle', { n: formatCount(rest.n, language), size: formatBytes(rest.size, language) })} onClose=${onClose}>
    ${rest.onlyPart && html`<p>${t('log.restOnlyPart', { size: formatBytes(REST_BYTES, language) })}</p>`}
    ${rest.error ? html`<${ErrorNotice} error=${rest.error} />` : html`<pre class="rest">${rest.text}</pre>`}
  <//>`
}

async function readRest(http, log, line) {
  const start = line.offset + new TextEncoder().encode(line.text).length
  const end = line.offset + line.size_bytes
  const rest = { n: line.n, size: line.size_bytes, onlyPart: end - start > REST_BYTES }
  try {
    return { ...rest, text: await http.rawText(log.stream.id, start, Math.min(end, start + REST_BYTES)) }
  } catch (error) {
    return { ...rest, error }
  }
}
