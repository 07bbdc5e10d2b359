/**
 * @module The policies that are loaded: the one in force, and those that were tried out lately. A policy is loaded from
 * its pinned bytes when a decision first needs it, so a start needs nothing that the log does not hold.
 */
import { toBase64url } from '@trustwarden/proofs'
import type { Hash } from '@trustwarden/proofs'
import { memoized } from '../memo.ts'
import type { GateInput } from './gate-input.ts'
import { decodePolicy, policyDigest } from './policy-pack.ts'
import { PolicyHost } from './policy-host.ts'
import type { PolicyHostOptions } from './policy-host.ts'
import type { Verdict } from './reasons.ts'

/** What evaluates one policy. */
export interface Evaluator {
  /** Never rejects. */
  evaluate(input: GateInput): Promise<Verdict>
  close(): Promise<void>
}

/** What the shelf needs. */
export interface PolicyShelfOptions {
  /** Bytes of a pinned attachment by its digest, or undefined. */
  readonly pinned: (digest: Hash) => Uint8Array | undefined
  /** How each host runs. */
  readonly host: Omit<PolicyHostOptions, 'wasm' | 'data'>
}

/** A policy that was loaded. */
export interface LoadedPolicy {
  readonly digest: Hash
  readonly revision: string
}

interface Slot {
  readonly host: Promise<Evaluator>
}

/** Hosts kept at most: the one in force, the one before it whose last decisions are under way, one tried out. */
const HOSTS_MAX = 3

/** Loads policies and keeps the last ones used. Holds worker threads until it is closed. */
export class PolicyShelf {
  readonly #options: PolicyShelfOptions
  /** By digest, the one used last at the end. */
  readonly #slots = new Map<string, Slot>()
  /** The digest that a decision asked for last: never put away for one that is merely tried out. */
  #inForce: string | undefined
  #isClosed = false

  constructor(options: PolicyShelfOptions) {
    this.#options = options
  }

  /**
   * Loads a policy and runs its self-test.
   *
   * @throws {ServiceError} `policy_invalid`
   */
  async tryOut(pack: Uint8Array): Promise<LoadedPolicy> {
    const { revision } = decodePolicy(pack)
    const digest = policyDigest(pack)
    await this.#load(toBase64url(digest), pack)
    return { digest, revision }
  }

  /** The host of a policy, or undefined if it is not pinned or does not load. */
  async find(digest: Hash): Promise<Evaluator | undefined> {
    if (this.#isClosed) return undefined
    const name = nameOf(digest)
    this.#inForce = name
    const slot = this.#slots.get(name)
    if (slot !== undefined) {
      this.#slots.delete(name)
      this.#slots.set(name, slot)
      return slot.host.catch(() => undefined)
    }
    const pack = this.#options.pinned(digest)
    return pack && this.#load(name, pack).catch(() => undefined)
  }

  /** Ends all workers; from then on there is no host. */
  async close(): Promise<void> {
    this.#isClosed = true
    const slots = [...this.#slots.values()]
    this.#slots.clear()
    await Promise.all(slots.map(closeSlot))
  }

  #load(name: string, pack: Uint8Array): Promise<Evaluator> {
    const known = this.#slots.get(name)
    if (known !== undefined) return known.host
    const { wasm, data } = decodePolicy(pack)
    const host: Promise<Evaluator> = PolicyHost.load({ ...this.#options.host, wasm, data })
    this.#slots.set(name, { host })
    // What does not load is forgotten, so that a machine short of memory for a moment is asked again.
    host.catch(() => this.#slots.delete(name))
    this.#putAway()
    return host
  }

  #putAway(): void {
    const latest = [...this.#slots.keys()].at(-1)
    for (const [name, slot] of this.#slots) {
      if (this.#slots.size <= HOSTS_MAX) return
      if (name === this.#inForce || name === latest) continue
      this.#slots.delete(name)
      void closeSlot(slot)
    }
  }
}

/** Once for each policy in force: every decision looks for its host. */
const nameOf: (digest: Hash) => string = memoized(toBase64url)

async function closeSlot({ host }: Slot): Promise<void> {
  try {
    await (await host).close()
  } catch {
    // A host that did not load has nothing to close.
  }
}
