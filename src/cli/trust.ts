/**
 * @module `trustwarden trust show`: prints the trust anchor of a log, from its directory or out of an anchor string.
 */
import { readFileSync } from 'node:fs'
import { formatVkey, parseTrustAnchor, toHex } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { anchorPath, DirectoryError } from '../directory.ts'
import { type Command, readCall, UsageError } from './command.ts'

/** See the module. */
export const trust: Command = {
  usage: 'trust show (--data DIR | ANCHOR) [--json]',
  summary: 'print the trust anchor of a log, or what an anchor string says',
  run: (args, io) => {
    const call = readCall(args, { values: ['data'], switches: ['json'], operands: [1, 2] })
    const [verb, given] = call.operands
    if (verb !== 'show') throw new UsageError('only "trust show" is known')
    if (given !== undefined && call.optional('data') !== undefined)
      throw new UsageError('--data and an anchor are both given: one is needed')
    const anchor = given ?? readAnchor(call.required('data'))
    const parsed = parseTrustAnchor(nativePrimitives, anchor)
    const parts = {
      anchor,
      origin: parsed.key.name,
      log_key: formatVkey(parsed.key),
      genesis: toHex(parsed.genesisHash),
      bundle: toHex(parsed.bundleHash),
    }
    if (call.has('json')) io.out(`${JSON.stringify(parts)}\n`)
    else if (given === undefined) io.out(`${anchor}\n`)
    else
      io.out(
        `origin   ${parts.origin}\nlog key  ${parts.log_key}\ngenesis  ${parts.genesis}  (leaf hash)\n` +
          `roots    ${parts.bundle}  (hash of the root certificates)\n`,
      )
    return Promise.resolve(0)
  },
}

function readAnchor(data: string): string {
  const path = anchorPath(data)
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new DirectoryError(`there is no ${path}: ${data} holds no log that init finished`, {
      cause: error,
    })
  }
}
