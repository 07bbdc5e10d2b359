/**
 * @module The identity of one running agent: a key that never leaves this process, the certificate that names its
 * owner and ancestors, and what an agent does with it: ask, act, report, start children, revoke them.
 */
import {
  canonicalScope,
  formatLineage,
  type Hash,
  type JsonValue,
  type Lineage,
  parseInstanceId,
  type Receipt,
  toBase64url,
  toHex,
} from '@trustwarden/proofs'
import { type ActionRecord, actionDraft, type Recorded, recordedOf } from './action.ts'
import { revoke, type RevokeOptions } from './administration.ts'
import { type ChainEntry, readChain } from './chain.ts'
import type { CallOptions, Registered, TrustWarden } from './client.ts'
import { createCsr } from './csr.ts'
import { parseDuration } from './duration.ts'
import { type ReadEntry, readEntry } from './entry.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import { type Issuance, openIssuance } from './issuance.ts'
import {
  type ActionRequest,
  decisionDraft,
  openDecision,
  type Permission,
  prepareRequest,
} from './permission.ts'
import type { PersonKey } from './person.ts'
import { drawKey, type SigningKey, signingKey } from './signing-key.ts'
import {
  disclose,
  drawBytes,
  type SignedStatement,
  signStatement,
  type StatementSigner,
} from './statement.ts'

/** What every new identity is told. */
interface IdentityOptions extends CallOptions {
  /** Path of the agent's name, such as `finance/orchestrator`; without a `/`, under its parent's. */
  readonly name: string
  /** Grants, such as `read:transactions`; a child's must be strictly within its parent's. */
  readonly scope: readonly string[]
  /** Life of the certificate: seconds, or `45s`, `15m`, `1h`; `1h` by default, 60 s to 24 h. */
  readonly ttl?: string | number
  /** How many delegations may follow below: 8 for an owner's agent, else as many as its parent's. */
  readonly maxDepth?: number
  /** Name patterns for its own children; for an owner's agent everything under its name, below that nothing. */
  readonly mayCreate?: readonly string[]
  /** When all life ends, renewals included: at most 30 days, and not after the parent's. */
  readonly ceiling?: Date
}

/** An agent that an owner starts. */
export interface RootOptions extends IdentityOptions {
  readonly client: TrustWarden
  readonly owner: PersonKey
}

/** An agent that another agent starts. */
export interface ChildOptions extends IdentityOptions {
  readonly parent: AgentIdentity
  /** What the child talks through, to the same log; its parent's by default. */
  readonly client?: TrustWarden
}

/** What `perform` is told besides the action. */
export interface PerformOptions extends CallOptions {
  /** Recorded with the outcome; committed to, and erasable. Checked before anything runs. */
  readonly details?: JsonValue
  /** Told the entry and its receipt once the outcome is recorded. */
  readonly onRecorded?: (recorded: Recorded) => void
}

const CEILING_S_MAX = 30 * 86_400
/** Clocks differ: an owner's agent asks for this much less than the longest life. */
const CEILING_MARGIN_S = 600
const DEPTH_MAX = 8

/** Where an identity comes from: what a child's record takes over from its parent's, or from its owner. */
interface Origin {
  readonly signer: StatementSigner
  readonly parent: JsonValue
  readonly authorization: Hash | null
  readonly ownerSpki: Uint8Array
  readonly owner: string
  readonly depth: number
  readonly maxDepth: number
  readonly ceilingS: number
  readonly ancestors: readonly { readonly instance: string; readonly size: number }[]
}

interface IdentityParts {
  readonly client: TrustWarden
  readonly key: SigningKey
  readonly origin: Origin
  readonly registered: Registered
  readonly issuance: Issuance
}

/** One running instance of an agent. */
export class AgentIdentity {
  readonly client: TrustWarden
  /** Instance id: `spiffe://<trust domain>/<name>/inst-…`. */
  readonly id: string
  /** The agent's name: the id without the instance. */
  readonly name: string
  readonly scope: readonly string[]
  /** `owner:<kid>`: who answers for it. */
  readonly owner: string
  readonly depth: number
  /** Instance id of the agent that started it; `null` for an owner's own. */
  readonly parent: string | null
  /** X.509-SVID, DER. */
  readonly certificate: Uint8Array
  readonly notAfter: Date
  /** Proof of the issuance. */
  readonly receipt: Receipt
  /** Receipts of the chain's issuances, root → self: what a verifier walks offline. */
  readonly lineage: Lineage
  readonly #key: SigningKey
  readonly #origin: Origin
  readonly #issuance: Issuance
  readonly #digest: Hash
  readonly #signer: StatementSigner
  #seq = 0

  private constructor({ client, key, origin, registered, issuance }: IdentityParts) {
    const { record, certificate, lineage } = issuance
    this.client = client
    this.id = record.child.instance.id
    this.name = record.child.instance.name
    this.scope = record.scope.texts
    this.owner = record.owner
    this.depth = record.depth
    this.parent = record.parent?.instance.id ?? null
    this.certificate = certificate.der
    this.notAfter = new Date(certificate.notAfterMs)
    this.receipt = registered.receipt
    this.lineage = lineage
    this.#key = key
    this.#origin = origin
    this.#issuance = issuance
    this.#digest = registered.digest
    this.#signer = { issuer: this.id, key, nextSeq: () => ++this.#seq }
  }

