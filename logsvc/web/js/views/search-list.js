/** Hits by job and log; only those on screen are elements. */

import { baseName } from '../helpers/format.js'
import { t } from '../i18n/index.js'
import { html, useChanges, useEffect, useLayoutEffect, useRef, useState } from './html.js'
import { Icon } from './parts.js'
import { layout, visible } from './search-rows.js'
import { kindWord } from './words.js'

const AROUND_PX = 200 // drawn above and below what is on screen
const PAGE_ROWS = 10

export function HitList({ hits }) {
  const view = useRef(null)
  const [place, setPlace] = useState({ top: 0, height: 400 })
  const [active, setActive] = useState(null)
  const { jobs } = hits.groups
  const rows = layout(jobs, { byJob: hits.scope === 'all', context: hits.address.place.context })
  const shown = visible(rows, place.top - AROUND_PX, place.top + place.height + AROUND_PX)
  const at = rows.findIndex(({ key }) => key === active)

  useEffect(() => {
    const sizes = new ResizeObserver(() => setPlace({ top: view.current.scrollTop, height: view.current.clientHeight }))
    sizes.observe(view.current)
    return () => sizes.disconnect()
  }, [])
  useEffect(() => {
    for (const { type, group } of shown) if (type === 'rest') hits.need(group)
  })
  useAnchor(view, rows)
  const { current } = hits
  const here = current && rows.find(({ type, group, hit }) => type === 'hit' && hit.n === current.n && group.stream === current.stream)
  useEffect(() => {
    if (here) reveal(view.current, here)
  }, [here?.key])

  const move = (index) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, index))]
    if (!row) return
    setActive(row.key)
    reveal(view.current, row)
  }
  const act = (row) => {
    setActive(row.key)
    if (row.type === 'hit') hits.open(row.hit)
    else if (isHead(row)) hits.toggle(row.group)
  }
  const fold = (open) => {
    const row = rows[at]
    if (row && isHead(row)) return row.group.open !== open && hits.toggle(row.group)
    if (row && !open) return setActive(rows.findLast(({ type, group }, index) => index < at && type === 'log' && group === row.group).key)
    return undefined
  }
  const keys = {
    ArrowDown: () => move(nextRow(rows, at, +1)),
    ArrowUp: () => move(nextRow(rows, at, -1)),
    PageDown: () => move(at + PAGE_ROWS),
    PageUp: () => move(at - PAGE_ROWS),
    Home: () => move(0),
    End: () => move(rows.length - 1),
    ArrowRight: () => fold(true),
    ArrowLeft: () => fold(false),
    Enter: () => rows[at] && act(rows[at]),
    Escape: () => hits.reader.active?.view?.focus(),
  }
  const pressed = (event) => {
    const action = !event.ctrlKey && !event.metaKey && !event.altKey && Object.hasOwn(keys, event.key) && keys[event.key]
    if (!action) return
    event.preventDefault()
    event.stopPropagation()
    action()
  }
  const total = rows.length ? rows.at(-1).top + rows.at(-1).height : 0
  return html`<div
    class="hits-list"
    role="tree"
    tabindex="0"
    aria-label=${t('search.listLabel')}
    aria-activedescendant=${shown.some(({ key }) => key === active) ? rowId(active) : null}
    ref=${view}
    onScroll=${() => setPlace({ top: view.current.scrollTop, height: view.current.clientHeight })}
    onKeyDown=${pressed}
  >
    <div class="hits-all" role="none" style=${{ height: `${total}px` }}>
      ${shown.map((row) => html`<${Row} row=${row} hits=${hits} active=${row.key === active} onAct=${() => act(row)} key=${row.key} />`)}
    </div>
  </div>`
}

function Row({ row, hits, active, onAct }) {
  const { type, group } = row
  const current = type === 'hit' && hits.current?.stream === group.stream && hits.current.n === row.hit.n
  const level = { job: 1, log: row.nested ? 2 : 1 }[type] ?? (row.nested ? 3 : 2)
  return html`<div
    class="hits-row is-${type} ${row.nested ? 'is-nested' : ''} ${active ? 'is-active' : ''} ${current ? 'is-current' : ''}"
    style=${{ transform: `translateY(${row.top}px)`, height: `${row.height}px` }}
    id=${rowId(row.key)}
    role="treeitem"
    aria-level=${level}
    aria-selected=${active ? 'true' : 'false'}
    aria-expanded=${isHead(row) ? String(group.open) : null}
    onClick=${onAct}
  >
    ${rowContent(row, hits)}
  </div>`
}

