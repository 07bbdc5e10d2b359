/**
 * @module The handler of `key.rotate`, by which operators put a new log key in force (FORMAT §11.7).
 */
import {
  ProofError,
  ROTATION_OVERLAP_MAX,
  ROTATION_OVERLAP_MIN,
  areConfusable,
  ed25519Spki,
  equalBytes,
  keyId,
  parseKeyRotate,
} from '@trustwarden/proofs'
import type { KeyRotation, NoteKey, Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Registration, State, StatementHandler, Submission } from './contract.ts'
import { ruleProposal } from './proposals.ts'
import { ROTATE_KIND, readRotations } from './rotations.ts'
import { checkWindow } from './window.ts'

type Refusal = Extract<Registration, { readonly type: 'refuse' }>

/** What the handler needs of others. */
export interface RotateOptions {
  /** The principal that holds a key, or undefined. */
  readonly keyHolder: (state: State, kid: string) => string | undefined
  /** The log key that genesis names, or undefined before genesis. */
  readonly first: NoteKey
  /**
   * Whether the process that is asked signs with this key. No rule: what no process can sign with is not put in force, and
   * an audit does not ask.
   */
  readonly isHeld: (key: NoteKey) => boolean
}

/** Makes the handler of `key.rotate`. */
export function createRotateHandler(options: RotateOptions): StatementHandler {
  return {
    type: ROTATE_KIND,
    lane: 'normal',
    disclosable: [],
    prepare: ({ statement }, view) => {
      const read = readRotation(statement)
      if ('code' in read) return Promise.reject(new ServiceError(read.code, read.message))
      if (!options.isHeld(read.new)) {
        const message = 'new: this service does not hold the key: start it again with the key file'
        return Promise.reject(new ServiceError('key_not_held', message))
      }
      return Promise.resolve(new Map([[0, view.size]]))
    },
    register: (state, submission) => register(options, state, submission),
  }
}

function register(
  { keyHolder, first }: RotateOptions,
  state: State,
  { statement, prepared }: Submission,
): Registration {
  const rotation = readRotation(statement)
  if ('code' in rotation) return rotation
  const outside = checkWindow(state, statement)
  if (outside !== undefined) return outside
  const ruling = ruleProposal(state, statement, () => false)
  if (ruling.type === 'refuse') return ruling
  const keys = [first, ...readRotations(state).map((one) => one.new)]
  const inForce = keys.at(-1) ?? first
  if (!equalBytes(rotation.old.publicKey, inForce.publicKey)) {
    return refuse('rotation_outdated', 'old: not the log key that is in force')
  }
  if (state.size + ROTATION_OVERLAP_MIN > rotation.until) {
    const rule = `at least ${ROTATION_OVERLAP_MIN} above the index of the entry, ${state.size}`
    return refuse('rotation_outdated', `until: ${rotation.until}, must be ${rule}`)
  }
  if (rotation.until > state.size + ROTATION_OVERLAP_MAX) {
    const rule = `at most ${ROTATION_OVERLAP_MAX} above the index of the entry, ${state.size}`
    return refuse('overlap_too_long', `until: ${rotation.until}, must be ${rule}`)
  }
  const kid = keyId(nativePrimitives, ed25519Spki(rotation.new.publicKey))
  if (keyHolder(state, kid) !== undefined) {
    return refuse('key_used', 'new: the key belongs to somebody, or was a log key before')
  }
  if (keys.some((key) => areConfusable(key, rotation.new))) {
    return refuse('key_used', 'new: its key id is the one of a log key of before: make another')
  }
  return {
    type: 'entry',
    kind: ROTATE_KIND,
    prepared: new Map([[0, prepared.get(0) ?? state.size]]),
    outcome: ruling.outcome,
    subjects: ['log'],
  }
}

function readRotation(statement: Statement): KeyRotation | Refusal {
  if (statement.issuer.role !== 'operator') {
    return refuse('signer_forbidden', 'only operators rotate a key')
  }
  try {
    return parseKeyRotate(nativePrimitives, statement)
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    return refuse('statement_malformed', error.message)
  }
}

function refuse(code: ErrorCode, message: string): Refusal {
  return { type: 'refuse', code, message }
}
