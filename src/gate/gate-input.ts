/**
 * @module What a policy is asked about: bytes that are the one canonical form of their value (FORMAT §1.2), and whether
 * they are within the gate's limits. A guest's own parser takes text that others refuse, and takes none at all for no
 * input, which a policy with a negative condition may allow: so nothing but this reaches one.
 */
import { canonicalJson, jsonObject, policyInput, ProofError } from '@trustwarden/proofs'
import type { JsonValue, PolicyInput } from '@trustwarden/proofs'
import type { GateReasonCode } from './reasons.ts'

/** Longest input, in bytes. */
export const INPUT_BYTES_MAX = 65_536
/** Most links of a chain, from root to self (FORMAT §1.4). */
export const CHAIN_LINKS_MAX = 9
/** Most grants of one link (FORMAT §1.4). */
export const LINK_GRANTS_MAX = 64

/** Why no policy is asked. */
export type InputFault = Extract<GateReasonCode, 'gate_input_malformed' | 'gate_input_limit'>

/** An input that was written here, or read and checked. Its bytes never change: whoever hashes them hashes what is asked. */
export class GateInput {
  readonly #bytes: Uint8Array
  /** Why it is denied unasked, or undefined. */
  readonly fault: InputFault | undefined

  private constructor(bytes: Uint8Array, fault: InputFault | undefined) {
    this.#bytes = bytes
    this.fault = fault
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Writes the document of one request. @throws {ProofError} as `policyInput` */
  static write(input: PolicyInput): GateInput {
    const bytes = policyInput(input)
    const isOverLimit = bytes.length > INPUT_BYTES_MAX || isChainOverLimit(input.chain)
    return new GateInput(bytes, isOverLimit ? 'gate_input_limit' : undefined)
  }

  /** Reads an input that others wrote: canonical JSON of one object, or it is at fault. Takes a copy. */
  static read(given: Uint8Array): GateInput {
    const bytes = new Uint8Array(given)
    return new GateInput(bytes, findFault(bytes))
  }
}

function findFault(bytes: Uint8Array): InputFault | undefined {
  if (bytes.length > INPUT_BYTES_MAX) return 'gate_input_limit'
  let input: JsonValue
  try {
    // JSON.parse is lenient where the canonical form is not: what it lets pass differs from what is written again.
    input = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
    const canonical = canonicalJson(jsonObject(input, 'input'))
    if (Buffer.compare(canonical, bytes) !== 0) return 'gate_input_malformed'
  } catch (error) {
    const tooDeep = error instanceof ProofError && error.code === 'too_large'
    return tooDeep ? 'gate_input_limit' : 'gate_input_malformed'
  }
  const { chain } = input as { readonly chain?: unknown }
  return Array.isArray(chain) && isChainOverLimit(chain) ? 'gate_input_limit' : undefined
}

/** The cost of matching a scope grows with both: bounded here, where no policy can forget to. */
function isChainOverLimit(chain: readonly ({ readonly scope?: unknown } | null)[]): boolean {
  if (chain.length > CHAIN_LINKS_MAX) return true
  return chain.some((link) => {
    const scope = link?.scope
    return Array.isArray(scope) && scope.length > LINK_GRANTS_MAX
  })
}
