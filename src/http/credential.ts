/**
 * @module The credential of a read request: a JWS over method, path, audience and time (FORMAT §3.5), in the header
 * `Authorization: TrustWarden <JWS>`. It authorizes one request for 60 s; reading changes nothing, so a replay
 * within that time shows the replayer what the path and the role allow and no more.
 */
import {
  fromBase64url,
  jsonInteger,
  jsonObject,
  jsonString,
  keyId,
  type Primitives,
  ProofError,
  parseJson,
  parsePrincipal,
  parseSpki,
  requireMembers,
  utf8Encode,
} from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import type { Principal } from '../ledger/contract.ts'

/** How old, or how far ahead, a credential may be, in seconds. */
export const CREDENTIAL_SECONDS_MAX = 60

const CREDENTIAL_LENGTH_MAX = 4096

interface Parsed {
  readonly alg: string
  readonly kid: string
  readonly issuer: string
  readonly audience: string
  readonly issuedAtS: number
  readonly method: string
  readonly path: string
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
}

/** What a credential is checked against. */
export interface Expected {
  readonly origin: string
  readonly method: string
  /** Path and query exactly as in the request line. */
  readonly path: string
  readonly nowMs: number
}

function parse(jws: string): Parsed {
  if (jws.length > CREDENTIAL_LENGTH_MAX)
    throw new ServiceError(
      'credential_invalid',
      `credential is over ${CREDENTIAL_LENGTH_MAX} bytes`,
    )
  const [header, payload, signature, ...rest] = jws.split('.')
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0)
    throw new ServiceError('credential_invalid', 'credential is not a compact JWS')
  const claims = jsonObject(parseJson(fromBase64url(header)), 'credential header')
  requireMembers(claims, ['alg', 'kid', 'typ', 'aud', 'iss', 'iat'], [], 'credential header')
  if (claims['typ'] !== 'vnd.trustwarden.read')
    throw new ServiceError('credential_invalid', 'credential is not of type vnd.trustwarden.read')
  const body = jsonObject(parseJson(fromBase64url(payload)), 'credential payload')
  requireMembers(body, ['method', 'path'], [], 'credential payload')
  return {
    alg: jsonString(claims['alg'], 'alg'),
    kid: jsonString(claims['kid'], 'kid'),
    issuer: parsePrincipal(jsonString(claims['iss'], 'iss')).text,
    audience: jsonString(claims['aud'], 'aud'),
    issuedAtS: jsonInteger(claims['iat'], 'iat'),
    method: jsonString(body['method'], 'method'),
    path: jsonString(body['path'], 'path'),
    signingInput: utf8Encode(`${header}.${payload}`),
    signature: fromBase64url(signature),
  }
}

/**
 * Opens the value of an `Authorization` header.
 *
 * @param find - The principal of an issuer, or undefined.
 * @returns The principal that signed.
 * @throws ServiceError `credential_invalid`, `credential_expired`.
 */
export function openCredential(
  p: Primitives,
  authorization: string,
  expected: Expected,
  find: (issuer: string) => Principal | undefined,
): Principal {
  const jws = /^TrustWarden ([A-Za-z0-9_.-]+)$/.exec(authorization)?.[1]
  if (jws === undefined)
    throw new ServiceError(
      'credential_invalid',
      'authorization is not of the form "TrustWarden <JWS>"',
    )
  try {
    const parsed = parse(jws)
    const refuse = (why: string) => new ServiceError('credential_invalid', `credential ${why}`)
    if (parsed.audience !== expected.origin) throw refuse('is for another log')
    if (parsed.method !== expected.method) throw refuse('is for another method')
    if (parsed.path !== expected.path) throw refuse('is for another path')
    const principal = find(parsed.issuer)
    if (principal === undefined) throw refuse('is of an unknown signer')
    if (parsed.kid !== principal.kid || keyId(p, principal.spki) !== parsed.kid)
      throw refuse('names another key than its signer has')
    const key = parseSpki(principal.spki)
    if (key.alg !== parsed.alg) throw refuse('has an algorithm that its key does not have')
    const verify = key.alg === 'EdDSA' ? p.ed25519Verify : p.p256Verify
    if (!verify(key.publicKey, parsed.signingInput, parsed.signature))
      throw refuse('does not verify')
    const aheadS = parsed.issuedAtS - expected.nowMs / 1000
    if (Math.abs(aheadS) > CREDENTIAL_SECONDS_MAX)
      // Either clock may be the wrong one.
      throw new ServiceError(
        'credential_expired',
        `credential was signed ${Math.ceil(Math.abs(aheadS))} s ${aheadS > 0 ? 'ahead of' : 'before'} the service's clock, which says ` +
          `${new Date(expected.nowMs).toISOString()}; at most ${CREDENTIAL_SECONDS_MAX} s`,
      )
    return principal
  } catch (error) {
    if (error instanceof ProofError)
      throw new ServiceError('credential_invalid', `credential: ${error.message}`, { cause: error })
    throw error
  }
}
