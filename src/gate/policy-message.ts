/**
 * @module What goes between the host and a policy's worker. Inputs go over as one block of bytes for a batch, which is
 * copied: at this length to hand over its memory costs more. Verdicts come back as texts (see verdict-text.ts).
 *
 *     input    length u32 ‖ bytes
 *     verdict  JSON of [[effect, reasons, matched, obligations], reproducible]
 *
 * Imports nothing that runs: the policy's worker loads it.
 */
import type { Verdict } from './reasons.ts'

const HEAD_BYTES = 4

/** Packs inputs into a block of their own. */
export function packInputs(inputs: readonly Uint8Array[]): Uint8Array {
  const block = new Uint8Array(inputs.reduce((sum, { length }) => sum + HEAD_BYTES + length, 0))
  const view = new DataView(block.buffer)
  let at = 0
  for (const input of inputs) {
    view.setUint32(at, input.length)
    block.set(input, at + HEAD_BYTES)
    at += HEAD_BYTES + input.length
  }
  return block
}

/** Takes a block apart. What it returns are views of it. */
export function unpackInputs(block: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  const inputs: Uint8Array[] = []
  for (let at = 0; at < block.length; ) {
    const start = at + HEAD_BYTES
    at = start + view.getUint32(at)
    inputs.push(block.subarray(start, at))
  }
  return inputs
}

/** Writes a verdict as text. */
export function writeVerdict(verdict: Verdict): string {
  const { effect, reasons, matched, obligations, reproducible } = verdict
  return JSON.stringify([[effect, reasons, matched, obligations], reproducible])
}
