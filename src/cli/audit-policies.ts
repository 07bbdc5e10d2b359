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
import { type Reader, TrustWardenError } from 'trustwarden'
import { ServiceError } from '../errors.ts'
import { PolicyShelf } from '../gate/policies.ts'
import { DENIES_NOTHING_KNOWN, type PolicyHostOptions } from '../gate/policy-host.ts'
import { ACTIVATE_KIND } from '../gate/policy.ts'
import { Difference } from '../ledger/audit-difference.ts'

const KIND = Buffer.from(ACTIVATE_KIND)

/** How a policy is loaded: it evaluates nothing but its self-test. */
const HOST: Omit<PolicyHostOptions, 'wasm' | 'data'> = {
  workers: 1,
  deadlineMs: 1000,
  selfTest: [DENIES_NOTHING_KNOWN],
}

/** The log may be read, and this of it not: nothing is wrong with it. */
const NOT_SHOWN: ReadonlySet<string> = new Set(['role_forbidden', 'route_unknown'])

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
   * @returns How many policies there are; undefined if they are not shown to who reads.
   * @throws {Difference} `pinned` for one that is not there, is not of its digest or revision, or does not load
   */
  async check(reader: Pick<Reader, 'pinned'>): Promise<number | undefined> {
    const shelf = new PolicyShelf({ host: HOST, pinned: () => undefined })
    try {
      for (const [digest, { index, revision }] of this.#named) {
        const loaded = await inEntry(index, async () => shelf.tryOut(await reader.pinned(digest)))
        if (loaded.revision === revision) continue
        throw new Difference('pinned', 'revision: another than the policy itself names', index)
      }
      return this.#named.size
    } catch (error) {
      if (error instanceof TrustWardenError && NOT_SHOWN.has(error.code)) return undefined
      throw error
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
    const isFound =
      error instanceof ServiceError ||
      (error instanceof TrustWardenError &&
        (error.code === 'not_found' || error.code === 'answer_malformed'))
    if (!isFound) throw error
    throw new Difference('pinned', `the policy that it activates: ${error.message}`, index)
  }
}
