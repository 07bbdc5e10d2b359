/**
 * @module Statements of every type as their signers make them, right unless asked otherwise: what `RuleLog` registers.
 */
import { randomBytes } from 'node:crypto'
import {
  actionDigest,
  canonicalJson,
  contentDigest,
  formatStatement,
  formatVkey,
  keyId,
  makeDisclosure,
  noteKey,
  parseStatement,
  signingInput,
  toBase64url,
} from '@trustwarden/proofs'
import type { Hash, JsonObject, JsonValue } from '@trustwarden/proofs'
import { nativePrimitives } from '../../src/crypto.ts'
import type { Signer } from '../../src/crypto.ts'
import { at, drawSigner, makeCsr, party } from './rule-party.ts'
import type { Party, TestAgent } from './rule-party.ts'

export const ORIGIN = 'log.example/logs/main'
export const TRUST_DOMAIN = 'example.org'
export const START_MS = 1_800_000_000_000

/** What travels beside a statement. */
export interface Beside {
  readonly disclosures?: readonly string[]
  readonly csr?: Uint8Array
  readonly pinned?: readonly Uint8Array[]
}

/** Who delegates: an owner its own agent, or an agent a child. */
export type Delegator = { readonly owner: Party } | { readonly parent: TestAgent }

/** What genesis names besides keys and people. */
export interface GenesisFacts {
  readonly threshold: number
  /** Patterns of each owner. */
  readonly owners: readonly (readonly string[])[]
  readonly rootDer: Uint8Array
  readonly policyDigest: Uint8Array
}

/** Makes statements at a time that the test moves. Every one has an event id, and an agent's a counter, of its own. */
export abstract class StatementMaker {
  nowMs = START_MS
  readonly service = party('service')
  readonly permit = party('service')
  readonly heartbeat = party('service')
  readonly logKey = party('service')
  readonly timeKey = party('service')
  abstract readonly operators: readonly Party[]
  abstract readonly owners: readonly Party[]
  /** Size of the log, which a delegation record names. */
  abstract readonly size: number
  protected abstract readonly genesisFacts: GenesisFacts
  #events = 0

