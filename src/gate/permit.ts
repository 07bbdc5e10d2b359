/**
 * @module Makes the permit of an allow. Ed25519 is deterministic and every field comes from the entry, so a repeat gets
 * the same bytes, and no permit is kept anywhere (FORMAT §10.6).
 */
import { disclosedSalt, keyId, PERMIT_LIFE_S, ProofError, signPermit } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import type { Signer } from '../crypto.ts'
import { ServiceError } from '../errors.ts'
import type { Registered } from '../ledger/contract.ts'
import { memoized } from '../memo.ts'
import { readDecisionPrepared, readDecisionRequest } from './decisions.ts'

/** When the permit of a decision that was registered at `timeMs` ends, in ms. */
export function permitExpiryMs(timeMs: number): number {
  return (Math.floor(timeMs / 1000) + PERMIT_LIFE_S) * 1000
}

/**
 * Makes the permit of an allow out of its entry and the salt that was disclosed.
 *
 * @throws {ServiceError} `decision_spent` if the salt is no longer there: it was erased.
 */
export function makePermit(registered: Registered, origin: string, signer: Signer): string {
  const { entry, statement } = registered
  const request = readDecisionRequest(statement)
  const prepared = readDecisionPrepared(entry.prepared)
  const fields = {
    origin,
    instance: request.instance,
    instanceKid: statement.header.kid,
    decisionId: prepared.decisionId,
    index: entry.index,
    action: request.action,
    resource: request.resource,
    actionDigest: request.actionDigest,
    salt: openSalt(registered),
    obligations: prepared.verdict.obligations,
    iatS: Math.floor(entry.timeMs / 1000),
  }
  return signPermit(keyIdOf(signer), fields, signer.sign)
}

const keyIdOf = memoized(({ spki }: Signer) => keyId(nativePrimitives, spki))

function openSalt({ disclosed }: Registered): Uint8Array {
  try {
    return disclosedSalt(disclosed)
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    const message = 'what the decision rests on was erased: no permit can be made of it any more'
    throw new ServiceError('decision_spent', message, { cause })
  }
}