function rowContent({ type, group, hit }, hits) {
  if (type === 'job') return html`<${JobRow} job=${group} hits=${hits} />`
  if (type === 'log') return html`<${LogRow} group=${group} />`
  if (type === 'hit') return html`<${Hit} hit=${hit} />`
  if (type === 'rest') return html`<${Rest} group=${group} hits=${hits} />`
  return html`<span class="hits-rest">${t('search.listCut')}</span>`
}

function JobRow({ job, hits }) {
  useChanges(hits.jobNames)
  const name = hits.jobNames.get(job.id)
  const total = job.groups.reduce((sum, group) => sum + (group.total ?? group.hits.length), 0)
  return html`<${Fold} open=${job.open} />
    <strong class="hits-name">${name || job.id}</strong>
    ${name && html`<span class="hits-path">${job.id}</span>`}
    <span class="hits-total">${t('search.total', { count: total })}</span>`
}

function LogRow({ group }) {
  const { kind, task, path, generation, total, hits } = group
  return html`<${Fold} open=${group.open} />
    <span class="hits-task">${task}</span>
    <span class="hits-kind">${kindWord(kind)}</span>
    <span class="hits-path" title=${path}>${kind === 'ordinary' ? '' : baseName(path)}</span>
    ${generation > 0 && html`<span class="hits-kind">${t('job.generation', { generation })}</span>`}
    <span class="hits-total">${total === null ? t('search.atLeast', { count: hits.length }) : t('search.total', { count: total })}</span>`
}

function Fold({ open }) {
  return html`<span class="hits-fold ${open ? 'is-open' : ''}"><${Icon} name="down" /></span>`
}

function Hit({ hit }) {
  return html`${hit.before.map((line) => html`<${Line} line=${line} key=${line.n} />`)}
    <${Line} line=${hit} match />
    ${hit.after.map((line) => html`<${Line} line=${line} key=${line.n} />`)}`
}

function Line({ line, match = false }) {
  return html`<span class="hits-line ${match ? 'is-match' : ''} ${line.level ? `is-${line.level}` : ''} ${line.system ? 'is-system' : ''}">
    <span class="hits-number">${line.n}</span>
    <span class="hits-text">${line.pieces.map(({ text, hit }) => (hit ? html`<mark>${text}</mark>` : text))}</span>
  </span>`
}

function Rest({ group, hits }) {
  if (!group.error) return html`<span class="hits-rest">${t('app.loading')}</span>`
  return html`<span class="hits-rest is-wrong">${t('search.failed', { message: group.error.message })} <button type="button" class="button-link" onClick=${() => hits.retry()}>${t('app.retry')}</button></span>`
}

function isHead({ type }) {
  return type === 'job' || type === 'log'
}

/** Over a row that is not loaded yet the keys go on. */
function nextRow(rows, at, direction) {
  let index = at + direction
  while (rows[index]?.type === 'rest' && rows[index + direction]) index += direction
  return index
}

function reveal(view, { top, height }) {
  if (top < view.scrollTop) view.scrollTop = top
  else if (top + height > view.scrollTop + view.clientHeight) view.scrollTop = top + height - view.clientHeight
}

/** What comes in above what is being read moves nothing. */
function useAnchor(view, rows) {
  const anchor = useRef(null)
  useLayoutEffect(() => {
    const { scrollTop } = view.current
    const held = anchor.current && scrollTop > 0 && rows.find(({ key }) => key === anchor.current.key)
    if (held && held.top !== anchor.current.top) view.current.scrollTop += held.top - anchor.current.top
    const first = visible(rows, view.current.scrollTop, view.current.scrollTop + 1)[0]
    anchor.current = first ? { key: first.key, top: first.top } : null
  })
}

function rowId(key) {
  return `hits-${key}`
}
