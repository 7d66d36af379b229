/** Asking a service that may be busy with other searches. */

import { Backoff } from '../helpers/timing.js'

/** The answer, however often the service says "too many" before it; `onWait(true)` while that is so. */
export async function inTurn(ask, { signal, onWait }) {
  const backoff = new Backoff({ firstMs: 1000, longestMs: 8000 })
  for (;;) {
    try {
      const answer = await ask()
      onWait(false)
      return answer
    } catch (error) {
      if (error.status !== 429) throw error
      onWait(true)
      await pause(backoff.nextMs(), signal)
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const gone = () => {
      clearTimeout(timer)
      reject(new DOMException('nobody waits any more', 'AbortError'))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', gone)
      resolve()
    }, ms)
    if (signal.aborted) gone()
    else signal.addEventListener('abort', gone, { once: true })
  })
}
