/** A task's files as a tree: kinds, and ranks where there are many. */

import { naturalOrder } from '../helpers/format.js'

export const KINDS = ['ordinary', 'proc', 'plog', 'device', 'mindspore', 'other']
export const ASCEND_KINDS = ['plog', 'device']
const GROUPED_FROM = 24 // files of a kind: beyond it they stand by rank
const SILENT_MS = 60_000

/** [{kind, files: [{path, streams}]}]: only kinds that there are; a file's streams are its generations, newest first. */
export function filesByKind(streams) {
  const kinds = new Map(KINDS.map((kind) => [kind, new Map()]))
  for (const stream of streams) {
    const files = kinds.get(stream.kind)
    if (!files.has(stream.path)) files.set(stream.path, [])
    files.get(stream.path).push(stream)
  }
  return [...kinds]
    .filter(([, files]) => files.size > 0)
    .map(([kind, files]) => ({
      kind,
      files: [...files].sort(([a], [b]) => naturalOrder(a, b)).map(([path, all]) => ({ path, streams: all.sort((a, b) => b.generation - a.generation) })),
    }))
}

/** Files of a kind by rank: one group with rank null where they are few, or of one rank. */
export function byRank(files) {
  const groups = new Map()
  for (const file of files) {
    const { rank } = file.streams[0]
    if (!groups.has(rank)) groups.set(rank, [])
    groups.get(rank).push(file)
  }
  if (files.length < GROUPED_FROM || groups.size === 1) return [{ rank: null, files }]
  return [...groups].sort(([a], [b]) => (a ?? Infinity) - (b ?? Infinity)).map(([rank, some]) => ({ rank, files: some }))
}

/** Files that have all these words in their path, rank or device. */
export function filterFiles(files, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  if (!words.length) return files
  return files.filter(({ path, streams: [{ rank, device }] }) => {
    const names = `${path.toLowerCase()} rank ${rank ?? ''} device ${device ?? ''}`
    const numbered = `rank_${rank} rank${rank} device-${device} device${device}`
    return words.every((word) => names.includes(word) || numbered.includes(word))
  })
}

/** {name: 'complete' | 'live' | 'silent', silentMs} */
export function stateOf({ sealed, last_chunk_at: at }, now) {
  if (sealed) return { name: 'complete', silentMs: 0 }
  const silentMs = at ? now - Date.parse(at) : 0
  return { name: silentMs < SILENT_MS ? 'live' : 'silent', silentMs }
}
