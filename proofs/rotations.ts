/**
 * @module Following a log from the key that a trust anchor names to the one in force: a file that proves each rotation
 * under a head that the key before it has signed (FORMAT §13.3). Old key and operators have to agree: with the old key
 * alone, stolen or not, nobody leads a verifier anywhere.
 */
import { equalBytes } from './bytes.ts'
import { type EffectiveRotation, findRotation, readOperators } from './enrolment.ts'
import { check } from './errors.ts'
import {
  entriesJson,
  type EvidenceBundle,
  EVIDENCE_BYTES_MAX,
  parseEntries,
} from './evidence-bundle.ts'
import {
  canonicalJson,
  jsonArray,
  jsonObject,
  jsonString,
  type JsonValue,
  parseJson,
  requireMembers,
} from './json.ts'
import { areConfusable } from './note.ts'
import type { Primitives } from './primitives.ts'
import { openProvenLog } from './proven-log.ts'
import { type Trust, type TrustedKey, trustFor } from './trust.ts'

/** What the `format` of a file of rotations says. */
export const ROTATIONS_FORMAT = 'trustwarden-rotations/1'

/** The entries that prove one rotation, under a head that the old key signed. */
export type RotationProof = Pick<EvidenceBundle, 'head' | 'entries'>

/**
 * Parses a file of rotations, verifying nothing.
 *
 * @throws {ProofError} `version_unknown`; else as `parseEvidence`.
 * @see FORMAT §13.3
 */
export function parseRotations(bytes: Uint8Array): readonly RotationProof[] {
  const object = jsonObject(parseJson(bytes, { maxBytes: EVIDENCE_BYTES_MAX }), 'rotations')
  const format = jsonString(object['format'], 'rotations format')
  check(format === ROTATIONS_FORMAT, 'version_unknown', `rotations format: not ${ROTATIONS_FORMAT}`)
  requireMembers(object, ['format', 'rotations'], [], 'rotations')
  return jsonArray(object['rotations'], 'rotations').map(parseProof)
}

/**
 * Formats a file of rotations as canonical JSON; `parseRotations` gives back the same.
 *
 * @throws {ProofError} as `parseRotations`, for what it would refuse.
 */
export function formatRotations(rotations: readonly RotationProof[]): Uint8Array {
  const bytes = canonicalJson({
    format: ROTATIONS_FORMAT,
    rotations: rotations.map(({ head, entries }) => ({ head, entries: entriesJson(entries) })),
  })
  parseRotations(bytes)
  return bytes
}

/**
 * Follows the rotations of a file, in order, those that the trust knows included.
 *
 * @returns The trust with each key's range of sizes closed where the next key takes over.
 * @throws {ProofError} `key_mismatch` for a rotation of another key than the last, or to a key that was one before;
 *   `key_invalid` for one to a key of the key id of one before;
 *   `head_out_of_range` for a head that the old key does not sign any more; else as `openProvenLog` and `findRotation`.
 * @see FORMAT §13.3
 */
export function followRotations(p: Primitives, bytes: Uint8Array, trust: Trust): Trust {
  let followed = trust
  for (const proof of parseRotations(bytes)) {
    const log = openProvenLog(p, { ...proof, disclosures: new Map() }, followed)
    const rotation = findRotation(p, log, readOperators(p, log))
    const { size } = log.head
    const overlaps = size <= rotation.until
    check(
      overlaps,
      'head_out_of_range',
      `head: size ${size}, the old key signs to ${rotation.until}`,
    )
    followed = withRotation(followed, log.origin, rotation)
  }
  return followed
}

function withRotation(trust: Trust, origin: string, rotation: EffectiveRotation): Trust {
  const log = trustFor(trust, origin)
  const from = rotation.index + 1
  const known = log.keys.find(({ key }) => equalBytes(key.publicKey, rotation.new.publicKey))
  if (known !== undefined) {
    check(known.from === from, 'key_mismatch', 'rotation: to a key that was in force before')
    return trust
  }
  const confusable = log.keys.some(({ key }) => areConfusable(key, rotation.new))
  check(!confusable, 'key_invalid', 'rotation: to a key of the key id of one before')
  const last = log.keys.at(-1)
  const follows =
    last !== undefined &&
    equalBytes(last.key.publicKey, rotation.old.publicKey) &&
    last.to === null &&
    last.from <= rotation.index
  check(follows, 'key_mismatch', 'rotation: not of the key that is in force by the trust')
  const next: TrustedKey = { key: rotation.new, from, to: null }
  const keys = [...log.keys.slice(0, -1), { ...last, to: rotation.index }, next]
  const logs = trust.logs.map((one) => (one === log ? { ...one, keys } : one))
  return { ...trust, logs }
}

function parseProof(value: JsonValue): RotationProof {
  const object = jsonObject(value, 'rotation')
  requireMembers(object, ['head', 'entries'], [], 'rotation')
  return { head: jsonString(object['head'], 'head'), entries: parseEntries(object['entries']) }
}
