/**
 * @module Reads the verdicts that a policy's worker sends, by the kit's own rules for the verdict of an entry. A policy has
 * few, so most were read before.
 */
import { cborArray, cborBoolean, decodeVerdict, ProofError } from '@trustwarden/proofs'
import type { CborValue } from '@trustwarden/proofs'
import { gateDenial } from './reasons.ts'
import type { Verdict } from './reasons.ts'

/** Texts that are remembered, and the longest of them. */
const TEXTS_MAX = 256
const LENGTH_MAX = 1024

/** Reads the verdicts of one policy. Whatever is not exactly of the form (policy-message.ts) is a denial. */
export class VerdictReader {
  readonly #known = new Map<string, Verdict>()

  read(text: unknown): Verdict {
    if (typeof text !== 'string') return gateDenial('gate_worker')
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const verdict = readText(text)
    if (text.length > LENGTH_MAX) return verdict
    if (this.#known.size >= TEXTS_MAX) this.#known.clear()
    this.#known.set(text, verdict)
    return verdict
  }
}

function readText(text: string): Verdict {
  try {
    const [verdict, reproducible, ...more] = cborArray(JSON.parse(text) as CborValue, 'answer')
    if (more.length > 0) return gateDenial('gate_worker')
    return { ...decodeVerdict(verdict), reproducible: cborBoolean(reproducible, 'reproducible') }
  } catch (error) {
    if (!(error instanceof ProofError || error instanceof SyntaxError)) throw error
    return gateDenial('gate_worker')
  }
}
