/**
 * @module A log without disk, for the rules alone: statements are signed, verified, prepared, registered, encoded as
 * entries, decoded again and folded, as the ledger does it, over a state that is a map. Keys, requests, certificates
 * and policy are real.
 */
import {
  contentDigest,
  decodeEntry,
  encodeEntry,
  leafHash,
  parseEntryStatement,
  matchDisclosures,
  parseStatement,
  toBase64url,
  toHex,
  verifyStatement,
} from '@trustwarden/proofs'
import type { CborMap, CborValue, JsonObject, JsonValue } from '@trustwarden/proofs'
import { nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import type { Signer } from '../../src/crypto.ts'
import { ServiceError } from '../../src/errors.ts'
import { readDefaultPolicy } from '../../src/gate/default-policy.ts'
import { PolicyShelf } from '../../src/gate/policies.ts'
import { DENIES_NOTHING_KNOWN } from '../../src/gate/policy-host.ts'
import { encodePolicy, policyDigest } from '../../src/gate/policy-pack.ts'
import { Authority } from '../../src/identity/authority.ts'
import { nextLink } from '../../src/ledger/chains.ts'
import { NOTHING_DISCLOSED } from '../../src/ledger/contract.ts'
import type {
  Incoming,
  PrincipalReader,
  Registered,
  RegisteredEntry,
  Registration,
  StatementHandler,
  Submission,
} from '../../src/ledger/contract.ts'
import { findEvent } from '../../src/ledger/dedup.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { SEQUENCE_STATUS_KEY, sequenceStatus } from '../../src/ledger/sequences.ts'
import { ALL_FOLDS, composeRules } from '../../src/rules.ts'
import { at, party } from './rule-party.ts'
import type { Party, TestAgent } from './rule-party.ts'
import { MapState } from './rule-state.ts'
import { ORIGIN, START_MS, StatementMaker, TRUST_DOMAIN } from './rule-statements.ts'
import type { Beside, Delegator, GenesisFacts } from './rule-statements.ts'

/** What became of a statement. */
export type Outcome =
  | {
      readonly type: 'entry'
      readonly registered: RegisteredEntry
      readonly repeated: boolean
      readonly result: string
      readonly answer: JsonValue | undefined
      /** Indexes of entries whose disclosures it erased. */
      readonly erases: readonly number[]
    }
  | { readonly type: 'stale' }
  | {
      readonly type: 'refuse'
      readonly code: string
      readonly by: 'prepare' | 'register' | 'repeat' | 'answer'
    }

/** How a log under test begins. */
export interface RuleLogOptions {
  readonly operators?: number
  readonly threshold?: number
  /** Patterns of each owner in genesis. */
  readonly owners?: readonly (readonly string[])[]
}

const sharedPolicy = encodePolicy(readDefaultPolicy())

/** The rules of all parts, put together over a map. */
export class RuleLog extends StatementMaker {
  readonly state = new MapState()
  readonly entries: RegisteredEntry[] = []
  readonly operators: readonly Party[]
  readonly owners: readonly Party[]
  readonly policyPack: Uint8Array = sharedPolicy
  /** Log keys that the service does not hold: public keys, hex. */
  readonly notHeld = new Set<string>()
  readonly principals: PrincipalReader
  /** The key of the root certificate. */
  readonly ca: Signer
  protected readonly genesisFacts: GenesisFacts
  readonly #handlers: ReadonlyMap<string, StatementHandler>
  readonly #shelf: PolicyShelf
  readonly #pinned = new Map<string, Uint8Array>()
  readonly #disclosed = new Map<number, Registered['disclosed']>()

  private constructor(options: RuleLogOptions, authority: Authority, ca: Signer) {
    super()
    this.ca = ca
    const { operators = 1, threshold = 1, owners = [['**']] } = options
    this.operators = Array.from({ length: operators }, () => party('operator'))
    this.owners = owners.map(() => party('owner'))
    this.genesisFacts = {
      threshold,
      owners,
      rootDer: authority.certificateDer,
      policyDigest: policyDigest(this.policyPack),
    }
    this.#shelf = new PolicyShelf({
      pinned: (digest) => this.#pinned.get(toHex(digest)),
      host: { workers: 1, deadlineMs: 10_000, selfTest: [DENIES_NOTHING_KNOWN] },
    })
    const { handlers, principals } = composeRules({
      origin: ORIGIN,
      trustDomain: TRUST_DOMAIN,
      serviceSpki: this.service.signer.spki,
      logKeys: {
        first: headKey(this.logKey.signer, ORIGIN),
        holds: ({ publicKey }) => !this.notHeld.has(toHex(publicKey)),
      },
      authority,
      permitSigner: this.permit.signer,
      policies: this.#shelf,
      clock: { nowMs: () => this.nowMs, bootMs: () => this.nowMs },
    })
    this.principals = principals
    this.#handlers = new Map(handlers.map((handler) => [handler.type, handler]))
  }

  /** A log with its first batch: genesis, operators, owners, policy. */
  static async create(options: RuleLogOptions = {}): Promise<RuleLog> {
    const log = await RuleLog.empty(options)
    await log.#begin()
    return log
  }

  /** A log with the rules and no entry: not even genesis. */
  static async empty(options: RuleLogOptions = {}): Promise<RuleLog> {
    const { key, certificateDer } = await Authority.createRoot({
      trustDomain: TRUST_DOMAIN,
      nowMs: START_MS - 86_400_000,
      days: 3650,
    })
    return new RuleLog(options, Authority.open({ key, certificateDer }), signerFromPrivateKey(key))
  }

  get size(): number {
    return this.state.size
  }

  get operator(): Party {
    return at(this.operators, 0)
  }

  get owner(): Party {
    return at(this.owners, 0)
  }

  close(): Promise<void> {
    return this.#shelf.close()
  }

  /** What the ledger makes of bytes before a handler sees them. Throws what the kit throws. */
  read(text: string, beside: Beside = {}): Incoming {
    const statement = parseStatement(text)
    const principal = this.principals.find(this.state, statement.header.iss)
    if (principal === undefined) throw new ServiceError('signer_unknown', statement.header.iss)
    verifyStatement(nativePrimitives, statement, { spki: principal.spki, origin: ORIGIN })
    const { disclosures = [], pinned = [], csr } = beside
    const { disclosable } = this.handler(statement.header.type)
    const { payload } = statement
    return {
      statement,
      contentDigest: contentDigest(nativePrimitives, statement),
      disclosures,
      disclosed: matchDisclosures(nativePrimitives, payload, disclosures, disclosable),
      pinned,
      ...(csr === undefined ? {} : { csr }),
    }
  }

  handler(type: string): StatementHandler {
    const handler = this.#handlers.get(type)
    if (handler === undefined) throw new Error(`no handler of ${type}`)
    return handler
  }

  /** Reads and prepares, and no more: to be registered after the state has changed. */
  async prepare(text: string, beside: Beside = {}): Promise<Submission> {
    const incoming = this.read(text, beside)
    const handler = this.handler(incoming.statement.header.type)
    const view = this.state.copy()
    const prepared = await handler.prepare(incoming, view)
    return { ...incoming, prepared: new Map([[0, view.size], ...prepared]) }
  }

  /** Registers what was prepared. */
  register(submission: Submission): Outcome {
    const { statement, contentDigest: digest } = submission
    const handler = this.handler(statement.header.type)
    this.state.timeMs = Math.max(this.state.timeMs, this.nowMs)
    const known = findEvent(this.state, statement.header)
    if (known !== undefined) {
      const registered = at(this.entries, known.index)
      if (Buffer.compare(registered.contentDigest, digest) !== 0) {
        return { type: 'refuse', code: 'event_conflict', by: 'register' }
      }
      const repeat = handler.repeat?.(this.state, registered) ?? { type: 'same' }
      if (repeat.type === 'refuse') return { type: 'refuse', code: repeat.code, by: 'repeat' }
      return this.#answer(handler, registered, true)
    }
    const registration = handler.register(this.state, submission)
    if (registration.type === 'stale') return registration
    if (registration.type === 'refuse') {
      return { type: 'refuse', code: registration.code, by: 'register' }
    }
    const registered = this.#enter(submission, registration)
    return this.#answer(handler, registered, false, registration.erases)
  }

  /** Prepares and registers at once. */
  async submit(text: string, beside: Beside = {}): Promise<Outcome> {
    try {
      if (findEvent(this.state, parseStatement(text).header) === undefined) {
        return this.register(await this.prepare(text, beside))
      }
      return this.register({ ...this.read(text, beside), prepared: new Map([[0, this.size]]) })
    } catch (error) {
      if (error instanceof ServiceError) return { type: 'refuse', code: error.code, by: 'prepare' }
      throw error
    }
  }

  /** What register decides about the entry at `index` on the state before it, from what the entry itself holds. */
  reregister(state: MapState, index: number): Registration {
    const { entry, statement, contentDigest: digest } = at(this.entries, index)
    const replayed: Submission = {
      statement,
      contentDigest: digest,
      disclosures: [],
      disclosed: NOTHING_DISCLOSED,
      pinned: [],
      prepared: entry.prepared,
    }
    return this.handler(statement.header.type).register(state, replayed)
  }

  /** Asks for an agent. The outcome, and the agent as it would be. */
  async issue(
    by: Delegator,
    path: string,
    patch: JsonObject = {},
    options: { readonly key?: Signer; readonly iat?: number } = {},
  ): Promise<{ readonly agent: TestAgent; readonly outcome: Outcome }> {
    const { agent, text } = this.request(by, path, patch, options)
    return { agent, outcome: await this.submit(text, { csr: agent.csr }) }
  }

  /** Issues an agent that must be issued. */
  async agent(by: Delegator, path: string, patch: JsonObject = {}): Promise<TestAgent> {
    const { agent, outcome } = await this.issue(by, path, patch)
    if (resultOf(outcome) !== 'issued') throw new Error(`${path}: ${resultOf(outcome)}`)
    return agent
  }

  /** Decides, and gives what an action event then needs. */
  async decide(
    agent: TestAgent,
    action?: string,
  ): Promise<{ readonly id: string; readonly salt: Uint8Array; readonly outcome: Outcome }> {
    const { text, beside, salt } = this.ask(agent, action)
    const outcome = await this.submit(text, beside)
    const id = outcome.type === 'entry' ? decisionIdOf(outcome) : ''
    return { id, salt, outcome }
  }

  /** Revokes. */
  revoke(by: Party, target: string): Promise<Outcome> {
    return this.submit(this.sign(by, 'agent.revoke', target, { target, reason: 'compromised' }))
  }

  /** Activates a policy, signed by one operator. */
  activate(by: Party, pack: Uint8Array, revision: string): Promise<Outcome> {
    const payload = { policy: toBase64url(policyDigest(pack)), revision }
    const text = this.sign(by, 'policy.activate', 'policy', payload)
    return this.submit(text, { pinned: [pack] })
  }

  /** Enrols an operator. */
  enrolOperator(by: Party, whom: Party): Promise<Outcome> {
    const payload = { key: toBase64url(whom.signer.spki) }
    return this.submit(this.sign(by, 'operator.enroll', `operator:${whom.kid}`, payload))
  }

  /** Enrols an owner. */
  enrolOwner(by: Party, whom: Party, patterns: readonly string[]): Promise<Outcome> {
    const payload = { key: toBase64url(whom.signer.spki), patterns }
    return this.submit(this.sign(by, 'owner.enroll', `owner:${whom.kid}`, payload))
  }

  async #begin(): Promise<void> {
    const must = async (outcome: Promise<Outcome>): Promise<void> => {
      const found = await outcome
      if (found.type !== 'entry') throw new Error(`first batch: ${JSON.stringify(found)}`)
    }
    await must(this.submit(this.genesis()))
    for (const operator of this.operators) await must(this.enrolOperator(this.service, operator))
    for (const [n, owner] of this.owners.entries()) {
      await must(this.enrolOwner(this.service, owner, at(this.genesisFacts.owners, n)))
    }
    await must(this.activate(this.service, this.policyPack, readDefaultPolicy().revision))
  }

  #enter(
    submission: Submission,
    registration: Extract<Registration, { readonly type: 'entry' }>,
  ): RegisteredEntry {
    const { statement } = submission
    const { header } = statement
    const outcome = new Map(registration.outcome)
    if (header.seq !== undefined) {
      outcome.set(SEQUENCE_STATUS_KEY, sequenceStatus(this.state, header.iss, header.seq))
    }
    const bytes = encodeEntry({
      index: this.state.size,
      kind: registration.kind,
      timeMs: this.state.timeMs,
      media: statement.media,
      statement: statement.bytes,
      prepared: new Map([[0, submission.prepared.get(0) ?? 0], ...registration.prepared]),
      outcome,
      links: registration.subjects.map((subject) => nextLink(this.state, subject)),
    })
    const entry = decodeEntry(bytes)
    const read = parseEntryStatement(entry)
    const registered: RegisteredEntry = {
      entry,
      leafHash: leafHash(nativePrimitives, bytes),
      statement: read,
      contentDigest: contentDigest(nativePrimitives, read),
    }
    this.#disclosed.set(entry.index, submission.disclosed.values)
    for (const index of registration.erases ?? []) this.#disclosed.delete(index)
    for (const pack of submission.pinned) this.#pinned.set(toHex(policyDigest(pack)), pack)
    this.entries.push(registered)
    this.state.apply(ALL_FOLDS, registered)
    return registered
  }

  #answer(
    handler: StatementHandler,
    registered: RegisteredEntry,
    repeated: boolean,
    erases: readonly number[] = [],
  ): Outcome {
    const { entry } = registered
    const disclosed = this.#disclosed.get(entry.index) ?? NOTHING_DISCLOSED.values
    try {
      const answer = handler.answer?.({ ...registered, repeated, disclosed })
      const result = word(entry.outcome.get(0))
      return { type: 'entry', registered, repeated, result, answer, erases }
    } catch (error) {
      if (error instanceof ServiceError) return { type: 'refuse', code: error.code, by: 'answer' }
      throw error
    }
  }
}

/** The result word of an entry, or the code of a refusal, or `stale`. */
export function resultOf(outcome: Outcome): string {
  if (outcome.type === 'entry') return outcome.result
  return outcome.type === 'refuse' ? outcome.code : 'stale'
}

/** The entry of an outcome that must have one. */
export function entryOf(outcome: Outcome): RegisteredEntry['entry'] {
  if (outcome.type !== 'entry') throw new Error(`no entry: ${JSON.stringify(outcome)}`)
  return outcome.registered.entry
}

/** Prepared or outcome without the sequence status, which the ledger adds. */
export function withoutSequence(map: CborMap): CborMap {
  return new Map([...map].filter(([key]) => key !== SEQUENCE_STATUS_KEY))
}

/** The id of the decision that an outcome recorded. */
export function decisionIdOf(outcome: Outcome): string {
  return word(entryOf(outcome).prepared.get(1))
}

/** A value of an entry that must be text. */
export function word(value: CborValue | undefined): string {
  if (typeof value !== 'string') throw new Error('not a text')
  return value
}
