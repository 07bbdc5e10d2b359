/**
 * @module Agents of the bench, made through the service's API by their owner, and what they sign: requests for a
 * decision, and actions on what was allowed. Their keys are P-256, as the keys of all SVIDs.
 */
import {
  ACTION_SALT_BYTES,
  actionDigest,
  canonicalScope,
  toBase64url,
  toHex,
} from '@trustwarden/proofs'
import { randomBytes, randomUUID } from 'node:crypto'
import {
  createCsr,
  PersonKey,
  signStatement,
  type SignedStatement,
  type StatementSigner,
  type TrustWarden,
} from 'trustwarden'

/** A running agent. */
export interface BenchAgent {
  readonly instance: string
  readonly name: string
  readonly owner: string
  readonly signer: StatementSigner
}

/** A request for a decision, and the salt that binds the action to it. */
export interface Asking {
  readonly agent: BenchAgent
  readonly signed: SignedStatement
  readonly salt: Uint8Array
}

const ACTION = 'read:transactions'
const RESOURCE = { type: 'ledger', id: 'https://bank.example/ledger' }
const CEILING_S = 86_400

/** Starts an agent of the owner. */
export async function startAgent(
  client: TrustWarden,
  owner: PersonKey,
  path: string,
): Promise<BenchAgent> {
  const { head } = await client.checkpoint()
  const key = PersonKey.generate('ES256')
  const csr = createCsr(key)
  const name = `spiffe://${client.trustDomain}/${path}`
  const instance = `${name}/inst-${toHex(randomBytes(16))}`
  const principal = owner.principal('owner')
  const signed = signStatement(owner.as('owner'), client.origin, {
    type: 'agent.issue',
    subject: instance,
    payload: {
      trust_domain: client.trustDomain,
      parent: null,
      child: { instance, key: key.kid, csr: toBase64url(client.primitives.sha256(csr)) },
      owner: principal,
      authorization: null,
      scope: canonicalScope(['read:**', 'write:reports/**']),
      depth: 0,
      max_depth: 8,
      may_create: [`${path}/**`],
      size: head.size,
      ttl: 3600,
      ceiling: Math.floor(Date.now() / 1000) + CEILING_S,
    },
  })
  await client.submit('agents', signed, { csr })
  let seq = 0
  const signer = { issuer: instance, key, nextSeq: () => ++seq }
  return { instance, name, owner: principal, signer }
}

function digestOf(client: TrustWarden, { instance }: BenchAgent, salt: Uint8Array): string {
  const { primitives } = client
  return toBase64url(
    actionDigest(primitives, { instance, action: ACTION, resource: RESOURCE, salt }),
  )
}

/** Asks for a decision. */
export function ask(client: TrustWarden, agent: BenchAgent): Asking {
  const salt = new Uint8Array(randomBytes(ACTION_SALT_BYTES))
  const signed = signStatement(agent.signer, client.origin, {
    type: 'decision',
    subject: agent.instance,
    payload: {
      subject: { type: 'agent', id: agent.instance },
      action: { name: ACTION },
      resource: RESOURCE,
      action_digest: digestOf(client, agent, salt),
    },
    disclosed: { salt: toBase64url(salt) },
  })
  return { agent, signed, salt }
}

/** Reports the action that a decision allowed. */
export function report(
  client: TrustWarden,
  { agent, salt }: Asking,
  decision: string,
): SignedStatement {
  const eventId = randomUUID()
  return signStatement(agent.signer, client.origin, {
    type: 'action',
    subject: agent.instance,
    jti: eventId,
    payload: {
      event_id: eventId,
      agent_id: agent.name,
      agent_identity: agent.instance,
      parent_agent_id: null,
      action: ACTION,
      resource: RESOURCE,
      timestamp: new Date().toISOString(),
      outcome: 'success',
      authorized_by: agent.owner,
      decision,
      action_digest: digestOf(client, agent, salt),
    },
    disclosed: { details: { rows: 42 }, salt: toBase64url(salt) },
  })
}
