/**
 * @module Load for a running service: statements of an owner, an operator and agents, signed as their signers do, sent
 * over HTTP, and every receipt that was acknowledged kept. What was sent and not answered is kept too: a caller repeats it.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import {
  actionDigest,
  canonicalJson,
  contentDigest,
  disclosureDigest,
  formatStatement,
  jsonArray,
  jsonObject,
  type JsonObject,
  type JsonValue,
  makeDisclosure,
  parseReceipt,
  parseStatement,
  type Receipt,
  signingInput,
  toBase64url,
  toHex,
  utf8Encode,
} from '@trustwarden/proofs'
import { keyId } from '../../proofs/key.ts'
import {
  generateKey,
  nativePrimitives,
  type Signer,
  signerFromPrivateKey,
} from '../../src/crypto.ts'
import { readKeyFile } from '../../src/keys.ts'
import type { Submitted } from '../../src/ledger/prepare.ts'
import { makeCsr, type Party } from './rule-party.ts'
import type { LogDirectory } from './service.ts'

/** A signed statement and what travels beside it. */
export interface Said {
  readonly text: string
  readonly disclosures: readonly string[]
  readonly csr?: Uint8Array
}

/** An agent with its key and its delegation record. */
export interface LoadAgent extends Party {
  readonly name: string
  readonly record: string
  readonly root: string
  readonly payload: JsonObject
}

/** A decision as an action refers to it. */
export interface Decided {
  readonly id: string
  readonly salt: Uint8Array
}

/** Who speaks to which log, and what time they think it is. */
export interface SpeakerOptions {
  readonly origin: string
  readonly trustDomain: string
  readonly owner: Signer
  readonly operator: Signer
  readonly nowMs?: () => number
}

const ACTION = 'read:transactions'
const RESOURCE = { type: 'ledger', id: 'https://bank.example/ledger' }

const partyOf = (role: string, signer: Signer): Party => {
  const kid = keyId(nativePrimitives, signer.spki)
  return { principal: `${role}:${kid}`, kid, signer }
}

const disclose = (values: Readonly<Record<string, JsonValue | undefined>>): readonly string[] =>
  Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [makeDisclosure(randomBytes(16), name, value)],
  )

function commitments(disclosures: readonly string[]): JsonObject {
  if (disclosures.length === 0) return {}
  const digests = disclosures.map((text) => disclosureDigest(nativePrimitives, text))
  return { _sd: digests.sort(), _sd_alg: 'sha-256' }
}

/** Makes statements of every type that a test needs. */
export class Speaker {
  readonly origin: string
  readonly trustDomain: string
  readonly owner: Party
  readonly operator: Party
  readonly nowMs: () => number
  #seq = 0

  constructor(options: SpeakerOptions) {
    this.origin = options.origin
    this.trustDomain = options.trustDomain
    this.owner = partyOf('owner', options.owner)
    this.operator = partyOf('operator', options.operator)
    this.nowMs = options.nowMs ?? Date.now
  }

  /** The people of a log that `makeLog` made. */
  static of(log: LogDirectory, origin = 'acme.example/logs/agents'): Speaker {
    const signer = (path: string) => signerFromPrivateKey(readKeyFile(path))
    const [owner, operator] = [signer(log.owner), signer(log.operator)]
    return new Speaker({ origin, trustDomain: 'acme.example', owner, operator })
  }

