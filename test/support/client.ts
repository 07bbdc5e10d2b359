/**
 * @module A client of the service for tests: signs as one principal, sends over a socket or into an opened app, and
 * hands back what was answered, right or wrong. It verifies nothing; that is the test's affair.
 *
 *     const owner = TestClient.owner(log.owner, { url, origin, trustDomain })   // a running process (service.ts)
 *     const { owner, operator } = await openTestService()                       // in this process (opened-service.ts)
 *
 *     const { agent } = await owner.issue('finance/bot/inst-00001')   // agent is a TestClient that signs as the agent
 *     const child = await agent.issue('finance/bot/a/inst-00002', { scope: ['read:transactions'] })
 *     const asked = await agent.decide('read:transactions')           // asked.id, asked.salt, asked.effect, asked.reply
 *     const done = await agent.act(asked)                             // done.reply, done.outcome: 'matched'
 *     await owner.revoke(`inst:${agent.principal}`)
 *     await operator.enroll('reader', identity)
 *     const reply = await agent.read('/logs/main/v1/entries/7')       // signed GET; `ask` sends an unsigned one
 *     const reply = await owner.submit([made, made])                  // POST …/v1/statements of what `make…` signed
 *
 * `make…` methods sign without sending: what they give can be sent twice, or after a crash, byte by byte the same. A
 * `Reply` has `status`, `headers`, `bytes`, and `json()`. Nothing is retried.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import {
  actionDigest,
  canonicalJson,
  contentDigest,
  disclosureDigest,
  formatCoseStatement,
  formatStatement,
  fromBase64url,
  type Hash,
  type JsonObject,
  type JsonValue,
  keyId,
  makeDisclosure,
  MEDIA_COSE,
  parseStatement,
  type SigningHeader,
  signingInput,
  type Statement,
  type StatementMedia,
  toBase64url,
  utf8Encode,
} from '@trustwarden/proofs'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { readKeyFile } from '../../src/keys.ts'
import { createCsr } from '../../src/sdk/csr.ts'
import { drawKey, type SigningKey, signingKey } from '../../src/sdk/signing-key.ts'

/** Who signs. */
export interface Identity {
  readonly principal: string
  readonly key: SigningKey
}

/** Where the service is: a URL, or an app in this process. */
export interface Target {
  readonly url?: string
  readonly app?: FastifyInstance
  readonly origin: string
  readonly trustDomain: string
  /** For a service whose clock the test moves. */
  readonly nowMs?: () => number
  /** Default: JWS. */
  readonly media?: StatementMedia
}

/** An answer, whatever it is. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Buffer
  /** The body as JSON. */
  readonly json: () => Readonly<Record<string, JsonValue>>
}

/** A statement as it is sent: signed once. */
export interface Made {
  /** Compact JWS, or base64url of a COSE_Sign1. */
  readonly statement: string
  readonly media?: StatementMedia
  readonly disclosures?: readonly string[]
  readonly csr?: string
  readonly attachments?: readonly string[]
}

/** A decision that was asked for. */
export interface Asked {
  readonly reply: Reply
  readonly made: Made
  readonly salt: Uint8Array
  readonly action: string
  /** Decision id and effect; empty where there is none. */
  readonly id: string
  readonly effect: string
}

/** Claims that a test sets itself. */
export interface Claims {
  readonly iat?: number
  readonly jti?: string
  readonly seq?: number
  readonly aud?: string
}

/** What an agent's own record said: what its children's records name. */
interface DelegationRecord {
  readonly payload: JsonObject
  readonly digest: Hash
  readonly root: Hash
}

export const RESOURCE = { type: 'ledger', id: 'https://bank.example/ledger' }

/** One principal at one service. */
export class TestClient {
  readonly target: Target
  readonly identity: Identity
  readonly #record: DelegationRecord | undefined
  #seq = 0

  constructor(
    options: Target & { readonly identity: Identity; readonly record?: DelegationRecord },
  ) {
    const { identity, record, ...target } = options
    this.identity = identity
    this.target = target
    this.#record = record
  }

  /** The owner, operator or reader whose private key file this is. */
  static owner(path: string, target: Target): TestClient {
    return TestClient.#fromFile('owner', path, target)
  }

