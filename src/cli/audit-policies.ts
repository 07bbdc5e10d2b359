/**
 * @module The policies that an audited range activates, from outside: each is fetched by its digest, held against it, and
 * loaded as a gate loads it. They are found in the entries as these are read, and fetched once the entries hold. What a
 * policy answered a decision is not computed again: that rests on disclosures, which are not read.
 */
import {
  decodeEntry,
  parseEntryStatement,
  parsePolicyActivate,
  ProofError,
  toBase64url,
} from '@trustwarden/proofs'
import { type Reader, TrustWardenError, type TrustWardenErrorCode } from 'trustwarden'
import { ServiceError } from '../errors.ts'
import { PolicyShelf } from '../gate/policies.ts'
import { DENIES_NOTHING_KNOWN, type PolicyHostOptions } from '../gate/policy-host.ts'
import { ACTIVATE_KIND } from '../gate/policy.ts'
import { type AuditCheck, Difference } from '../ledger/audit-difference.ts'

const KIND = Buffer.from(ACTIVATE_KIND)

/** How a policy is loaded: it evaluates nothing but its self-test. */
const HOST: Omit<PolicyHostOptions, 'wasm' | 'data'> = {
  workers: 1,
  deadlineMs: 1000,
  selfTest: [DENIES_NOTHING_KNOWN],
}

/** What the log answers that is a finding. Whoever may read bundles, as was done, may read policies: none is withheld. */
const FINDINGS: ReadonlyMap<TrustWardenErrorCode, AuditCheck> = new Map([
  ['not_found', 'missing'],
  ['role_forbidden', 'missing'],
  ['route_unknown', 'missing'],
  ['answer_malformed', 'pinned'],
])

/** An activation that was read: what its statement says of the policy. */
interface Activation {
  readonly index: number
  readonly revision: string
}

/** Collects the policies of a range, and checks them. */
export class RangePolicies {
  readonly #range: { readonly from: number; readonly to: number }
  /** By digest: the first entry that names it. */
  readonly #named = new Map<string, Activation>()

  /** @param range - What lies outside of it is not proven, and so is not noted. */
  constructor(range: { readonly from: number; readonly to: number }) {
    this.#range = range
  }

  /** Notes what entries activate, which are yet to be proven. `first` is the index of the first. */
  note(first: number, entries: readonly Uint8Array[]): void {
    const { from, to } = this.#range
    for (const [at, bytes] of entries.entries()) {
      if (first + at < from || first + at >= to) continue
      // Most entries are none, and are decoded by the audit anyway: the kind stands in the bytes as it is.
      if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(KIND)) continue
      const found = readActivation(bytes)
      // Bundles are read in any order.
      const known = found && this.#named.get(found.policy)
      if (found === undefined || (known?.index ?? Number.POSITIVE_INFINITY) < first + at) continue
      this.#named.set(found.policy, { index: first + at, revision: found.revision })
    }
  }

  /**
   * Fetches and loads what was noted, one after the other.
   *
   * @returns How many policies there are.
   * @throws {Difference} `missing` for one that is not there, or not shown to who reads the entries; `pinned` for one that
   *   is not of its digest or revision, or does not load
   */
  async check(reader: Pick<Reader, 'pinned'>): Promise<number> {
    const shelf = new PolicyShelf({ host: HOST, pinned: () => undefined })
    try {
      for (const [digest, { index, revision }] of this.#named) {
        const loaded = await inEntry(index, async () => shelf.tryOut(await reader.pinned(digest)))
        if (loaded.revision === revision) continue
        throw new Difference('pinned', 'revision: another than the policy itself names', index)
      }
      return this.#named.size
    } finally {
      await shelf.close()
    }
  }
}

function readActivation(bytes: Uint8Array) {
  try {
    const entry = decodeEntry(bytes)
    if (entry.kind !== ACTIVATE_KIND) return undefined
    const { policy, revision } = parsePolicyActivate(parseEntryStatement(entry))
    return { policy: toBase64url(policy), revision }
  } catch (error) {
    // The audit, which reads it too, says what it is.
    if (error instanceof ProofError) return undefined
    throw error
  }
}

/** What the log answers, and what is wrong with a policy, belongs to the entry that names it. */
async function inEntry<T>(index: number, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    const check = checkOf(error)
    if (check === undefined || !(error instanceof Error)) throw error
    throw new Difference(check, `the policy that it activates: ${error.message}`, index)
  }
}

function checkOf(error: unknown): AuditCheck | undefined {
  if (error instanceof ServiceError) return 'pinned'
  return error instanceof TrustWardenError ? FINDINGS.get(error.code) : undefined
}