  /** Signs any statement. */
  sign(
    by: Party,
    type: string,
    sub: string,
    payload: JsonObject,
    disclosed: Readonly<Record<string, JsonValue | undefined>> = {},
    jti: string = randomUUID(),
  ): Said {
    const disclosures = disclose(disclosed)
    const isAgent = by.principal.startsWith('spiffe:')
    const header = {
      alg: by.signer.alg,
      kid: by.kid,
      type,
      aud: this.origin,
      iss: by.principal,
      sub,
      iat: Math.floor(this.nowMs() / 1000),
      jti,
      ...(isAgent ? { seq: ++this.#seq } : {}),
    }
    const bytes = canonicalJson({ ...payload, ...commitments(disclosures) })
    const signature = by.signer.sign(signingInput(header, bytes))
    return { text: formatStatement(header, bytes, signature), disclosures }
  }

  /** A request for an agent of the owner, or for a child of `parent`; `patch` replaces members of the record. */
  requestAgent(
    path: string,
    options: {
      readonly parent?: LoadAgent
      readonly patch?: JsonObject
      readonly signer?: Signer
      readonly size?: number
    } = {},
  ): { readonly agent: LoadAgent; readonly said: Said } {
    const { parent, patch = {}, size = 1 } = options
    const signer = options.signer ?? signerFromPrivateKey(generateKey('ES256'))
    const kid = keyId(nativePrimitives, signer.spki)
    const instance = `spiffe://${this.trustDomain}/${path}/inst-${randomBytes(5).toString('hex')}`
    const csr = makeCsr(signer)
    const digest = toBase64url(nativePrimitives.sha256(csr))
    const above = parent?.payload
    const payload: JsonObject = {
      trust_domain: this.trustDomain,
      parent:
        parent === undefined
          ? null
          : { instance: parent.principal, key: parent.kid, record: parent.record },
      child: { instance, key: kid, csr: digest },
      owner: this.owner.principal,
      authorization: parent?.root ?? null,
      scope: parent === undefined ? ['read:**', 'write:reports/**'] : [ACTION],
      depth: parent === undefined ? 0 : Number(above?.['depth']) + 1,
      max_depth: above?.['max_depth'] ?? 8,
      may_create: parent === undefined ? ['**'] : [],
      size,
      ttl: 86_400,
      ceiling: above?.['ceiling'] ?? Math.floor(this.nowMs() / 1000) + 20 * 86_400,
      ...patch,
    }
    const said = this.sign(parent ?? this.owner, 'agent.issue', instance, payload)
    const record = toBase64url(contentDigest(nativePrimitives, parseStatement(said.text)))
    const agent: LoadAgent = {
      principal: instance,
      kid,
      signer,
      name: instance.slice(0, instance.lastIndexOf('/')),
      record,
      root: parent?.root ?? record,
      payload,
    }
    return { agent, said: { ...said, csr } }
  }

  /** A decision request. */
  ask(
    agent: LoadAgent,
    disclosed: Readonly<Record<string, JsonValue | undefined>> = {},
  ): { readonly said: Said; readonly salt: Uint8Array } {
    const salt = new Uint8Array(randomBytes(16))
    const about = { salt, instance: agent.principal, action: ACTION, resource: RESOURCE }
    const { action_properties: actionProperties, resource_properties: resourceProperties } =
      disclosed as Readonly<Record<string, JsonObject | undefined>>
    const digest = actionDigest(nativePrimitives, {
      ...about,
      actionProperties,
      resourceProperties,
    })
    const payload = {
      subject: { type: 'agent', id: agent.principal },
      action: { name: ACTION },
      resource: RESOURCE,
      action_digest: toBase64url(digest),
    }
    const said = this.sign(agent, 'decision', agent.principal, payload, {
      salt: toBase64url(salt),
      ...disclosed,
    })
    return { said, salt }
  }

  /** An action event, on a decision or on none (`absent`). */
  report(agent: LoadAgent, decision: Decided | null, details?: JsonValue): Said {
    const jti = randomUUID()
    const parent = agent.payload['parent']
    const salt = decision?.salt
    const about = { instance: agent.principal, action: ACTION, resource: RESOURCE }
    const digest = salt && toBase64url(actionDigest(nativePrimitives, { ...about, salt }))
    const payload = {
      event_id: jti,
      agent_id: agent.name,
      agent_identity: agent.principal,
      parent_agent_id:
        parent === null || parent === undefined
          ? null
          : (jsonObject(parent, 'parent')['instance'] ?? null),
      action: ACTION,
      resource: RESOURCE,
      timestamp: new Date(this.nowMs()).toISOString(),
      outcome: 'success',
      authorized_by: this.owner.principal,
      decision: decision?.id ?? null,
      action_digest: digest ?? null,
    }
    const disclosed = { details, salt: salt && toBase64url(salt) }
    return this.sign(agent, 'action', agent.principal, payload, disclosed, jti)
  }

  /** A revocation by the owner. */
  revoke(target: string, details?: JsonValue): Said {
    const payload = { target, reason: 'compromised' }
    return this.sign(this.owner, 'agent.revoke', target, payload, { details })
  }

  /** An erasure by the operator. */
  erase(entries: readonly number[]): Said {
    return this.sign(this.operator, 'erasure', 'log', {
      entries: [...entries].sort((a, b) => a - b),
      reason: 'subject_request',
    })
  }

  /** The operator accepts the clock. */
  acceptClock(): Said {
    return this.sign(this.operator, 'operator.clock', 'log', { time_ms: this.nowMs() })
  }
}

/** As `Log.submit` takes it. */
export function submittedOf({ text, disclosures, csr }: Said): Submitted {
  const beside = csr === undefined ? {} : { csr }
  return { statement: utf8Encode(text), disclosures, ...beside }
}

/** As a request body holds it. */
export function bodyOf({ text, disclosures, csr }: Said): JsonObject {
  return {
    statement: text,
    ...(disclosures.length === 0 ? {} : { disclosures }),
    ...(csr === undefined ? {} : { csr: toBase64url(csr) }),
  }
}

/** Content digest of a statement, as hexadecimal: what it is the same statement by. */
export function digestOf(text: string): string {
  return toHex(contentDigest(nativePrimitives, parseStatement(text)))
}

/** A statement whose receipt was answered. */
export interface Acknowledged {
  readonly said: Said
  readonly receipt: Receipt
  readonly repeated: boolean
}

/** One answer. */
export interface Answer {
  readonly status: number
  readonly body: JsonObject
}

/** Sends a JSON body. @throws if no whole answer comes */
export async function post(url: string, path: string, body: JsonValue): Promise<Answer> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  })
  return { status: response.status, body: (await response.json()) as JsonObject }
}

