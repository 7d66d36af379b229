/** Which files to download: a job's tasks and their files, with sizes and their sum. */

import { formatBytes } from '../helpers/format.js'
import { currentLanguage, t } from '../i18n/index.js'
import { DownloadChoice } from '../models/download-choice.js'
import { Dialog } from './help.js'
import { html, useChanges, useState } from './html.js'
import { fileLabel } from './stream-tree.js'

export function Download({ job, http }) {
  const [choice, setChoice] = useState(null)
  return html`
    <button type="button" class="button job-download" onClick=${() => setChoice(new DownloadChoice(job))}>${t('download.open')}</button>
    ${choice && html`<${DownloadDialog} choice=${choice} http=${http} onClose=${() => setChoice(null)} />`}
  `
}

function DownloadDialog({ choice, http, onClose }) {
  useChanges(choice, choice.job)
  const { tasks, single } = choice
  const [opened, setOpened] = useState(tasks.length === 1 ? tasks[0].task : null)
  const sum = choice.sum()
  const href = single ? http.saveUrl(single.id) : http.downloadUrl(choice.job.id, choice.query)
  return html`<${Dialog} title=${t('download.title')} onClose=${onClose}>
    <div class="download">
      <label class="download-all check"><${Box} sum=${sum} onChoose=${(yes) => choice.chooseAll(yes)} />${t('download.all')}</label>
      <ul class="download-tasks">
        ${tasks.map(({ task, streams }) => html`<${Task} task=${task} streams=${streams} choice=${choice} open=${opened === task} onOpen=${() => setOpened(opened === task ? null : task)} key=${task} />`)}
      </ul>
    </div>
    <p class="download-sum" role="status">${sum.count ? t('download.sum', { count: sum.count, size: formatBytes(sum.bytes, currentLanguage()) }) : t('download.none')}</p>
    <p class="download-how">${single ? t('download.howOne') : t('download.how')}</p>
    <p class="dialog-actions">
      ${sum.count
        ? html`<a class="button button-main" href=${href} onClick=${(event) => event.target.closest('dialog').close()}>${t('download.start')}</a>`
        : html`<button type="button" class="button button-main" disabled>${t('download.start')}</button>`}
    </p>
  <//>`
}

function Task({ task, streams, choice, open, onOpen }) {
  const sum = choice.sum(streams)
  return html`<li>
    <div class="download-row">
      <label class="check"><${Box} sum=${sum} onChoose=${(yes) => choice.choose(streams, yes)} />${task}</label>
      <button type="button" class="button toggle download-files" aria-expanded=${open ? 'true' : 'false'} onClick=${onOpen}>
        ${sum.count === sum.of ? t('download.files', { count: sum.of }) : t('download.someFiles', { chosen: sum.count, count: sum.of })}
      </button>
      <span class="download-size">${formatBytes(sizeOf(streams), currentLanguage())}</span>
    </div>
    ${open && html`<ul class="download-streams">${streams.map((stream) => html`<${File} stream=${stream} choice=${choice} key=${stream.id} />`)}</ul>`}
  </li>`
}

function File({ stream, choice }) {
  const generation = stream.generation > 0 ? ` · ${t('job.generation', { generation: stream.generation })}` : ''
  return html`<li class="download-row">
    <label class="check" title=${stream.path}>
      <input type="checkbox" checked=${choice.isChosen(stream)} onChange=${(event) => choice.choose([stream], event.target.checked)} />
      <span class="download-name">${fileLabel(stream)}${generation}</span>
    </label>
    <span class="download-size">${formatBytes(stream.size_bytes, currentLanguage())}</span>
  </li>`
}

/** Checked, unchecked, or in between where only some are chosen. */
function Box({ sum, onChoose }) {
  const all = sum.count === sum.of
  return html`<input type="checkbox" checked=${all} indeterminate=${sum.count > 0 && !all} onChange=${() => onChoose(!all)} />`
}

function sizeOf(streams) {
  return streams.reduce((sum, { size_bytes: size }) => sum + size, 0)
}