  static operator(path: string, target: Target): TestClient {
    return TestClient.#fromFile('operator', path, target)
  }

  static reader(path: string, target: Target): TestClient {
    return TestClient.#fromFile('reader', path, target)
  }

  static #fromFile(role: string, path: string, target: Target): TestClient {
    const key = signerFromPrivateKey(readKeyFile(path))
    const kid = keyId(nativePrimitives, key.spki)
    return new TestClient({
      ...target,
      identity: { principal: `${role}:${kid}`, key: { ...key, kid } },
    })
  }

  get principal(): string {
    return this.identity.principal
  }

  /** The same principal, which signs in COSE. */
  inCose(): TestClient {
    const record = this.#record === undefined ? {} : { record: this.#record }
    return new TestClient({ ...this.target, identity: this.identity, ...record, media: MEDIA_COSE })
  }

  /** `/logs/<name>` of the target. */
  get logPath(): string {
    return this.target.origin.slice(this.target.origin.indexOf('/'))
  }

  nowMs(): number {
    return this.target.nowMs?.() ?? Date.now()
  }

  /** Signs a statement of any type. */
  make(type: string, sub: string, payload: JsonObject, claims: Claims = {}): Made {
    const { principal, key } = this.identity
    const isAgent = principal.startsWith('spiffe:')
    const header: SigningHeader = {
      alg: key.alg,
      kid: key.kid,
      type,
      aud: claims.aud ?? this.target.origin,
      iss: principal,
      sub,
      iat: claims.iat ?? Math.floor(this.nowMs() / 1000),
      jti: claims.jti ?? randomUUID(),
      ...(isAgent ? { seq: claims.seq ?? ++this.#seq } : {}),
    }
    const bytes = canonicalJson(payload)
    const { media } = this.target
    const signature = key.sign(signingInput(header, bytes, media))
    if (media !== MEDIA_COSE) return { statement: formatStatement(header, bytes, signature) }
    return { statement: toBase64url(formatCoseStatement(header, bytes, signature)), media }
  }

  /** A credential for one request (FORMAT §3.5); `patch` replaces claims and what it is for. */
  credential(
    path: string,
    patch: { readonly method?: string; readonly iat?: number; readonly aud?: string } = {},
  ): string {
    const { principal, key } = this.identity
    const header = canonicalJson({
      alg: key.alg,
      kid: key.kid,
      typ: 'vnd.trustwarden.read',
      aud: patch.aud ?? this.target.origin,
      iss: principal,
      iat: patch.iat ?? Math.floor(this.nowMs() / 1000),
    })
    const payload = canonicalJson({ method: patch.method ?? 'GET', path })
    const signed = `${toBase64url(header)}.${toBase64url(payload)}`
    return `TrustWarden ${signed}.${toBase64url(key.sign(utf8Encode(signed)))}`
  }

  /** Sends a request as it is. */
  async ask(
    method: string,
    path: string,
    options: {
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: Uint8Array
    } = {},
  ): Promise<Reply> {
    const { app, url } = this.target
    const { headers = {}, body } = options
    if (app !== undefined) {
      const answer = await app.inject({
        method: method as NonNullable<InjectOptions['method']>,
        url: path,
        headers,
        ...(body === undefined ? {} : { payload: Buffer.from(body) }),
      })
      return replyOf(answer.statusCode, Object.entries(answer.headers), answer.rawPayload)
    }
    if (url === undefined) throw new Error('the target has neither url nor app')
    const answer = await fetch(url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
    })
    return replyOf(answer.status, answer.headers.entries(), Buffer.from(await answer.arrayBuffer()))
  }

  /** Reads as this principal. */
  read(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.ask('GET', path, { headers: { ...headers, authorization: this.credential(path) } })
  }

  /** Sends JSON. */
  post(
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    return this.ask('POST', path, {
      headers: { 'content-type': 'application/json', ...headers },
      body: Buffer.from(JSON.stringify(body)),
    })
  }

  /** Submits statements to `/v1/statements`. */
  submit(statements: readonly Made[]): Promise<Reply> {
    return this.post(`${this.logPath}/v1/statements`, { statements })
  }

  /** Signs a delegation record for a new agent with a key of its own. */
  makeIssue(
    path: string,
    patch: JsonObject = {},
    claims: Claims = {},
  ): { readonly made: Made; readonly agent: TestClient } {
    const { trustDomain } = this.target
    const key = signingKey(drawKey('ES256'))
    const csr = createCsr(key)
    const principal = `spiffe://${trustDomain}/${path}`
    const payload: JsonObject = {
      ...this.#delegation(),
      child: {
        instance: principal,
        key: key.kid,
        csr: toBase64url(nativePrimitives.sha256(csr)),
      },
      ...patch,
    }
    const made = this.make('agent.issue', principal, payload, claims)
    const digest = contentDigest(nativePrimitives, parseMade(made))
    const record = { payload, digest, root: this.#record?.root ?? digest }
    const agent = new TestClient({ ...this.target, identity: { principal, key }, record })
    return { made: { ...made, csr: toBase64url(csr) }, agent }
  }

  /** Issues an agent: as an owner its own, as an agent a child. */
  async issue(
    path: string,
    patch: JsonObject = {},
  ): Promise<{ readonly reply: Reply; readonly agent: TestClient; readonly made: Made }> {
    const { made, agent } = this.makeIssue(path, patch)
    return { reply: await this.post(`${this.logPath}/v1/agents`, made), agent, made }
  }

  /** Signs a decision request. */
  makeDecision(
    action = 'read:transactions',
    claims: Claims = {},
  ): { readonly made: Made; readonly salt: Uint8Array } {
    const salt = new Uint8Array(randomBytes(16))
    const instance = this.principal
    const digest = actionDigest(nativePrimitives, { salt, instance, action, resource: RESOURCE })
    const disclosures = [makeDisclosure(randomBytes(16), 'salt', toBase64url(salt))]
    const made = this.make(
      'decision',
      instance,
      {
        subject: { type: 'agent', id: instance },
        action: { name: action },
        resource: RESOURCE,
        action_digest: toBase64url(digest),
        ...commitments(disclosures),
      },
      claims,
    )
    return { made: { ...made, disclosures }, salt }
  }

  /** Asks for an action. */
  async decide(action = 'read:transactions'): Promise<Asked> {
    const { made, salt } = this.makeDecision(action)
    const reply = await this.post('/access/v1/evaluation', made)
    const context = reply.json()['context'] as Readonly<Record<string, JsonValue>> | undefined
    const text = (name: string): string => {
      const value = context?.[name]
      return typeof value === 'string' ? value : ''
    }
    return { reply, made, salt, action, id: text('decision_id'), effect: text('effect') }
  }

  /** Signs an action event: of a decision, or of none. */
  makeAction(
    decision: Pick<Asked, 'id' | 'salt' | 'action'> | null = null,
    claims: Claims & { readonly details?: JsonValue } = {},
  ): Made {
    const payload = this.#record?.payload ?? {}
    const parent = payload['parent'] as Readonly<Record<string, JsonValue>> | null | undefined
    const jti = claims.jti ?? randomUUID()
    const action = decision?.action ?? 'read:transactions'
    const disclosures: string[] = []
    let digest: string | null = null
    if (decision !== null) {
      const { salt } = decision
      const instance = this.principal
      digest = toBase64url(
        actionDigest(nativePrimitives, { salt, instance, action, resource: RESOURCE }),
      )
      disclosures.push(makeDisclosure(randomBytes(16), 'salt', toBase64url(salt)))
    }
    if (claims.details !== undefined)
      disclosures.push(makeDisclosure(randomBytes(16), 'details', claims.details))
    const made = this.make(
      'action',
      this.principal,
      {
        event_id: jti,
        agent_id: this.principal.slice(0, this.principal.lastIndexOf('/')),
        agent_identity: this.principal,
        parent_agent_id: parent?.['instance'] ?? null,
        action,
        resource: RESOURCE,
        timestamp: new Date(this.nowMs()).toISOString(),
        outcome: 'success',
        authorized_by: payload['owner'] ?? '',
        decision: decision?.id ?? null,
        action_digest: digest,
        ...commitments(disclosures),
      },
      { ...claims, jti },
    )
    return { ...made, ...(disclosures.length === 0 ? {} : { disclosures }) }
  }

  /** Reports an action. */
  async act(
    decision: Pick<Asked, 'id' | 'salt' | 'action'> | null = null,
  ): Promise<{ readonly reply: Reply; readonly made: Made; readonly outcome: string }> {
    const made = this.makeAction(decision)
    const reply = await this.submit([made])
    return { reply, made, outcome: outcomeOf(reply) }
  }

  /** Signs a revocation of a subject (`inst:…`, `agent:…`, `owner:…`). */
  makeRevocation(target: string, claims: Claims = {}): Made {
    return this.make('agent.revoke', target, { target, reason: 'compromised' }, claims)
  }

  /** Revokes. */
  revoke(target: string): Promise<Reply> {
    return this.submit([this.makeRevocation(target)])
  }

  /** Signs the enrolment of a reader, owner or operator. */
  makeEnrolment(role: 'reader' | 'owner' | 'operator', whom: Identity, patterns = ['**']): Made {
    const key = toBase64url(whom.key.spki)
    const [type, payload] =
      role === 'reader'
        ? ['member.enroll', { role, key }]
        : role === 'owner'
          ? ['owner.enroll', { key, patterns }]
          : ['operator.enroll', { key }]
    return this.make(type, whom.principal, payload)
  }

  /** Enrols. */
  enroll(
    role: 'reader' | 'owner' | 'operator',
    whom: Identity,
    patterns: string[] = ['**'],
  ): Promise<Reply> {
    return this.submit([this.makeEnrolment(role, whom, patterns)])
  }

  #delegation(): JsonObject {
    const { trustDomain } = this.target
    const own = this.#record
    const common = { trust_domain: trustDomain, size: 1, ttl: 3600 }
    if (own === undefined)
      return {
        ...common,
        parent: null,
        owner: this.principal,
        authorization: null,
        scope: ['read:**', 'write:reports/**'],
        depth: 0,
        max_depth: 8,
        may_create: ['**'],
        ceiling: Math.floor(this.nowMs() / 1000) + 86_400,
      }
    return {
      ...common,
      parent: {
        instance: this.principal,
        key: this.identity.key.kid,
        record: toBase64url(own.digest),
      },
      owner: own.payload['owner'] ?? null,
      authorization: toBase64url(own.root),
      scope: ['read:transactions'],
      depth: Number(own.payload['depth']) + 1,
      max_depth: own.payload['max_depth'] ?? null,
      may_create: [],
      ceiling: own.payload['ceiling'] ?? null,
    }
  }
}

