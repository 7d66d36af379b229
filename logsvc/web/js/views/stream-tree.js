/** A task's log files by kind: sizes, states, generations; each opens here or beside. */

import { baseName, formatBytes, formatSecond, formatSpan } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { MOST_PANES } from '../models/address.js'
import { byRank, filterFiles, stateOf } from '../models/file-tree.js'
import { html, useState } from './html.js'
import { MissingLogs } from './missing-logs.js'
import { Icon } from './parts.js'
import { follow } from './top-bar.js'
import { kindWord } from './words.js'

const FILTERED_FROM = 15 // files of a task
const MOST_SHOWN = 60 // of a group, before "more"

export function StreamTree({ job, reader, task, onTask }) {
  const [filter, setFilter] = useState('')
  const tree = job.tree(task)
  const count = tree.reduce((sum, { files }) => sum + files.length, 0)
  const found = tree.map(({ kind, files }) => ({ kind, all: files.length, files: filterFiles(files, filter) })).filter(({ files }) => files.length)
  return html`<nav class="tree" aria-label=${t('job.files')}>
    <label class="tree-task">
      <span>${t('job.task')}</span>
      <select class="select" id="task" value=${task} onChange=${(event) => onTask(event.target.value)}>
        ${job.tasks.map((name) => html`<option value=${name} key=${name}>${name}</option>`)}
      </select>
    </label>
    ${job.tasks.length > 1 && html`<${CompareTasks} job=${job} reader=${reader} task=${task} />`}
    ${count >= FILTERED_FROM && html`<input class="input tree-filter" type="search" placeholder=${t('job.filterFiles', { count })} aria-label=${t('job.filterFiles', { count })} value=${filter} onInput=${(event) => setFilter(event.target.value)} />`}
    ${tree.length === 0 && html`<p class="tree-none">${t('job.noTaskStreams')}</p>`}
    ${tree.length > 0 && found.length === 0 && html`<p class="tree-none">${t('job.noFileFound')}</p>`}
    ${found.map(({ kind, all, files }) => html`<${Kind} kind=${kind} all=${all} files=${files} filtered=${filter !== ''} job=${job} reader=${reader} key=${kind} />`)}
    ${!filter && html`<${MissingLogs} kinds=${job.missing(task)} job=${job.job} />`}
  </nav>`
}

/** The tasks' own logs side by side, from the one on screen on. */
function CompareTasks({ job, reader, task }) {
  const from = Math.max(0, Math.min(job.tasks.indexOf(task), job.tasks.length - MOST_PANES))
  const streams = job.tasks.slice(from, from + MOST_PANES).map((name) => job.ownLog(name)).filter(Boolean)
  if (streams.length < 2) return null
  const words = job.tasks.length > MOST_PANES ? t('job.compareSome', { first: streams[0].task, last: streams.at(-1).task }) : t('job.compareAll', { count: streams.length })
  return html`<button type="button" class="button tree-compare" onClick=${() => reader.compare(streams)}><${Icon} name="beside" />${words}</button>`
}

function Kind({ kind, all, files, filtered, job, reader }) {
  const [closed, setClosed] = useState(false)
  const groups = byRank(files)
  const open = filtered || !closed
  return html`<section class="tree-section">
    <h2 class="tree-kind">
      <button type="button" class="tree-fold" aria-expanded=${open ? 'true' : 'false'} onClick=${() => setClosed(open)}>
        <${Icon} name=${open ? 'down' : 'right'} />${kindWord(kind)}${all > 1 && html`<span class="tree-many">${files.length < all ? `${files.length} / ${all}` : all}</span>`}
      </button>
    </h2>
    ${open &&
    groups.map(({ rank, files: some }) =>
      groups.length > 1
        ? html`<${Rank} rank=${rank} files=${some} filtered=${filtered} job=${job} reader=${reader} key=${rank} />`
        : html`<${Files} files=${some} ranked=${hasRanks(some)} job=${job} reader=${reader} key="all" />`,
    )}
  </section>`
}

/** The files of one rank; closed unless one of them is shown. */
function Rank({ rank, files, filtered, job, reader }) {
  const [chosen, setChosen] = useState(null)
  const shown = files.some(({ streams }) => streams.some(({ id }) => id === reader.active?.stream?.id))
  const open = filtered || (chosen ?? shown)
  return html`<div class="tree-rank">
    <button type="button" class="tree-fold" aria-expanded=${open ? 'true' : 'false'} onClick=${() => setChosen(!open)}>
      <${Icon} name=${open ? 'down' : 'right'} />${rank == null ? t('job.noRank') : t('job.rank', { rank })}<span class="tree-many">${files.length}</span>
    </button>
    ${open && html`<${Files} files=${files} ranked=${false} job=${job} reader=${reader} />`}
  </div>`
}

