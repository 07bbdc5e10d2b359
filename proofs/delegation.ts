/**
 * @module The delegation record, the `agent.issue` statement: what a parent, or an owner, gives to a child. Read here
 * is its form, and what holds within one record; the rules between a record, its parent's and the log are FORMAT
 * §9.2, and a refused record is read as well as an issued one.
 */
import {
  accepted,
  digest,
  integer,
  list,
  members,
  namePatterns,
  nullable,
  parsed,
} from './claims.ts'
import { check } from './errors.ts'
import type { JsonValue } from './json.ts'
import type { NamePattern } from './name-pattern.ts'
import { checkSubject, payloadReader } from './payload.ts'
import { parseKid, parseOwner, parseTrustDomain } from './principal.ts'
import type { Hash } from './primitives.ts'
import { parseScope, type Scope } from './scope.ts'
import { type InstanceId, parseInstanceId } from './spiffe-id.ts'
import type { Statement } from './statement.ts'

const instance = parsed(parseInstanceId)
const kid = accepted(parseKid)

/** A delegation record, read. */
export interface Delegation {
  readonly trustDomain: string
  /** `null` exactly at depth 0. */
  readonly parent: {
    readonly instance: InstanceId
    readonly kid: string
    /** Content digest of the parent's own record. */
    readonly record: Hash
  } | null
  readonly child: {
    readonly instance: InstanceId
    readonly kid: string
    /** SHA-256 of the certification request, DER. */
    readonly csr: Hash
  }
  /** `owner:<kid>` */
  readonly owner: string
  /** Content digest of the record at depth 0; `null` exactly there. */
  readonly authorization: Hash | null
  readonly scope: Scope
  readonly depth: number
  readonly maxDepth: number
  /** What the child's own children may be called. */
  readonly mayCreate: readonly NamePattern[]
  /** Size of the log that the signer knew. */
  readonly size: number
  /** Seconds that a certificate lives, asked for. */
  readonly ttl: number
  /** When all life ends, seconds since the Unix epoch. */
  readonly ceiling: number
}

const readRecord = payloadReader('agent.issue', ['owner', 'agent'], {
  trust_domain: accepted(parseTrustDomain),
  parent: nullable(members({ instance, key: kid, record: digest })),
  child: members({ instance, key: kid, csr: digest }),
  owner: accepted(parseOwner),
  authorization: nullable(digest),
  scope: readScope,
  depth: integer(),
  max_depth: integer(),
  may_create: namePatterns(),
  size: integer(),
  ttl: integer(),
  ceiling: integer(),
})

/**
 * Reads a delegation record.
 *
 * @throws {ProofError} `delegation_invalid` if parent, authorization and depth do not agree, or another than the parent
 *   (at depth 0 the owner) signs; `too_large` for more than 64 patterns; `spiffe_id_invalid`, `scope_invalid` and `not_canonical` for ids, scope and patterns;
 *   else as `payloadReader`.
 * @see FORMAT §9.1
 */
export function parseDelegation(statement: Statement): Delegation {
  const read = readRecord(statement)
  const { parent, child, authorization, depth, owner } = read
  checkSubject(statement, child.instance.id, 'the id of the child')
  const rooted = depth === 0
  const agree = (parent === null) === rooted && (authorization === null) === rooted
  check(agree, 'delegation_invalid', 'parent and authorization: null at depth 0, and only there')
  const signer = parent === null ? owner : parent.instance.id
  const signed = statement.header.iss === signer
  check(signed, 'delegation_invalid', 'iss: neither the parent nor, at depth 0, the owner')
  const named = parent === null || statement.header.kid === parent.key
  check(named, 'key_mismatch', "kid: not the parent's key")
  return {
    trustDomain: read.trust_domain,
    parent:
      parent === null
        ? null
        : { instance: parent.instance, kid: parent.key, record: parent.record },
    child: { instance: child.instance, kid: child.key, csr: child.csr },
    owner,
    authorization,
    scope: read.scope,
    depth,
    maxDepth: read.max_depth,
    mayCreate: read.may_create,
    size: read.size,
    ttl: read.ttl,
    ceiling: read.ceiling,
  }
}

function readScope(value: JsonValue, field: string): Scope {
  return parseScope(list(parsed(String))(value, field))
}
