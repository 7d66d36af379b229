/** The table of jobs: it grows while it is scrolled, and what the reader looks at stays where it is. */

import { t } from '../i18n/index.js'
import { chosenColumns } from '../models/job-columns.js'
import { Findings } from './findings.js'
import { Component, html, useEffect, useLayoutEffect, useRef, useState } from './html.js'
import { JobCell } from './job-cells.js'
import { Icon } from './parts.js'
import { columnWord } from './words.js'

const CLOCK_MS = 15_000 // how often "3 min ago" is said anew

export function JobTable({ jobs, settings }) {
  const scroll = useRef(null)
  const end = useRef(null)
  const endInView = useRef(false)
  const [open, setOpen] = useState(() => new Set())
  const now = useNow()
  const columns = chosenColumns(settings.get('jobColumns'))
  const held = topRow(scroll.current)

  useLayoutEffect(() => {
    scroll.current.scrollTop = jobs.scrollTop
  }, [jobs.shown])
  useLayoutEffect(() => holdRow(scroll.current, held), [jobs.jobs])
  useLayoutEffect(() => {
    const seen = new IntersectionObserver(
      ([entry]) => {
        endInView.current = entry.isIntersecting
        if (entry.isIntersecting) jobs.more()
      },
      { root: scroll.current, rootMargin: '400px' },
    )
    seen.observe(end.current)
    return () => seen.disconnect()
  }, [])
  useEffect(() => {
    if (endInView.current && !jobs.error) jobs.more() // what was asked for before was in the way
  }, [jobs.jobs, jobs.loading])
  useEffect(() => listenKeys(scroll), [])

  const toggle = (id) => {
    const others = new Set(open)
    if (!others.delete(id)) others.add(id)
    setOpen(others)
  }
  return html`<div
    class="jobs-scroll"
    ref=${scroll}
    onScroll=${(event) => {
      jobs.scrollTop = event.currentTarget.scrollTop
    }}
  >
    <table class="jobs-table">
      <thead>
        <tr>
          ${columns.map((column) => html`<${Heading} column=${column} jobs=${jobs} key=${column.name} />`)}
        </tr>
      </thead>
      <tbody>
        ${jobs.jobs.map((job) => html`<${Row} job=${job} columns=${columns} now=${now} open=${open.has(job.id)} address=${jobs.address} onToggle=${toggle} key=${job.id} />`)}
      </tbody>
    </table>
    <p class="jobs-more" ref=${end}>${jobs.next && html`<button type="button" class="button" onClick=${() => jobs.more()}>${t('jobs.more')}</button>`}</p>
  </div>`
}

function Heading({ column, jobs }) {
  const { by, descending } = jobs.order
  const { name, sort, number } = column
  const sorted = sort && by === sort
  const word = columnWord(name)
  return html`<th scope="col" class="jobs-${name} ${number ? 'is-number' : ''}" aria-sort=${sorted ? (descending ? 'descending' : 'ascending') : null}>
    ${sort ? html`<button type="button" class="jobs-sort" onClick=${() => jobs.sortBy(sort)}>${word}${sorted && html`<${Icon} name=${descending ? 'down' : 'up'} />`}</button>` : word}
  </th>`
}

/** Drawn again only where its job, the columns, the minute or the words are others. */
class Row extends Component {
  shouldComponentUpdate(next) {
    const same = ['job', 'now', 'open'].every((name) => next[name] === this.props[name])
    const columns = next.columns.map(({ name }) => `${name} ${columnWord(name)}`).join()
    const redraw = !same || columns !== this.columns
    this.columns = columns
    return redraw
  }

  render({ job, columns, now, open, address, onToggle }) {
    const go = () => address.go({ job: job.id })
    const clicked = (event) => !event.target.closest('a, button') && document.getSelection().isCollapsed && go()
    const row = html`<tr data-job=${job.id} onClick=${clicked}>
      ${columns.map((column) => html`<${JobCell} column=${column} job=${job} now=${now} open=${open} href=${address.href({ job: job.id })} onOpen=${go} onToggle=${() => onToggle(job.id)} key=${column.name} />`)}
    </tr>`
    if (!open || !job.findings?.length) return row
    return html`${row}<tr class="jobs-findings" key="findings"><td colspan=${columns.length}><${Findings} job=${job} now=${now} /></td></tr>`
  }
}

/** The present, by steps. */
function useNow() {
  const [now, setNow] = useState(() => Date.now())
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), CLOCK_MS)
    return () => clearInterval(timer)
  }, [])
  return now
}

/** The row to keep in place: the focused one, or where the pointer is, or the first on screen; none at the very top. */
function topRow(scroll) {
  if (!scroll) return null
  const top = scroll.getBoundingClientRect().top
  const focused = scroll.querySelector('tr:focus-within[data-job], tr:hover[data-job]')
  if (!focused && scroll.scrollTop === 0) return null
  const row = focused ?? [...scroll.querySelectorAll('tr[data-job]')].find((one) => one.getBoundingClientRect().bottom > top + 40)
  return row && { row, top: row.getBoundingClientRect().top }
}

function holdRow(scroll, anchor) {
  if (!anchor?.row.isConnected) return
  scroll.scrollTop += anchor.row.getBoundingClientRect().top - anchor.top
}

/** Up and down go from job to job, Enter opens (it is a link). */
function listenKeys(scroll) {
  const move = (step) => {
    const links = [...scroll.current.querySelectorAll('.jobs-name a')]
    const at = links.indexOf(document.activeElement)
    const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.max(0, Math.min(links.length - 1, at + step))]
    next?.focus({ preventScroll: true })
    next?.closest('tr').scrollIntoView({ block: 'nearest' })
  }
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    j: () => move(1),
    k: () => move(-1),
  }
  const pressed = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open], details.menu[open]')) return
    if (event.target instanceof Element && event.target.closest('select, textarea, input')) {
      if (event.key !== 'ArrowDown' || event.target.id !== 'jobs-find') return
    }
    if (!Object.hasOwn(keys, event.key)) return
    event.preventDefault()
    keys[event.key]()
  }
  document.addEventListener('keydown', pressed)
  return () => document.removeEventListener('keydown', pressed)
}
