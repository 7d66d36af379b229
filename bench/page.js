// What measurements and tests ask of the page; to be there before the page's own scripts.
window.bench = (() => {
  const bench = { sockets: [], firstRowMs: null, jobsMs: null, wrong: [], painted: new Map(), shownAt: new Map() }
  const rows = () => [...document.querySelectorAll('.pane-rows > .row')]
  const loaded = (row) => !row.classList.contains('is-loading')
  const number = (row) => Number(row.querySelector('.row-number').textContent.replace(/\D/g, ''))
  const text = (row) => row.querySelector('.row-text').textContent
  const frame = () => new Promise((drawn) => requestAnimationFrame(drawn))
  // a task put in line within a frame runs after that frame is painted
  const afterPaint = () => new Promise((done) => setTimeout(done))
  const onRows = (look) => {
    const everything = { childList: true, subtree: true, characterData: true }
    new MutationObserver(look).observe(document.querySelector('.pane-rows'), everything)
    look()
  }

  const Native = window.WebSocket
  window.WebSocket = class extends Native {
    constructor(...given) {
      super(...given)
      bench.sockets.push(this)
    }
  }
  bench.cut = () => bench.sockets.forEach((socket) => socket.close())

  // milliseconds from the navigation to the first frame with a line in it
  const awaitFirst = async () => {
    if (!rows().some((row) => loaded(row) && text(row))) return requestAnimationFrame(awaitFirst)
    await afterPaint()
    bench.firstRowMs = performance.now()
  }
  requestAnimationFrame(awaitFirst)

  // every row that ever stands in the pane, and whether rows ever stood in another order than that of their numbers
  bench.record = () => onRows(() => {
    let before = 0
    for (const row of rows()) {
      const n = number(row)
      if (before && n !== before + 1) bench.wrong.push(`${n} after ${before}`)
      before = n
      if (!loaded(row)) continue
      if (bench.painted.has(n) && bench.painted.get(n) !== text(row)) bench.wrong.push(`${n}: ${text(row)}`)
      bench.painted.set(n, text(row))
    }
  })
  bench.recorded = () => [...bench.painted].sort(([a], [b]) => a - b).map(([, line]) => line)

  // from the first line to the last, a page at a time, as fast as they load; the number of the one that never did
  bench.walk = async () => {
    const press = (key) => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))
    const place = () => `${number(rows()[0])} ${number(rows().at(-1))}`
    press('Home')
    for (let before = ''; before !== place(); ) {
      await frame()
      await frame()
      for (let tries = 0; !rows().every(loaded); tries += 1) {
        if (tries > 1000) return number(rows().find((row) => !loaded(row)))
        await frame()
      }
      before = place()
      press('PageDown')
      await frame()
      await frame()
    }
    return null
  }

  // [milliseconds, text] from the jump to the frame that shows the line
  bench.jump = async (n) => {
    const input = document.querySelector('#jump-line')
    input.value = n
    const start = performance.now()
    input.form.requestSubmit()
    for (;;) {
      await frame()
      const row = rows().find((one) => loaded(one) && number(one) === n)
      if (!row) continue
      await afterPaint()
      return [performance.now() - start, text(row)]
    }
  }

  // longest time between two frames, tasks over 50 ms, most elements of the pane
  bench.watchFrames = () => {
    const seen = { frames: 0, longestMs: 0, over100: 0, longTasks: 0, longestTaskMs: 0, elements: 0 }
    let before = performance.now()
    let going = true
    const tick = () => {
      const now = performance.now()
      seen.frames += 1
      seen.longestMs = Math.max(seen.longestMs, now - before)
      seen.over100 += now - before > 100
      seen.elements = Math.max(seen.elements, document.querySelectorAll('.pane *').length)
      before = now
      if (going) requestAnimationFrame(tick)
    }
    const tasks = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        seen.longTasks += 1
        seen.longestTaskMs = Math.max(seen.longestTaskMs, duration)
      }
    })
    tasks.observe({ entryTypes: ['longtask'] })
    requestAnimationFrame((now) => {
      before = now
      requestAnimationFrame(tick)
    })
    bench.framesSeen = () => {
      going = false
      tasks.disconnect()
      return seen
    }
  }

  // when each line that begins with "mark" was painted, in milliseconds since the epoch
  bench.watchMarks = () => onRows(async () => {
    const fresh = rows().map(text).filter((line) => line.startsWith('mark') && !bench.shownAt.has(line))
    if (!fresh.length) return
    for (const line of fresh) bench.shownAt.set(line, 0)
    await afterPaint()
    for (const line of fresh) bench.shownAt.set(line, performance.timeOrigin + performance.now())
  })

  // a chart is built anew, until its pixels are there: the next of its lines is chosen, or all
  bench.drawChart = async () => {
    const { name } = performance.getEntriesByType('resource').find((one) => one.name.endsWith('/chart/chart-pane.js'))
    const { ChartPane } = await import(name)
    const { show } = ChartPane.prototype
    const names = [...document.querySelectorAll('.legend-name')]
    const all = document.querySelectorAll('.legend-name[aria-pressed="true"]').length === names.length - 1
    return new Promise((done) => {
      ChartPane.prototype.show = function shown(...given) {
        show.apply(this, given)
        ChartPane.prototype.show = show
        setTimeout(() => {
          for (const canvas of document.querySelectorAll('.chart canvas')) canvas.getContext('2d').getImageData(0, 0, 1, 1)
          done(null)
        })
      }
      const next = all ? document.querySelector('.legend-head .button-link') : names.find((one) => one.getAttribute('aria-pressed') !== 'true')
      next.click()
    })
  }

  // milliseconds from the navigation to the first frame with a hundred jobs in it
  const awaitJobs = async () => {
    if (document.querySelectorAll('tr[data-job]').length < 100) return requestAnimationFrame(awaitJobs)
    await afterPaint()
    bench.jobsMs = performance.now()
  }
  if (!location.hash.includes('job=')) requestAnimationFrame(awaitJobs)
  return bench
})()
