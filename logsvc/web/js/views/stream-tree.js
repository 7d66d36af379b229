/** A task's log files by kind: sizes, states, generations. */

import { baseName, formatBytes } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { html } from './html.js'
import { follow } from './top-bar.js'
import { kindWord } from './words.js'

export function StreamTree({ job, stream, task, reader, onTask }) {
  const tree = job.tree(task)
  return html`<nav class="tree" aria-label=${t('job.files')}>
    <label class="tree-task">
      <span>${t('job.task')}</span>
      <select class="select" value=${task} onChange=${(event) => onTask(event.target.value)}>
        ${job.tasks.map((name) => html`<option value=${name} key=${name}>${name}</option>`)}
      </select>
    </label>
    ${tree.length === 0 && html`<p class="tree-none">${t('job.noTaskStreams')}</p>`}
    ${tree.map(
      ({ kind, files }) => html`<section key=${kind}>
        <h2 class="tree-kind">${kindWord(kind)}${files.length > 1 && html`<span class="tree-many">${files.length}</span>`}</h2>
        <ul>
          ${files.map((file) => html`<${File} ranked=${hasRanks(files)} file=${file} stream=${stream} job=${job} reader=${reader} key=${file.path} />`)}
        </ul>
      </section>`,
    )}
  </nav>`
}

function File({ file, ranked, stream, job, reader }) {
  const newest = file.streams[0]
  const generations = file.streams.length > 1
  const shown = file.streams.find(({ id }) => id === stream?.id)
  return html`<li>
    <${Entry} stream=${newest} current=${shown?.id === newest.id} label=${fileLabel(newest, ranked)} job=${job} reader=${reader} />
    ${generations &&
    html`<div class="tree-generations" title=${t('job.generationHelp')}>
      ${file.streams.map((one) => html`<${Generation} stream=${one} current=${one.id === stream?.id} job=${job} reader=${reader} key=${one.id} />`)}
    </div>`}
  </li>`
}

function Entry({ stream, current, label, job, reader }) {
  const place = job.startOf(stream)
  return html`<a
    class="tree-file ${current ? 'is-open' : ''}"
    href=${reader.href(reader.active, place)}
    title=${stream.path}
    aria-current=${current ? 'page' : null}
    onClick=${(event) => follow(event, () => reader.go(reader.active, place))}
  >
    <span class="tree-dot ${stream.sealed ? '' : 'is-live'}" title=${stream.sealed ? t('job.sealed') : t('job.live')}></span>
    <span class="tree-name">${label}</span>
    <span class="tree-size">${formatBytes(stream.size_bytes, currentLanguage())}</span>
  </a>`
}

function Generation({ stream, current, job, reader }) {
  const place = job.startOf(stream)
  return html`<a
    class="tree-generation ${current ? 'is-open' : ''}"
    href=${reader.href(reader.active, place)}
    aria-label=${t('job.generation', { generation: stream.generation })}
    onClick=${(event) => follow(event, () => reader.go(reader.active, place))}
    >${stream.generation}</a
  >`
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
