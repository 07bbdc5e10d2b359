/** @module What a call of the kit is refused with. */
import { ProofError, type ProofErrorCode } from '../../proofs/errors.ts'

/** The code of the ProofError that `call` throws, or 'accepted'. Any other error is passed on, and fails the test. */
export function codeOf(call: () => unknown): ProofErrorCode | 'accepted' {
  try {
    call()
  } catch (error) {
    if (error instanceof ProofError) return error.code
    throw error
  }
  return 'accepted'
}

/** Every copy of `bytes` with one bit flipped. */
export function* bitFlips(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < bytes.length * 8; bit += 1) yield flipBit(bytes, bit)
}

/** A copy of `bytes` with bit number `bit` flipped. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = new Uint8Array(bytes)
  const at = Math.floor(bit / 8)
  flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit % 8))
  return flipped
}
