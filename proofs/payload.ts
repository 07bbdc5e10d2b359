/**
 * @module What the payloads of all types have in common: the type, who may sign, what is disclosed, and no member that
 * is not listed.
 */
import { checkClear, checkDisclosures, disclosableNames, readCommitments } from './disclosure.ts'
import { type Members, members, type Shape } from './claims.ts'
import { check } from './errors.ts'
import type { JsonValue } from './json.ts'
import type { Role } from './principal.ts'
import type { Primitives } from './primitives.ts'
import { type Statement, TYP_PREFIX } from './statement.ts'

/**
 * Makes the reader of the payloads of one type, their digests of disclosures aside.
 *
 * What it returns throws `type_mismatch`; `claim_invalid` for a signer of another role; `clear_detail`; else as
 * `members` and `readCommitments`.
 *
 * @see FORMAT §4, §6
 */
export function payloadReader<S extends Shape>(
  type: string,
  issuers: readonly Role[],
  shape: S,
): (statement: Statement) => Members<S> {
  const names = disclosableNames(type)
  const readMembers = members(shape, names.length === 0 ? {} : COMMITMENT_MEMBERS)
  return (statement) => {
    const { header, issuer, payload } = statement
    check(header.type === type, 'type_mismatch', `typ: not ${TYP_PREFIX}${type}`)
    check(issuers.includes(issuer.role), 'claim_invalid', `iss: must be ${issuers.join(' or ')}`)
    checkClear(payload, names)
    if (names.length > 0) readCommitments(payload)
    return readMembers(payload, 'payload')
  }
}

/** Reads one payload: `payloadReader`, for types that are rare. */
export function readPayload<S extends Shape>(
  statement: Statement,
  type: string,
  issuers: readonly Role[],
  shape: S,
): Members<S> {
  return payloadReader(type, issuers, shape)(statement)
}

/** Read by `readCommitments`. */
const COMMITMENT_MEMBERS = { _sd: (): void => undefined, _sd_alg: (): void => undefined }

/** Demands what the header's `sub` has to be. @throws {ProofError} `claim_invalid` */
export function checkSubject(statement: Statement, expected: string, rule: string): void {
  check(statement.header.sub === expected, 'claim_invalid', `sub: must be ${rule}`)
}

/**
 * Checks the disclosures beside a statement of any type.
 *
 * @returns The disclosed values by name.
 * @throws {ProofError} as `checkDisclosures`.
 * @see FORMAT §4.2
 */
export function openDisclosures(
  p: Primitives,
  statement: Statement,
  disclosures: readonly string[],
): ReadonlyMap<string, JsonValue> {
  const names = disclosableNames(statement.header.type)
  return checkDisclosures(p, statement.payload, disclosures, names)
}
