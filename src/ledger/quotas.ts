/**
 * @module How many entries one agent and one owner may add a second, by token buckets.
 *
 * A token is taken once the signature is verified, so nobody uses up another's quota; a repeat that is answered from
 * its entry takes none, and a revocation none ever (DESIGN §8). An agent is its name: its instances share a bucket, or
 * starting another instance would be a way around it. What the buckets hold lies in memory alone: a restart fills them.
 */
import { ServiceError } from '../errors.ts'
import type { Principal } from './contract.ts'

/** A bucket's size, and how fast it fills. */
export interface Quota {
  /** Entries a second. */
  readonly rate: number
  /** Entries at once after a rest. */
  readonly burst: number
}

/** Buckets of one kind that are kept at most: those used longest ago go first, and would be full or nearly so. */
export const BUCKETS_MAX = 100_000

/** Whose quota. */
export type QuotaKind = 'agent' | 'owner'

interface Bucket {
  tokens: number
  atMs: number
}

/** Token buckets by name. */
class Buckets {
  readonly #quota: Quota
  readonly #max: number
  /** In the order of last use. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(quota: Quota, max: number) {
    this.#quota = quota
    this.#max = max
  }

  get quota(): Quota {
    return this.#quota
  }

  /** Whether `name` has a token left at `nowMs`. */
  has(name: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(name)
    return bucket === undefined || this.#tokens(bucket, nowMs) >= 1
  }

  /** Takes a token. */
  take(name: string, nowMs: number): void {
    const bucket = this.#buckets.get(name)
    const tokens = bucket === undefined ? this.#quota.burst : this.#tokens(bucket, nowMs)
    this.#buckets.delete(name)
    this.#buckets.set(name, { tokens: tokens - 1, atMs: nowMs })
    if (this.#buckets.size <= this.#max) return
    const [oldest = ''] = this.#buckets.keys()
    this.#buckets.delete(oldest)
  }

  #tokens({ tokens, atMs }: Bucket, nowMs: number): number {
    const { rate, burst } = this.#quota
    return Math.min(burst, tokens + (Math.max(0, nowMs - atMs) * rate) / 1000)
  }
}

/** The quotas of a log. One that is absent limits nothing. */
export class Quotas {
  readonly #agents: Buckets | undefined
  readonly #owners: Buckets | undefined
  readonly #nowMs: () => number
  readonly #refused: Record<QuotaKind, number> = { agent: 0, owner: 0 }

  /** @param nowMs - A clock that is never set, such as the time since boot. */
  constructor(
    quotas: { readonly agent?: Quota | undefined; readonly owner?: Quota | undefined },
    nowMs: () => number,
    bucketsMax: number = BUCKETS_MAX,
  ) {
    const { agent, owner } = quotas
    this.#agents = agent && new Buckets(agent, bucketsMax)
    this.#owners = owner && new Buckets(owner, bucketsMax)
    this.#nowMs = nowMs
  }

  /** How many statements each kind of quota has refused since start. */
  get refused(): Readonly<Record<QuotaKind, number>> {
    return { ...this.#refused }
  }

  /**
   * Takes a token of the agent's bucket and one of its owner's; neither if one is empty.
   *
   * @throws {ServiceError} `quota_exceeded`
   */
  take({ role, principal, owner = principal }: Principal): void {
    if (role !== 'agent' && role !== 'owner') return
    const nowMs = this.#nowMs()
    const name = principal.slice(0, principal.lastIndexOf('/'))
    const agents = role === 'agent' ? this.#agents : undefined
    if (agents?.has(name, nowMs) === false) throw this.#exceeded('agent', agents.quota, name)
    if (this.#owners?.has(owner, nowMs) === false)
      throw this.#exceeded('owner', this.#owners.quota, owner)
    agents?.take(name, nowMs)
    this.#owners?.take(owner, nowMs)
  }

  #exceeded(kind: QuotaKind, { rate, burst }: Quota, name: string): ServiceError {
    this.#refused[kind]++
    const message = `the ${kind}'s quota of ${name} is used up: ${rate} entries/s, ${burst} at once`
    return new ServiceError('quota_exceeded', message)
  }
}
