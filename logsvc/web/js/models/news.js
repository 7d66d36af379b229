/** What has come in a log since somebody was last told: for those who hear the page. */

export class News {
  constructor(log) {
    this.log = log
    this.forget()
  }

  /** Whatever is there now is known. */
  forget() {
    this.lines = this.log.lines
    this.told = this.log.ready ? this.log.count : null
  }

  /** {lines, errors} since the last time; null where nothing came. Errors count where their lines are loaded. */
  take() {
    const { told, log } = this
    const lines = log.count - told
    const comparable = told !== null && this.lines === log.lines
    this.forget()
    if (!comparable || lines <= 0) return null
    let errors = 0
    for (let row = told; row < log.count; row += 1) if (log.lineAt(row)?.level === 'error') errors += 1
    return { lines, errors }
  }
}
