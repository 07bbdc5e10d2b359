/**
 * @module Whose signature can be verified where a log is read from the middle on: keys that genesis names, keys that the
 * entries read enrol or issue, and those of instances whose issuance is proven to lie before.
 */
import {
  keyId,
  leafHash,
  parseMemberEnroll,
  parseOperatorEnroll,
  parseOwnerEnroll,
  ProofError,
  readIssuance,
  verifyInclusion,
} from '@trustwarden/proofs'
import type { Genesis, Hash, Head, Statement } from '@trustwarden/proofs'
import { nativePrimitives } from '../crypto.ts'
import { Difference, differ } from './audit-difference.ts'
import type { AuditCheck } from './audit-difference.ts'
import type { Principal, RegisteredEntry } from './contract.ts'
import { messageOf } from './errors.ts'
import { signatureCheck } from './prepare.ts'
import { readRegistered } from './register.ts'
import type { SignatureCheck } from './verify.ts'

/** An entry with its inclusion proof under the head of the audit. */
export interface ShownEntry {
  readonly index: number
  readonly bytes: Uint8Array
  readonly path: readonly Hash[]
}

/** Finds the issuance of an instance, or undefined if there is none to be had. */
export type FindIssuance = (instance: string) => Promise<ShownEntry | undefined>

/** Keys that are remembered; one that was let go is looked for again. */
const KEYS_MAX = 65_536

/** The keys that an audit of a range knows. */
export class RangeSigners {
  readonly #head: Pick<Head, 'size' | 'root' | 'origin'>
  readonly #findIssuance: FindIssuance
  /** By name, the latest learnt last. */
  readonly #learnt = new Map<string, Principal>()
  readonly #founders = new Map<string, Principal>()

  constructor(
    head: Pick<Head, 'size' | 'root' | 'origin'>,
    genesis: Genesis,
    findIssuance: FindIssuance,
  ) {
    this.#head = head
    this.#findIssuance = findIssuance
    const found = (role: 'service' | 'operator' | 'owner', spki: Uint8Array): void => {
      const kid = keyId(nativePrimitives, spki)
      const principal = `${role}:${kid}`
      this.#founders.set(principal, { principal, role, spki, kid })
    }
    found('service', genesis.keys.service)
    for (const spki of genesis.operators) found('operator', spki)
    for (const { key } of genesis.owners) found('owner', key)
  }

  /**
   * The signature of an entry's statement, for somebody to verify; undefined if nothing read so far shows the key: a
   * person who was enrolled before the range.
   *
   * @throws {Difference} `signer`, `signature`, `inclusion`
   */
  async signatureOf(registered: RegisteredEntry): Promise<SignatureCheck | undefined> {
    const { statement, entry } = registered
    const signer = await this.#find(statement, entry.index)
    if (signer === undefined) return undefined
    const { origin } = this.#head
    return named('signature', entry.index, () => signatureCheck(statement, signer, origin))
  }

  /** Takes in the key that an entry shows. @throws {Difference} `signer` */
  learn({ entry, statement }: RegisteredEntry): void {
    const { kind, index } = entry
    named('signer', index, () => {
      if (kind === 'operator.enroll')
        this.#keep('operator', parseOperatorEnroll(nativePrimitives, statement))
      if (kind === 'owner.enroll')
        this.#keep('owner', parseOwnerEnroll(nativePrimitives, statement))
      if (kind === 'member.enroll')
        this.#keep('reader', parseMemberEnroll(nativePrimitives, statement))
      if (kind !== 'agent.issue') return
      const { record, certificate } = readIssuance(nativePrimitives, entry)
      const { instance, kid } = record.child
      const same = keyId(nativePrimitives, certificate.spki) === kid
      differ(same, 'signer', 'the certificate is of another key than the record names', index)
      this.#keep('agent', { key: certificate.spki, kid }, instance.id)
    })
  }

  async #find({ issuer, header }: Statement, index: number): Promise<Principal | undefined> {
    const known = this.#founders.get(header.iss) ?? this.#learnt.get(header.iss)
    if (known !== undefined) return known
    if (issuer.role !== 'agent') return undefined
    const shown = await this.#findIssuance(header.iss)
    if (shown === undefined) throw new Difference('signer', 'nothing shows its issuance', index)
    const leaf = leafHash(nativePrimitives, shown.bytes)
    const { size: treeSize, root } = this.#head
    try {
      const proof = { leafIndex: shown.index, treeSize, leafHash: leaf, path: shown.path, root }
      verifyInclusion(nativePrimitives, proof)
    } catch (thrown) {
      if (!(thrown instanceof ProofError)) throw thrown
      const what = `entry ${shown.index}, said to issue the signer, is not in the log`
      throw new Difference('inclusion', `${what}: ${thrown.message}`, index)
    }
    const earlier = shown.index < index
    differ(earlier, 'signer', `it was issued at entry ${shown.index}, after it signed`, index)
    this.learn(readRegistered(shown.bytes, shown.index))
    const found = this.#learnt.get(header.iss)
    differ(found !== undefined, 'signer', `entry ${shown.index} does not issue the signer`, index)
    return found
  }

  #keep(
    role: Principal['role'],
    { key: spki, kid }: { readonly key: Uint8Array; readonly kid: string },
    principal: string = `${role}:${kid}`,
  ): void {
    this.#learnt.delete(principal)
    // It is kept for long, and shares no memory (`allocate`).
    this.#learnt.set(principal, { principal, role, spki: new Uint8Array(spki), kid })
    const [oldest] = this.#learnt.keys()
    if (this.#learnt.size > KEYS_MAX && oldest !== undefined) this.#learnt.delete(oldest)
  }
}

function named<T>(check: AuditCheck, index: number, read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    if (!(thrown instanceof ProofError)) throw thrown
    throw new Difference(check, messageOf(thrown), index)
  }
}