/** The statement that was made. */
export function parseMade({ statement, media }: Made): Statement {
  return media === MEDIA_COSE
    ? parseStatement(fromBase64url(statement), media)
    : parseStatement(statement)
}

/** The results of `/v1/statements`, in order. */
export function resultsOf(reply: Reply): readonly Readonly<Record<string, JsonValue>>[] {
  const { results } = reply.json() as { readonly results?: unknown }
  if (!Array.isArray(results))
    throw new Error(`no results: ${reply.status} ${reply.bytes.toString()}`)
  return results as readonly Readonly<Record<string, JsonValue>>[]
}

/** The outcome of the first result, or the code of its refusal. */
export function outcomeOf(reply: Reply): string {
  const [first] = resultsOf(reply)
  const refused = first?.['problem'] as Readonly<Record<string, JsonValue>> | undefined
  return String((refused === undefined ? first?.['outcome'] : refused['code']) as string)
}

function commitments(disclosures: readonly string[]): JsonObject {
  if (disclosures.length === 0) return {}
  const digests = disclosures.map((text) => disclosureDigest(nativePrimitives, text))
  return { _sd: digests.toSorted(), _sd_alg: 'sha-256' }
}

function replyOf(
  status: number,
  headers: Iterable<readonly [string, unknown]>,
  bytes: Buffer,
): Reply {
  const texts = [...headers].map(([name, value]) => [name, String(value as string)] as const)
  return {
    status,
    headers: Object.fromEntries(texts),
    bytes,
    json: () => JSON.parse(bytes.toString()) as Readonly<Record<string, JsonValue>>,
  }
}
