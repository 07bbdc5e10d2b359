/**
 * @module Agents of the bench, made through the service's API by their owner, and what they sign: requests for a
 * decision, and actions on what was allowed. Their keys are P-256, as the keys of all SVIDs.
 */
import {
  ACTION_SALT_BYTES,
  actionDigest,
  canonicalScope,
  ed25519Spki,
  keyId,
  noblePrimitives,
  type Primitives,
  toBase64url,
  toHex,
} from '@trustwarden/proofs'
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
} from 'node:crypto'
import { createCsr, PersonKey, signStatement as signBySdk, type TrustWarden } from 'trustwarden'
import { type Signed, type Signer, signerOf, signStatement } from './sign.ts'

/** A running agent. */
export interface BenchAgent {
  readonly instance: string
  readonly name: string
  readonly owner: string
  readonly signer: Signer
}

/** A request for a decision, and the salt that binds the action to it. */
export interface Asking {
  readonly agent: BenchAgent
  readonly signed: Signed
  readonly salt: string
  readonly digest: string
}

const ACTION = 'read:transactions'
const RESOURCE = { id: 'https://bank.example/ledger', type: 'ledger' }
const CEILING_S = 86_400
/** Longer than any run. */
const LIFE_S = 43_200

/** A root agent that is to be started: its delegation record and certificate request. */
export interface Start {
  readonly agent: BenchAgent
  readonly signed: ReturnType<typeof signBySdk>
  readonly csr: Uint8Array
}

/** Of which log, by which owner. */
export interface Place {
  readonly origin: string
  readonly trustDomain: string
  readonly owner: PersonKey
}

/** Draws an agent of the owner, as of a log of `size`. */
export function drawAgent(
  { origin, trustDomain, owner }: Place,
  path: string,
  size: number,
): Start {
  const key = PersonKey.generate('ES256')
  const csr = createCsr(key)
  const name = `spiffe://${trustDomain}/${path}`
  const instance = `${name}/inst-${toHex(randomBytes(16))}`
  const principal = owner.principal('owner')
  const signed = signBySdk(owner.as('owner'), origin, {
    type: 'agent.issue',
    subject: instance,
    payload: {
      trust_domain: trustDomain,
      parent: null,
      child: { instance, key: key.kid, csr: toBase64url(primitives.sha256(csr)) },
      owner: principal,
      authorization: null,
      scope: canonicalScope(['read:**', 'write:reports/**']),
      depth: 0,
      max_depth: 8,
      may_create: [`${path}/**`],
      size,
      ttl: LIFE_S,
      ceiling: Math.floor(Date.now() / 1000) + CEILING_S,
    },
  })
  let seq = 0
  const signer = signerOf(instance, key, () => ++seq)
  return { agent: { instance, name, owner: principal, signer }, signed, csr }
}

/** Starts an agent of the owner through the service. */
export async function startAgent(
  client: TrustWarden,
  owner: PersonKey,
  path: string,
): Promise<BenchAgent> {
  const { head } = await client.checkpoint()
  const { origin, trustDomain } = client
  const { agent, signed, csr } = drawAgent({ origin, trustDomain, owner }, path, head.size)
  await client.submit('agents', signed, { csr })
  return agent
}

/** The kit's primitives with the hash of node:crypto: the load's own time is kept small. */
const primitives: Primitives = {
  ...noblePrimitives,
  sha256: (data) => new Uint8Array(createHash('sha256').update(data).digest()),
}

function digestOf({ instance }: BenchAgent, salt: Uint8Array): string {
  const commitment = { instance, action: ACTION, resource: RESOURCE, salt }
  return toBase64url(actionDigest(primitives, commitment))
}

/** Asks for a decision. */
export function ask(origin: string, agent: BenchAgent): Asking {
  const saltBytes = new Uint8Array(randomBytes(ACTION_SALT_BYTES))
  const [salt, digest] = [toBase64url(saltBytes), digestOf(agent, saltBytes)]
  const signed = signStatement(agent.signer, origin, {
    type: 'decision',
    subject: agent.instance,
    payload: {
      action: { name: ACTION },
      action_digest: digest,
      resource: RESOURCE,
      subject: { id: agent.instance, type: 'agent' },
    },
    disclosed: { salt },
  })
  return { agent, signed, salt, digest }
}

/** Reports the action that a decision allowed. */
export function report(origin: string, asking: Asking, decision: string): Signed {
  const { agent, salt, digest } = asking
  return reportEvent(origin, agent, { decision, digest, salt })
}

/** Reports an action that nobody decided: recorded as a violation, `absent`, and as costly but for finding a decision. */
export function reportUndecided(origin: string, agent: BenchAgent): Signed {
  return reportEvent(origin, agent, undefined)
}

function reportEvent(
  origin: string,
  agent: BenchAgent,
  decided:
    | { readonly decision: string; readonly digest: string; readonly salt: string }
    | undefined,
): Signed {
  const eventId = randomUUID()
  return signStatement(agent.signer, origin, {
    type: 'action',
    subject: agent.instance,
    jti: eventId,
    payload: {
      action: ACTION,
      action_digest: decided?.digest ?? null,
      agent_id: agent.name,
      agent_identity: agent.instance,
      authorized_by: agent.owner,
      decision: decided?.decision ?? null,
      event_id: eventId,
      outcome: 'success',
      parent_agent_id: null,
      resource: RESOURCE,
      timestamp: new Date().toISOString(),
    },
    disclosed: { details: { rows: 42 }, ...(decided === undefined ? {} : { salt: decided.salt }) },
  })
}

/** Enrols a reader by a key that was drawn for it: the one kind of statement that Ed25519 signs in any number. */
export function enrollReader(origin: string, operator: Signer): Signed {
  const { privateKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const x = createPrivateKey(privateKey).export({ format: 'jwk' }).x ?? ''
  const spki = ed25519Spki(new Uint8Array(Buffer.from(x, 'base64url')))
  return signStatement(operator, origin, {
    type: 'member.enroll',
    subject: `reader:${keyId(primitives, spki)}`,
    payload: { key: toBase64url(spki), role: 'reader' },
    disclosed: { details: { name: 'an auditor of the bench, as long as people are: '.repeat(10) } },
  })
}
