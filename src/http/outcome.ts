/**
 * @module What an entry came to, in one word.
 */
import { type CborMap, cborText } from '@trustwarden/proofs'

/** The result word of an outcome (FORMAT §6). @throws ProofError `malformed` if it has none */
export function outcomeWord(outcome: CborMap): string {
  return cborText(outcome.get(0), 'outcome')
}