  /** Signs a statement. */
  sign(
    by: Party,
    type: string,
    sub: string,
    payload: JsonValue,
    claims: { readonly iat?: number; readonly jti?: string; readonly seq?: number } = {},
  ): string {
    const { iat = Math.floor(this.nowMs / 1000), jti = `e${++this.#events}` } = claims
    const isAgent = by.principal.startsWith('spiffe:')
    const header = {
      alg: by.signer.alg,
      kid: by.kid,
      type,
      aud: ORIGIN,
      iss: by.principal,
      sub,
      iat,
      jti,
      ...(isAgent ? { seq: claims.seq ?? ++this.#events } : {}),
    }
    const bytes = canonicalJson(payload)
    return formatStatement(header, bytes, by.signer.sign(signingInput(header, bytes)))
  }

  /** The body of a delegation record; `patch` replaces members. */
  delegation(
    by: Delegator,
    child: { readonly instance: string; readonly kid: string; readonly csr: Uint8Array },
    patch: JsonObject = {},
  ): JsonObject {
    const csr = toBase64url(nativePrimitives.sha256(child.csr))
    const common = {
      trust_domain: TRUST_DOMAIN,
      child: { instance: child.instance, key: child.kid, csr },
      size: this.size,
      ttl: 3600,
    }
    if ('owner' in by) {
      return {
        ...common,
        parent: null,
        owner: by.owner.principal,
        authorization: null,
        scope: ['read:**', 'write:reports/**'],
        depth: 0,
        max_depth: 8,
        may_create: ['**'],
        ceiling: Math.floor(this.nowMs / 1000) + 86_400,
        ...patch,
      }
    }
    const { parent } = by
    return {
      ...common,
      parent: {
        instance: parent.principal,
        key: parent.kid,
        record: toBase64url(parent.record),
      },
      owner: parent.payload['owner'] ?? null,
      authorization: toBase64url(parent.root),
      scope: ['read:transactions'],
      depth: Number(parent.payload['depth']) + 1,
      max_depth: parent.payload['max_depth'] ?? null,
      may_create: [],
      ceiling: parent.payload['ceiling'] ?? null,
      ...patch,
    }
  }

  /** The signed request for an agent, not yet submitted. */
  request(
    by: Delegator,
    path: string,
    patch: JsonObject = {},
    options: { readonly key?: Signer; readonly iat?: number } = {},
  ): { readonly agent: TestAgent; readonly text: string } {
    const signer = options.key ?? drawSigner('ES256')
    const kid = keyId(nativePrimitives, signer.spki)
    const principal = `spiffe://${TRUST_DOMAIN}/${path}`
    const csr = makeCsr(signer)
    const payload = this.delegation(by, { instance: principal, kid, csr }, patch)
    const from = 'owner' in by ? by.owner : by.parent
    const claims = options.iat === undefined ? {} : { iat: options.iat }
    const text = this.sign(from, 'agent.issue', principal, payload, claims)
    const record = contentDigest(nativePrimitives, parseStatement(text))
    const root = 'owner' in by ? record : by.parent.root
    const name = principal.slice(0, principal.lastIndexOf('/'))
    return { agent: { principal, name, kid, signer, csr, payload, record, root }, text }
  }

  /** A signed decision request and its disclosures. */
  ask(
    agent: TestAgent,
    action = 'read:transactions',
    options: {
      readonly resource?: { readonly type: string; readonly id: string }
      readonly digest?: Uint8Array
      readonly iat?: number
      readonly context?: JsonObject
    } = {},
  ): {
    readonly text: string
    readonly beside: Beside
    readonly salt: Uint8Array
    readonly digest: Hash
  } {
    const resource = options.resource ?? { type: 'ledger', id: 'https://bank.example/ledger' }
    const salt = new Uint8Array(randomBytes(16))
    const instance = agent.principal
    const digest =
      options.digest ?? actionDigest(nativePrimitives, { salt, instance, action, resource })
    const disclosures = [makeDisclosure(randomBytes(16), 'salt', toBase64url(salt))]
    if (options.context !== undefined) {
      disclosures.push(makeDisclosure(randomBytes(16), 'context', options.context))
    }
    const payload = {
      subject: { type: 'agent', id: instance },
      action: { name: action },
      resource,
      action_digest: toBase64url(digest),
      ...commitments(disclosures),
    }
    const claims = options.iat === undefined ? {} : { iat: options.iat }
    const text = this.sign(agent, 'decision', instance, payload, claims)
    return { text, beside: { disclosures }, salt, digest }
  }

  /** A signed action event and its disclosures. `patch` replaces members. */
  report(
    agent: TestAgent,
    decision: { readonly id: string; readonly salt: Uint8Array } | null,
    patch: JsonObject = {},
    iat?: number,
  ): { readonly text: string; readonly beside: Beside } {
    const jti = `a${++this.#events}`
    const { parent } = agent.payload
    const resource = { type: 'ledger', id: 'https://bank.example/ledger' }
    const base = {
      event_id: jti,
      agent_id: agent.name,
      agent_identity: agent.principal,
      parent_agent_id: isObject(parent) ? (parent['instance'] ?? null) : null,
      action: 'read:transactions',
      resource,
      timestamp: new Date(this.nowMs).toISOString(),
      outcome: 'success',
      authorized_by: agent.payload['owner'] ?? null,
      ...patch,
    }
    const disclosures: string[] = []
    let digest: string | null = null
    if (decision !== null) {
      const { salt } = decision
      const about = isObject(base.resource) ? base.resource : resource
      const bytes = actionDigest(nativePrimitives, {
        salt,
        instance: agent.principal,
        action: String(base.action),
        resource: { type: String(about['type']), id: String(about['id']) },
      })
      digest = toBase64url(bytes)
      disclosures.push(makeDisclosure(randomBytes(16), 'salt', toBase64url(salt)))
    }
    const payload = {
      decision: decision?.id ?? null,
      action_digest: digest,
      ...base,
      ...commitments(disclosures),
    }
    const claims = { jti, ...(iat === undefined ? {} : { iat }) }
    const text = this.sign(agent, 'action', agent.principal, payload, claims)
    return { text, beside: { disclosures } }
  }

  /** The genesis statement of this log; `patch` replaces members. */
  genesis(patch: JsonObject = {}): string {
    const { logKey, timeKey } = this
    const spki = ({ signer }: Party): string => toBase64url(signer.spki)
    const p = nativePrimitives
    const { threshold, owners, rootDer, policyDigest } = this.genesisFacts
    return this.sign(this.service, 'genesis', ORIGIN, {
      format: 1,
      rules: 1,
      origin: ORIGIN,
      trust_domain: TRUST_DOMAIN,
      development: false,
      keys: {
        log: formatVkey(noteKey(p, ORIGIN, 1, logKey.signer.publicKey)),
        time: formatVkey(noteKey(p, ORIGIN, 4, timeKey.signer.publicKey)),
        service: spki(this.service),
        permit: spki(this.permit),
        heartbeat: spki(this.heartbeat),
      },
      ca: [toBase64url(rootDer)],
      operators: this.operators.map(spki),
      threshold,
      owners: this.owners.map((owner, n) => ({ key: spki(owner), patterns: at(owners, n) })),
      policy: toBase64url(policyDigest),
      predecessor: null,
      ...patch,
    })
  }
}

function commitments(disclosures: readonly string[]): JsonObject {
  if (disclosures.length === 0) return {}
  const digests = disclosures.map((text) =>
    toBase64url(nativePrimitives.sha256(new TextEncoder().encode(text))),
  )
  return { _sd: digests.sort(), _sd_alg: 'sha-256' }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
