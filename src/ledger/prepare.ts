/**
 * @module From bytes to a submission: read the statement, find its signer, verify, check what travels beside it, and let
 * the handler attach what two runs could answer differently (DESIGN §1 "prepare"). Nothing here changes state.
 */
import {
  DISCLOSURES_BYTES_MAX,
  ProofError,
  STATEMENT_BYTES_MAX,
  checkUnsigned,
  contentDigest,
  matchDisclosures,
  namedKey,
  receiveStatement,
} from '@trustwarden/proofs'
import type { ProofErrorCode, Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { memoized } from '../memo.ts'
import type {
  CborMap,
  Incoming,
  Principal,
  PrincipalReader,
  State,
  StatementHandler,
  Submission,
} from './contract.ts'
import type { Lane } from './admission.ts'
import { NOTHING_DISCLOSED } from './contract.ts'
import { findEvent } from './dedup.ts'
import type { SignatureCheck, SignatureVerifier } from './verify.ts'

/** What a caller hands in: one statement as bytes, and what travels beside it. */
export interface Submitted {
  readonly statement: Uint8Array | string
  /** The media type of its envelope. Default: `application/jose`. */
  readonly media?: string
  readonly disclosures?: readonly string[]
  /** DER of the PKCS#10 request (`agent.issue`). */
  readonly csr?: Uint8Array
  /** Pinned attachments (`policy.activate`). */
  readonly pinned?: readonly Uint8Array[]
  /** Types that the route takes; all if absent. */
  readonly types?: readonly string[]
  /** Roles whose statements the route takes; all if absent. */
  readonly signers?: readonly string[]
  /** What it came over, such as a connection: of one source one urgent statement is verified at a time. */
  readonly source?: object
  /** Whether it came in where there was no room: refused, unless it is urgent. */
  readonly urgentOnly?: boolean
}

/** Bytes of a certificate request (FORMAT §1.4). */
export const CSR_BYTES_MAX = 16_384
/** Bytes of all pinned attachments of one statement (FORMAT §1.4). */
export const PINNED_BYTES_MAX = 4_194_304

/**
 * What the kit finds wrong, in the service's words. Codes that are not listed cannot come from a statement or its
 * disclosures and are answered as `statement_malformed`.
 */
export const STATEMENT_ERROR_CODES: Readonly<Partial<Record<ProofErrorCode, ErrorCode>>> = {
  too_large: 'statement_too_large',
  envelope_unsupported: 'envelope_unsupported',
  audience_mismatch: 'audience_mismatch',
  type_mismatch: 'type_unknown',
  key_mismatch: 'signature_invalid',
  key_invalid: 'signature_invalid',
  algorithm_unsupported: 'signature_invalid',
  signature_invalid: 'signature_invalid',
  disclosure_missing: 'disclosure_invalid',
  disclosure_unmatched: 'disclosure_invalid',
  clear_detail: 'disclosure_invalid',
}

/** What `prepare` needs of the log. */
export interface PrepareContext {
  readonly origin: string
  readonly principals: PrincipalReader
  readonly verifier: SignatureVerifier
}

/** A statement that was read, and who handles its type. Nothing is verified. */
export interface Read {
  readonly incoming: Incoming
  readonly handler: StatementHandler
  /** Bytes of everything that was handed in. */
  readonly bytes: number
  readonly signers: readonly string[] | undefined
  readonly source: object | undefined
  /** Whether the statement came with an unprotected header, which was emptied. */
  readonly emptied: boolean
}

/**
 * Reads a statement and finds its handler.
 *
 * @throws {ServiceError} `statement_malformed`, `statement_too_large`, `envelope_unsupported`, `type_unknown`,
 *   `attachment_invalid`
 */
export function readSubmitted(
  submitted: Submitted,
  handlers: ReadonlyMap<string, StatementHandler>,
): Read {
  const { disclosures = [], csr, pinned = [], types } = submitted
  checkLimit(submitted.statement.length, STATEMENT_BYTES_MAX, 'the statement')
  const disclosed = disclosures.reduce((sum, { length }) => sum + length, 0)
  checkLimit(disclosed, DISCLOSURES_BYTES_MAX, 'the disclosures')
  checkLimit(csr?.length ?? 0, CSR_BYTES_MAX, 'the certificate request')
  const pinnedBytes = pinned.reduce((sum, { length }) => sum + length, 0)
  checkLimit(pinnedBytes, PINNED_BYTES_MAX, 'the attachments')
  const { statement, emptied } = inServiceWords(() =>
    receiveStatement(submitted.statement, submitted.media),
  )
  const { type } = statement.header
  const handler = handlers.get(type)
  if (handler === undefined || types?.includes(type) === false) {
    throw new ServiceError('type_unknown', 'typ: no statement type that is accepted here')
  }
  const misplaced = attachmentRefusal(handler, { pinned, ...(csr !== undefined && { csr }) })
  if (misplaced !== undefined) throw misplaced
  const bytes = statement.bytes.length + disclosed + pinnedBytes + (csr?.length ?? 0)
  const incoming: Incoming = {
    statement,
    contentDigest: contentDigest(nativePrimitives, statement),
    disclosures,
    disclosed: NOTHING_DISCLOSED,
    pinned,
    ...(csr !== undefined && { csr }),
  }
  const { signers, source } = submitted
  return { incoming, handler, bytes, signers, source, emptied }
}

/** Why what comes with a statement is not for its type, or undefined: `attachment_invalid`. */
export function attachmentRefusal(
  { type, attachments = 0, takesCsr = false }: StatementHandler,
  { pinned, csr }: Pick<Incoming, 'pinned' | 'csr'>,
): ServiceError | undefined {
  if (pinned.length > attachments) {
    const rule = `attachments: ${pinned.length}, at most ${attachments} with ${type}`
    return new ServiceError('attachment_invalid', rule)
  }
  if (csr === undefined || takesCsr) return undefined
  return new ServiceError('attachment_invalid', `csr: none is taken with ${type}`)
}

/**
 * Verifies that the statement is for this log and signed by a principal that the log knows, and returns that.
 *
 * @param roles - Whose statements are taken here; everybody's if absent. Decided once the signature holds, so that
 *   nobody learns a role by a name.
 * @throws {ServiceError} `signer_unknown`, `audience_mismatch`, `signature_invalid`, `role_forbidden`
 */
export async function verifySigner(
  context: PrepareContext,
  statement: Statement,
  view: State,
  roles?: readonly string[],
  lane: Lane = 'normal',
): Promise<Principal> {
  const { origin, principals, verifier } = context
  if (statement.header.aud !== origin) {
    throw new ServiceError('audience_mismatch', 'aud: another log')
  }
  const principal = principals.find(view, statement.header.iss)
  if (principal === undefined) {
    throw new ServiceError('signer_unknown', 'iss: no enrolled key or issued agent has this name')
  }
  const check = inServiceWords(() => signatureCheck(statement, principal, origin))
  if (!(await verifier.verify(check, lane))) {
    throw new ServiceError('signature_invalid', 'the signature of the statement does not verify')
  }
  if (roles?.includes(principal.role) === false) {
    throw new ServiceError(
      'role_forbidden',
      `iss: statements of the roles ${roles.join(', ')} are taken here, and this one is of the role ` +
        `${principal.role}: sign it with a key that is enrolled under one of those`,
    )
  }
  return principal
}

/**
 * Checks everything about a statement but its signature, by the kit's own rules, and returns what is left to verify.
 *
 * @throws {ProofError} as `verifyStatement`, but for `signature_invalid`
 */
export function signatureCheck(
  statement: Statement,
  principal: Principal,
  origin: string,
): SignatureCheck {
  const key = keyOf(principal)
  checkUnsigned(statement, key, origin)
  const { alg, publicKey } = key
  return { alg, publicKey, message: statement.signingInput, signature: statement.signature }
}

const keyOf = memoized(({ spki }: Principal) => namedKey(nativePrimitives, spki))

/**
 * Checks the disclosures and lets the handler attach what it finds.
 *
 * A statement that is registered already is not prepared: the writer answers it from its entry, whatever became of what
 * it rested on, and nothing that travels beside it is kept again.
 *
 * @throws {ServiceError} `disclosure_invalid`, `statement_too_large`, and what the handler throws
 */
export async function prepareSubmission(
  handler: StatementHandler,
  incoming: Incoming,
  view: State,
): Promise<Submission> {
  const nothing: CborMap = new Map([[0, view.size]])
  if (findEvent(view, incoming.statement.header) !== undefined)
    return { ...incoming, prepared: nothing }
  const opened = openIncoming(handler, incoming)
  const prepared = await handler.prepare(opened, view)
  return {
    ...opened,
    prepared: prepared.has(0) ? prepared : new Map([[0, view.size], ...prepared]),
  }
}

/** Matches the disclosures with the statement's digests. @throws {ServiceError} `disclosure_invalid`, `statement_too_large` */
export function openIncoming(handler: StatementHandler, incoming: Incoming): Incoming {
  const { statement, disclosures } = incoming
  return inServiceWords(() => {
    try {
      const { payload } = statement
      const { disclosable } = handler
      const disclosed = matchDisclosures(nativePrimitives, payload, disclosures, disclosable)
      return { ...incoming, disclosed }
    } catch (thrown) {
      if (!(thrown instanceof ProofError) || thrown.code === 'too_large') throw thrown
      throw new ServiceError('disclosure_invalid', thrown.message, { cause: thrown })
    }
  })
}

/** Runs `read` and says what the kit finds wrong in the service's codes. @throws {ServiceError} */
export function inServiceWords<T>(read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    const code = STATEMENT_ERROR_CODES[thrown.code] ?? 'statement_malformed'
    throw new ServiceError(code, thrown.message, { cause: thrown })
  }
}

function checkLimit(length: number, most: number, what: string): void {
  if (length <= most) return
  throw new ServiceError('statement_too_large', `${what}: ${length} bytes, at most ${most}`)
}
