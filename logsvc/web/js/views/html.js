/** htm and Preact, and how a component follows a model. */

import { Component, html, render, useEffect, useLayoutEffect, useRef, useState } from '../../vendor/htm/preact/standalone.module.js'

export { Component, html, render, useEffect, useLayoutEffect, useRef, useState }

/** Draws the component again when one of the models changes, at most once a frame. */
export function useChanges(...models) {
  const [, redraw] = useState(0)
  useEffect(() => {
    let frame = null
    const soon = () => {
      frame ??= requestAnimationFrame(() => {
        frame = null
        redraw((count) => count + 1)
      })
    }
    for (const model of models) model?.addEventListener('change', soon)
    soon() // it may have changed between drawing and now
    return () => {
      cancelAnimationFrame(frame)
      for (const model of models) model?.removeEventListener('change', soon)
    }
  }, models)
}