  /**
   * Starts an agent: draws its P-256 key here, has its owner or parent sign the delegation, gets the certificate, and
   * verifies certificate, record, receipt and lineage under the trust anchor before it returns.
   *
   * @throws TrustWardenError the service's code for a refusal, with the receipt of the recorded refusal;
   *   `argument_invalid`; `issuance_invalid`; and as `TrustWarden.submit`.
   * @see FORMAT §9
   */
  static async create(options: RootOptions | ChildOptions): Promise<AgentIdentity> {
    const client = clientOf(options)
    const { signal } = options
    const origin = 'parent' in options ? options.parent.#asOrigin() : rootOrigin(options)
    // The freshest head: a revocation by name is lifted for records that know of it.
    const { head } = await client.checkpoint({ signal })
    const key = signingKey(drawKey('ES256'))
    const csr = createCsr(key)
    const signed = signRecord(client, { options, origin, key, csr, size: head.size })
    const registered = await client.submit('agents', signed, { csr, signal })
    const { ancestors, ownerSpki } = origin
    const issuance = openIssuance(client, registered, {
      signed,
      spki: key.spki,
      ancestors,
      ownerSpki,
    })
    return new AgentIdentity({ client, key, origin, registered, issuance })
  }

  /** The key id of the instance. */
  get kid(): string {
    return this.#key.kid
  }

  /** The lineage as bytes, to hand to whoever verifies (FORMAT §9.3). */
  get lineageBytes(): Uint8Array {
    return formatLineage(this.lineage)
  }

  /** Starts a child of this agent. @throws TrustWardenError as `AgentIdentity.create` */
  async startChild(options: Omit<ChildOptions, 'parent'>): Promise<AgentIdentity> {
    return AgentIdentity.create({ ...options, parent: this })
  }

  /**
   * Asks whether an action is allowed. Fails closed: whatever goes wrong is thrown, and an allow is one that the log's
   * entry, its receipt and the permit agree on.
   *
   * @throws TrustWardenError as `TrustWarden.submit`; `permit_invalid`; `argument_invalid`.
   * @see FORMAT §10
   */
  async authorize(request: ActionRequest, options: CallOptions = {}): Promise<Permission> {
    const { client, id } = this
    const prepared = prepareRequest(client, id, request)
    const signed = this.#sign(decisionDraft(id, prepared, request.context))
    const registered = await client.submit('evaluation', signed, options)
    return openDecision(client, registered, prepared, { instance: id, kid: this.kid })
  }

