/** What every model does: say that it changed. */

export class Model extends EventTarget {
  changed() {
    this.dispatchEvent(new Event('change'))
  }
}

/** True for the error of a request that was given up on purpose. */
export function wasAborted(error) {
  return error?.name === 'AbortError'
}