function Files({ files, ranked, job, reader }) {
  const [most, setMost] = useState(MOST_SHOWN)
  const hidden = files.length - most
  return html`<ul>
    ${files.slice(0, most).map((file) => html`<${File} ranked=${ranked} file=${file} job=${job} reader=${reader} key=${file.path} />`)}
    ${hidden > 0 && html`<li><button type="button" class="tree-more" onClick=${() => setMost(most + 10 * MOST_SHOWN)}>${t('job.moreFiles', { count: hidden })}</button></li>`}
  </ul>`
}

function File({ file, ranked, job, reader }) {
  const [newest] = file.streams
  const state = stateOf(newest, Date.now())
  const label = fileLabel(newest, ranked)
  const words = stateWords(state)
  const place = job.startOf(newest)
  return html`<li>
    <div class="tree-file ${openClass(file.streams.slice(0, 1), reader)}">
      <a class="tree-link" href=${reader.href(reader.active, place)} title=${newest.path} aria-current=${isActive(newest, reader) ? 'page' : null} onClick=${(event) => follow(event, () => reader.go(reader.active, place))}>
        <span class="tree-dot is-${state.name}" title=${words}></span>
        <span class="tree-name">${label}<span class="sr-only">, ${words}</span></span>
        ${state.name === 'silent' && html`<span class="tree-state" title=${words} aria-hidden="true">${spanOf(state)}</span>`}
        <span class="tree-size" title=${newest.last_chunk_at && t('job.lastBytes', { time: formatSecond(newest.last_chunk_at) })}>${formatBytes(newest.size_bytes, currentLanguage())}</span>
      </a>
      <button type="button" class="tree-beside" disabled=${!reader.canOpenBeside} aria-label=${t('job.openBeside', { name: label })} title=${reader.canOpenBeside ? t('job.openBeside', { name: label }) : t('job.panesFull', { count: MOST_PANES })} onClick=${() => reader.openBeside(place)}>
        <${Icon} name="beside" />
      </button>
    </div>
    ${file.streams.length > 1 &&
    html`<div class="tree-generations" title=${t('job.generationHelp')}>
      ${file.streams.map((one) => html`<${Generation} stream=${one} job=${job} reader=${reader} key=${one.id} />`)}
    </div>`}
  </li>`
}

function Generation({ stream, job, reader }) {
  const place = job.startOf(stream)
  return html`<a
    class="tree-generation ${openClass([stream], reader)}"
    href=${reader.href(reader.active, place)}
    aria-label=${t('job.generation', { generation: stream.generation })}
    onClick=${(event) => follow(event, () => reader.go(reader.active, place))}
    >${stream.generation}</a
  >`
}

function isActive(stream, reader) {
  return stream.id === reader.active?.stream?.id
}

/** Whether one of them is in the active pane, or in another. */
function openClass(streams, reader) {
  if (streams.some((stream) => isActive(stream, reader))) return 'is-open'
  return streams.some(({ id }) => reader.panes.some(({ stream }) => stream?.id === id)) ? 'is-beside' : ''
}

function stateWords(state) {
  if (state.name === 'complete') return t('job.sealed')
  return state.name === 'live' ? t('job.live') : t('job.silent', { span: spanOf(state) })
}

function spanOf({ silentMs }) {
  return formatSpan(silentMs, currentLanguage())
}

/** Whether ranks tell the files apart. */
function hasRanks(files) {
  return new Set(files.map(({ streams }) => streams[0].rank)).size > 1
}

/** What tells a file from its neighbours: the job's id stands in every name and is left out. */
export function fileLabel(stream, ranked = true) {
  const { kind, rank, device, path } = stream
  if (kind === 'ordinary') return `${stream.task}.log`
  if (kind === 'proc') return `${t('job.rank', { rank })} · ${t('job.device', { device })}`
  const place = kind === 'device' && device != null ? [t('job.device', { device })] : []
  if (ranked && rank != null) place.unshift(t('job.rank', { rank }))
  const name = kind === 'other' ? path.split(`/other/${stream.task}/`)[1] : kind === 'mindspore' ? path.split('/mindspore/')[1] : baseName(path)
  return [...place, name ?? baseName(path)].join(' · ')
}