  /**
   * Records what was done. What was done without a permission is recorded too, and the verdict says so.
   *
   * @throws TrustWardenError as `TrustWarden.submit`; `argument_invalid`.
   */
  async record(event: ActionRecord, options: CallOptions = {}): Promise<Recorded> {
    return recordedOf(await this.client.submit('statements', this.#signAction(event), options))
  }

  /**
   * Records many events, as few requests as their size permits.
   *
   * @returns For each, in order, its entry or the error that kept it out of the log.
   */
  async recordMany(
    events: readonly ActionRecord[],
    options: CallOptions = {},
  ): Promise<readonly (Recorded | TrustWardenError)[]> {
    const signed = events.map((event) => this.#signAction(event))
    const results = await this.client.submitMany(signed, options)
    return results.map((one) => (one instanceof TrustWardenError ? one : recordedOf(one)))
  }

  /**
   * Asks, acts and reports in one: runs `act` if the action is allowed, and records success, or failure if it throws.
   *
   * @returns What `act` returned.
   * @throws TrustWardenError `denied`, with reasons and receipt, and nothing was run; `record_failed` if it was run
   *   and could not be recorded; whatever `act` throws, after the failure was recorded; as `authorize`.
   */
  async perform<T>(
    request: ActionRequest,
    act: (permission: Permission) => T | Promise<T>,
    options: PerformOptions = {},
  ): Promise<T> {
    const { details, onRecorded } = options
    // What cannot be recorded must not run: an action is done once it is done.
    inSdkWords('argument_invalid', 'details', () => disclose({ details }))
    const permission = await this.authorize(request, options)
    if (!permission.allowed) {
      const { effect, reasons, receipt } = permission
      const why = `${request.action}: ${effect} (${reasons.join(', ')})`
      throw new TrustWardenError('denied', why, { receipt, reasons })
    }
    const report = { permission, ...(details === undefined ? {} : { details }) }
    let result: T
    try {
      result = await act(permission)
    } catch (thrown) {
      const failure = await this.#report({ ...report, outcome: 'failure' }, [thrown])
      onRecorded?.(failure)
      throw thrown
    }
    const success = await this.#report({ ...report, outcome: 'success' }, [])
    onRecorded?.(success)
    return result
  }

  /**
   * Revokes a descendant, for good: its next request is denied.
   *
   * @param target - The child, its instance id, or a subject (FORMAT §5.2).
   */
  async revoke(
    target: AgentIdentity | string,
    options: RevokeOptions & CallOptions = {},
  ): Promise<Registered> {
    const id = typeof target === 'string' ? target : target.id
    const subject = id.startsWith('spiffe:') ? `inst:${id}` : id
    return revoke(this.client, this.#signer, subject, options)
  }

  /** Reads one of the agent's own entries, with its receipt and the disclosures that are still there. */
  async entry(index: number, options: CallOptions = {}): Promise<ReadEntry> {
    return readEntry(this.client, this.#signer, index, options)
  }

  /** Reads the agent's own entries, newest first (`readChain`). */
  entries(options: CallOptions = {}): AsyncGenerator<ChainEntry, void> {
    return readChain(this.client, this.#signer, `inst:${this.id}`, options)
  }

  /** Connects all heads that the client saw by consistency proofs, now. @throws TrustWardenError `log_forked` */
  async confirmHeads(options: CallOptions = {}): Promise<void> {
    await this.client.confirmHeads(this.#signer, options)
  }

  async #report(event: ActionRecord, thrown: readonly unknown[]): Promise<Recorded> {
    try {
      return await this.record(event)
    } catch (error) {
      const cause = thrown.length === 0 ? error : new AggregateError([...thrown, error])
      const why = error instanceof Error ? error.message : 'unknown'
      throw new TrustWardenError('record_failed', `performed, but not recorded: ${why}`, { cause })
    }
  }

  #sign(draft: Parameters<typeof signStatement>[2]): SignedStatement {
    const { origin, envelope } = this.client
    return signStatement(this.#signer, origin, { ...draft, envelope })
  }

  #signAction(event: ActionRecord): SignedStatement {
    return this.#sign(actionDraft(this.client.primitives, this, event))
  }

  #asOrigin(): Origin {
    const { record } = this.#issuance
    const { ancestors, authorization, ownerSpki } = this.#origin
    return {
      signer: this.#signer,
      parent: { instance: this.id, key: this.kid, record: toBase64url(this.#digest) },
      authorization: authorization ?? this.#digest,
      ownerSpki,
      owner: this.owner,
      depth: this.depth + 1,
      maxDepth: record.maxDepth,
      ceilingS: record.ceiling,
      ancestors: [...ancestors, { instance: this.id, size: record.size }],
    }
  }
}

function clientOf(options: RootOptions | ChildOptions): TrustWarden {
  if (!('parent' in options)) return options.client
  const { parent, client = parent.client } = options
  if (client.origin !== parent.client.origin)
    throw new TrustWardenError('argument_invalid', "client: of another log than the parent's")
  return client
}

function rootOrigin({ owner }: RootOptions): Origin {
  return {
    signer: owner.as('owner'),
    parent: null,
    authorization: null,
    ownerSpki: owner.spki,
    owner: owner.principal('owner'),
    depth: 0,
    maxDepth: DEPTH_MAX,
    ceilingS: Math.floor(Date.now() / 1000) + CEILING_S_MAX - CEILING_MARGIN_S,
    ancestors: [],
  }
}

/** The path of a new agent's name: a child's single segment stands under its parent's name. */
function namePath(options: RootOptions | ChildOptions, trustDomain: string): string {
  if (!('parent' in options) || options.name.includes('/')) return options.name
  return `${options.parent.name.slice(`spiffe://${trustDomain}/`.length)}/${options.name}`
}

function signRecord(
  client: TrustWarden,
  asked: {
    readonly options: RootOptions | ChildOptions
    readonly origin: Origin
    readonly key: SigningKey
    readonly csr: Uint8Array
    readonly size: number
  },
): SignedStatement {
  const { options, origin, key, csr, size } = asked
  return inSdkWords('argument_invalid', 'identity', () => {
    const { trustDomain, primitives } = client
    const path = namePath(options, trustDomain)
    const id = `spiffe://${trustDomain}/${path}/inst-${toHex(drawBytes(16))}`
    parseInstanceId(id)
    const { authorization, depth, parent, owner } = origin
    const ceiling = options.ceiling === undefined ? undefined : options.ceiling.getTime() / 1000
    return signStatement(origin.signer, client.origin, {
      type: 'agent.issue',
      subject: id,
      envelope: client.envelope,
      payload: {
        trust_domain: trustDomain,
        parent,
        child: { instance: id, key: key.kid, csr: toBase64url(primitives.sha256(csr)) },
        owner,
        authorization: authorization === null ? null : toBase64url(authorization),
        scope: canonicalScope(options.scope),
        depth,
        max_depth: options.maxDepth ?? origin.maxDepth,
        may_create: options.mayCreate ?? (depth === 0 ? [`${path}/**`] : []),
        size,
        ttl: parseDuration(options.ttl ?? '1h', 'ttl'),
        ceiling: Math.floor(ceiling ?? origin.ceilingS),
      },
    })
  })
}
