/**
 * @module Principals (who signs) and subjects (whose chain an entry belongs to). People and the service are named by
 * their keys alone, agents by the id of the instance.
 */
import { fromBase64url, isBase64urlOf32 } from './bytes.ts'
import { check, ProofError } from './errors.ts'
import { remembered } from './remembered.ts'
import {
  type AgentName,
  type InstanceId,
  parseAgentName,
  parseInstanceId,
  parseSpiffeId,
} from './spiffe-id.ts'

/** The roles that are named by a key. */
export type KeyRole = 'service' | 'operator' | 'owner' | 'reader'

/** Every role that a signer can have. */
export type Role = KeyRole | 'agent'

/** Who signs. */
export type Principal =
  | { readonly role: KeyRole; readonly text: string; readonly kid: string }
  | { readonly role: 'agent'; readonly text: string; readonly instance: InstanceId }

/** Whose chain an entry belongs to. */
export type Subject =
  | { readonly kind: 'log' | 'policy'; readonly text: string }
  | { readonly kind: 'owner'; readonly text: string; readonly kid: string }
  | { readonly kind: 'agent'; readonly text: string; readonly name: AgentName }
  | { readonly kind: 'inst'; readonly text: string; readonly instance: InstanceId }

const KEY_PRINCIPAL = /^(service|operator|owner|reader):(.*)$/s
const KID_LENGTH = 43

/**
 * Returns `text` if it has the form of a key id: the base64url of 32 bytes.
 *
 * @param field - What the text is, for the message.
 * @throws {ProofError} `claim_invalid` for another length; `malformed` or `not_canonical` for text that is no
 *   base64url.
 * @see FORMAT §2.1
 */
export function parseKid(text: string, field = 'kid'): string {
  if (isBase64urlOf32(text)) return text
  check(text.length === KID_LENGTH, 'claim_invalid', `${field}: not the base64url of 32 bytes`)
  // Why it is none the decoder names.
  fromBase64url(text, field)
  return text
}

/**
 * Returns `text` if it is the name of a trust domain.
 *
 * @throws {ProofError} `spiffe_id_invalid`
 * @see SPIFFE-ID §2.1
 */
export function parseTrustDomain(text: string): string {
  const { trustDomain } = parseSpiffeId(`spiffe://${text}`)
  check(trustDomain === text, 'spiffe_id_invalid', 'trust domain: has a path')
  return text
}

/**
 * Returns `text` if it is the principal of an owner.
 *
 * @throws {ProofError} `claim_invalid` for another role; else as `parsePrincipal`.
 * @see FORMAT §7.3
 */
export function parseOwner(text: string): string {
  check(parsePrincipal(text).role === 'owner', 'claim_invalid', 'owner: not owner:<kid>')
  return text
}

/**
 * Reads a principal: `service:`, `operator:`, `owner:` or `reader:` and a key id, or an instance id.
 *
 * @throws {ProofError} `spiffe_id_invalid` for text that begins like an agent's id and is none; else as `parseKid`, and
 *   `claim_invalid` for another role.
 * @see FORMAT §7.3
 */
export const parsePrincipal: (text: string) => Principal = remembered((text) => {
  if (text.startsWith('spiffe:')) return { role: 'agent', text, instance: parseInstanceId(text) }
  const [, role, kid = ''] = KEY_PRINCIPAL.exec(text) ?? []
  if (!isKeyRole(role)) {
    throw new ProofError('claim_invalid', 'principal: neither <role>:<kid> nor an instance id')
  }
  return { role, text, kid: parseKid(kid, `kid of the ${role}`) }
})

/**
 * Reads the subject of a chain: `log`, `policy`, `owner:<kid>`, `agent:<name>` or `inst:<instance id>`.
 *
 * @throws {ProofError} `claim_invalid` for another kind of subject; `spiffe_id_invalid`, or as `parseKid`, for what
 *   stands behind the colon.
 * @see FORMAT §5.2
 */
export const parseSubject: (text: string) => Subject = remembered((text): Subject => {
  if (text === 'log' || text === 'policy') return { kind: text, text }
  const colon = text.indexOf(':')
  const rest = text.slice(colon + 1)
  switch (text.slice(0, colon + 1)) {
    case 'owner:':
      return { kind: 'owner', text, kid: parseKid(rest, 'kid of the owner') }
    case 'agent:':
      return { kind: 'agent', text, name: parseAgentName(rest) }
    case 'inst:':
      return { kind: 'inst', text, instance: parseInstanceId(rest) }
    default:
      throw new ProofError(
        'claim_invalid',
        'subject: neither log, policy, owner:, agent: nor inst:',
      )
  }
})

function isKeyRole(role: string | undefined): role is KeyRole {
  return role !== undefined
}
