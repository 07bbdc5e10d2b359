/**
 * @module The policy that is shipped, as `init` writes it into a new log: policies/ of this package.
 */
import { readFileSync } from 'node:fs'
import { ServiceError } from '../errors.ts'
import { nativePrimitives } from '../crypto.ts'
import type { Policy } from './policy-pack.ts'

/**
 * Reads the shipped policy and its data.
 *
 * @throws {ServiceError} `policy_invalid` if a file is missing or the module is not the one its description names.
 */
export function readDefaultPolicy(): Policy {
  const wasm = read('gate.wasm')
  const described = JSON.parse(read('gate.wasm.json').toString()) as {
    readonly wasmSha256?: unknown
    readonly revision?: unknown
  }
  const hash = Buffer.from(nativePrimitives.sha256(wasm)).toString('hex')
  if (described.wasmSha256 !== hash || typeof described.revision !== 'string') {
    throw new ServiceError('policy_invalid', 'policies/gate.wasm is not what gate.wasm.json names')
  }
  return { wasm, data: read('data.json'), revision: described.revision }
}

function read(name: string): Buffer {
  try {
    // The same path from src/gate and from dist/gate.
    return readFileSync(new URL(`../../policies/${name}`, import.meta.url))
  } catch (error) {
    throw new ServiceError('policy_invalid', `policies/${name} cannot be read`, { cause: error })
  }
}
