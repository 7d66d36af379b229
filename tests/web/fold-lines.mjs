// Lines on stdin, each as a JSON string; what a row shows of each on stdout, likewise. LOGSVC_WEB is the file: URL of logsvc/web.
import { createInterface } from 'node:readline'

const { foldLine } = await import(`${process.env.LOGSVC_WEB}/js/helpers/folding.js`)

for await (const line of createInterface({ input: process.stdin })) {
  const { pieces } = foldLine(JSON.parse(line))
  process.stdout.write(`${JSON.stringify(pieces.map(({ text }) => text).join(''))}\n`)
}