/** Sends statements through `POST /v1/statements`; what was registered comes back in its order, else the problem. */
export async function submitAll(
  url: string,
  all: readonly Said[],
  log = '/logs/agents',
): Promise<readonly (Acknowledged | JsonObject)[]> {
  const { status, body } = await post(url, `${log}/v1/statements`, { statements: all.map(bodyOf) })
  if (status !== 200) throw new Error(`status ${status}: ${JSON.stringify(body)}`)
  return jsonArray(body['results'], 'results').map((value, at) => {
    const result = jsonObject(value, 'result')
    const said = all[at]
    if (said === undefined || result['status'] !== 'registered') return result
    const receipt = parseReceipt(result['receipt'] ?? null)
    return { said, receipt, repeated: result['repeated'] === true }
  })
}

/** Whether a result of `submitAll` is a receipt. */
export function isAcknowledged(result: Acknowledged | JsonObject): result is Acknowledged {
  return 'receipt' in result && 'said' in result
}

/** Problems that leave open whether the statement is in the log: its caller repeats it. */
const UNKNOWN = ['internal', 'outcome_unknown', 'shutting_down', 'overloaded', 'stale']

function isUnknown(problem: JsonValue | undefined): boolean {
  if (problem === undefined) return false
  const code = jsonObject(problem, 'problem')['code']
  return typeof code === 'string' && UNKNOWN.includes(code)
}

/** Load from several connections at once, until it is stopped or nobody answers any more. */
export class Load {
  readonly speaker: Speaker
  readonly acknowledged: Acknowledged[] = []
  /** Sent, and not answered: whether they are in the log nobody knows. */
  readonly unanswered = new Map<string, Said>()
  /** Problems that were answered instead of receipts. */
  readonly problems: JsonObject[] = []
  #agent: LoadAgent | undefined
  #stopped = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(speaker: Speaker) {
    this.speaker = speaker
  }

  /** The agent that speaks; issued by `begin`. */
  get agent(): LoadAgent {
    if (this.#agent === undefined) throw new Error('no agent was issued yet')
    return this.#agent
  }

  /** Issues the agent. */
  async begin(url: string, log = '/logs/agents'): Promise<void> {
    const { agent, said } = this.speaker.requestAgent('load/reader')
    const { status, body } = await post(url, `${log}/v1/agents`, bodyOf(said))
    if (status !== 201) throw new Error(`no agent: ${status} ${JSON.stringify(body)}`)
    const receipt = parseReceipt(body['receipt'] ?? null)
    this.acknowledged.push({ said, receipt, repeated: false })
    this.#agent = agent
  }

  /** Starts loading: `connections` requests of `batch` actions each, and every third one a decision. */
  start(url: string, { connections = 4, batch = 8, detailBytes = 40 } = {}): void {
    this.#stopped = false
    const lanes = Array.from({ length: connections }, (_, lane) =>
      this.#lane(url, lane, batch, detailBytes),
    )
    this.#running = Promise.all(lanes)
  }

  /** Ends the load; resolves when what is under way was answered or lost. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Resolves when nobody answers any more. */
  async ended(): Promise<void> {
    await this.#running
  }

  /** Sends again what was not answered, as a caller does: the same bytes. */
  async repeat(url: string, count = 64): Promise<void> {
    const some = [...this.unanswered.values()].slice(0, count)
    const actions = some.filter(({ text }) => parseStatement(text).header.type === 'action')
    if (actions.length > 0) await this.#send(url, actions)
    for (const said of some) if (!actions.includes(said)) await this.#decide(url, said)
  }

  async #lane(url: string, lane: number, batch: number, detailBytes: number): Promise<void> {
    const { speaker, agent } = this
    for (let turn = lane; !this.#stopped; turn++) {
      try {
        if (turn % 3 === 2) await this.#decide(url, speaker.ask(agent).said)
        else {
          const details = () => randomBytes(detailBytes).toString('base64')
          const all = Array.from({ length: batch }, (_, n) =>
            speaker.report(agent, null, n % 2 === 0 ? details() : undefined),
          )
          await this.#send(url, all)
        }
      } catch {
        return
      }
    }
  }

  async #send(url: string, all: readonly Said[]): Promise<void> {
    for (const said of all) this.unanswered.set(said.text, said)
    const results = await submitAll(url, all)
    for (const [at, result] of results.entries()) {
      if (isAcknowledged(result)) this.#keep(result)
      else if (isUnknown(result['problem'])) continue
      else this.problems.push(result)
      this.unanswered.delete(all[at]?.text ?? '')
    }
  }

  async #decide(url: string, said: Said): Promise<void> {
    this.unanswered.set(said.text, said)
    const { status, body } = await post(url, '/access/v1/evaluation', bodyOf(said))
    if (isUnknown(body)) throw new Error(`status ${status}`)
    this.unanswered.delete(said.text)
    if (status !== 200) {
      this.problems.push(body)
      return
    }
    const context = jsonObject(body['context'], 'context')
    const repeated = context['repeated'] === true
    this.#keep({ said, receipt: parseReceipt(context['receipt'] ?? null), repeated })
  }

  #keep(acknowledged: Acknowledged): void {
    this.acknowledged.push(acknowledged)
  }
}
