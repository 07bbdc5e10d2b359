/**
 * @module How a client begins: the service's URL, the trust anchor, and the genesis that has to be the anchor's.
 */
import {
  bundleHash,
  decodeEntry,
  equalBytes,
  type Genesis,
  leafHash,
  parseEntryStatement,
  parseGenesis,
  parseTrust,
  type Primitives,
  type Trust,
  type TrustedLog,
  trustFor,
  utf8Encode,
  verifyStatement,
} from '@trustwarden/proofs'
import { inSdkWords, TrustWardenError } from './errors.ts'
import type { Envelope } from './statement.ts'
import type { TransportOptions } from './transport.ts'

/** How a client is made. */
export interface ConnectOptions extends TransportOptions {
  /** Where the service listens, such as `https://trust.example.com`. */
  readonly url: string | URL
  /** The trust anchor (`twtrust1,…`), or the text of a trust file. It comes from elsewhere than the service. */
  readonly trust: string
  /** Which log of a trust file that names several. */
  readonly origin?: string
  /** Permits `http:` to a host that is not this machine: statements are signed, but not hidden. */
  readonly allowPlaintext?: boolean
  /** In which envelope agents and people sign through this client; JWS by default. */
  readonly envelope?: Envelope
  /** How often, at most, heads are connected by consistency proofs, in ms; 1,000 by default. */
  readonly headIntervalMs?: number
}

function isOwnMachine({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
}

/**
 * Reads where the service is; `http:` is for this machine alone unless the caller permits more.
 *
 * @throws TrustWardenError `argument_invalid`
 */
export function readUrl(url: string | URL, allowPlaintext: boolean): URL {
  if (!URL.canParse(String(url)))
    throw new TrustWardenError('argument_invalid', `url: ${String(url)} is not a URL`)
  const base = new URL(url)
  const isHidden = base.protocol === 'https:'
  if (!isHidden && !(base.protocol === 'http:' && (isOwnMachine(base) || allowPlaintext)))
    throw new TrustWardenError(
      'argument_invalid',
      'url: must be https:, or http: to this machine (allowPlaintext permits other hosts)',
    )
  base.pathname = base.pathname.replace(/\/+$/, '')
  return base
}

/** Reads what is trusted, and which log of it is meant. @throws TrustWardenError `argument_invalid` */
export function readTrust(
  p: Primitives,
  options: ConnectOptions,
): { trust: Trust; log: TrustedLog } {
  return inSdkWords('argument_invalid', 'trust', () => {
    const trust = parseTrust(p, utf8Encode(options.trust.trim()))
    // A log that ended takes nothing any more: its successor is meant.
    const [only, ...others] = trust.logs.filter(({ end }) => end === undefined)
    if (options.origin !== undefined) return { trust, log: trustFor(trust, options.origin) }
    if (only === undefined || others.length > 0)
      throw new TrustWardenError('argument_invalid', 'trust: names several logs; give its origin')
    return { trust, log: only }
  })
}

/**
 * Opens the genesis that the service shows: the entry whose leaf hash the trust anchor names, with the roots that
 * it names.
 *
 * @throws TrustWardenError `service_untrusted`
 * @see FORMAT §13.1
 */
export function openGenesis(p: Primitives, log: TrustedLog, bytes: Uint8Array): Genesis {
  return inSdkWords('service_untrusted', 'genesis', () => {
    const { anchor, origin } = log
    const refuse = (why: string) => new TrustWardenError('service_untrusted', `genesis: ${why}`)
    if (!equalBytes(leafHash(p, bytes), anchor.genesisHash))
      throw refuse('not the entry that the trust anchor names')
    const entry = decodeEntry(bytes)
    const statement = parseEntryStatement(entry)
    const genesis = parseGenesis(p, statement)
    verifyStatement(p, statement, { spki: genesis.keys.service, origin, type: 'genesis' })
    if (entry.kind !== 'genesis' || entry.index !== 0) throw refuse('not the first entry of a log')
    if (!equalBytes(bundleHash(p, genesis.ca), anchor.bundleHash))
      throw refuse('other root certificates than the trust anchor names')
    return genesis
  })
}
