/**
 * @module Which keys sign the heads of a log (FORMAT §11.7): genesis names the first, each rotation that took effect the
 * next. From the first size on that holds the entry of a rotation the new key is in force; the old one signs too, up to
 * the size that the rotation names.
 */
import { formatVkey } from '@trustwarden/proofs'
import type { KeyRotation, NoteKey } from '@trustwarden/proofs'
import type { Signer } from '../crypto.ts'
import type { State } from './contract.ts'
import { LedgerError } from './errors.ts'
import { headKey, signHead } from './head-note.ts'
import type { SignedHead } from './head-note.ts'

/** A rotation that took effect, and its entry. */
export interface Rotation extends KeyRotation {
  readonly index: number
}

/** Reads the rotations that took effect, in their order. */
export type RotationReader = (state: Pick<State, 'get'>) => readonly Rotation[]

/** Of a log that was never rotated. */
const NO_ROTATIONS: RotationReader = () => []

/** The keys that sign the head of a size: the one in force, then those retired that still sign. */
export function signersAt(
  first: NoteKey,
  rotations: readonly Rotation[],
  size: number,
): readonly NoteKey[] {
  const past = rotations.filter(({ index }) => index < size)
  const inForce = past.at(-1)?.new ?? first
  const retired = past.filter(({ until }) => size <= until).map(({ old }) => old)
  return [inForce, ...retired.toReversed()]
}

/** The keys of a log as they are in a state, and those that this process holds. */
export class LogKeys {
  /** The key that genesis names. */
  readonly first: NoteKey
  readonly #signers: ReadonlyMap<string, Signer>
  readonly #rotations: RotationReader
  readonly #isKept: (key: NoteKey) => boolean

  /** @param isKept - Whether a later start will find the key too: one that is in memory alone is not put in force. */
  constructor(
    first: NoteKey,
    signers: readonly Signer[],
    rotations: RotationReader = NO_ROTATIONS,
    isKept: (key: NoteKey) => boolean = () => true,
  ) {
    this.first = first
    this.#isKept = isKept
    this.#signers = new Map(signers.map((one) => [formatVkey(headKey(one, first.name)), one]))
    this.#rotations = rotations
  }

  /** Of a log that has one key and was never rotated. */
  static only(signer: Signer, origin: string): LogKeys {
    return new LogKeys(headKey(signer, origin), [signer])
  }

  /** The keys that have to have signed the head of `size`, by a state that has reached it. */
  at(state: Pick<State, 'get'>, size: number): readonly NoteKey[] {
    return signersAt(this.first, this.#rotations(state), size)
  }

  /** Whether this process can sign with a key, and the next one too. */
  holds(key: NoteKey): boolean {
    return this.#signers.has(formatVkey(key)) && this.#isKept(key)
  }

  /**
   * Signs a head with every key that has to, by the state up to its size. Nothing is written.
   *
   * @throws {LedgerError} `log_key_missing` before anything is signed
   */
  sign(
    state: Pick<State, 'get'>,
    head: { readonly size: number; readonly root: Uint8Array; readonly timeMs: number },
  ): SignedHead {
    const signers = this.at(state, head.size).map((key) => {
      const signer = this.#signers.get(formatVkey(key))
      if (signer !== undefined) return { key, signer }
      throw new LedgerError(
        'log_key_missing',
        `the log key ${formatVkey(key)} signs the head of size ${head.size}, and is not there`,
      )
    })
    return signHead(signers, head)
  }

  /** Demands that the next head can be signed. @throws {LedgerError} `log_key_missing` */
  checkNext(state: Pick<State, 'get'>, size: number): void {
    const missing = this.at(state, size + 1).find((key) => !this.#signers.has(formatVkey(key)))
    if (missing === undefined) return
    const vkey = formatVkey(missing)
    throw new LedgerError('log_key_missing', `the log key ${vkey} signs the next heads`)
  }
}
