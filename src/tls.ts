/**
 * @module The listener's certificate: read from files, checked as a start checks it, and read again when the files
 * change. A pair that is wrong never replaces one that is right, nor does one for another name than clients ask for.
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Clock } from './clock.ts'
import { errnoOf } from './errno.ts'
import { KeyError, readPem } from './keys.ts'

/** Every code that a `TlsError` can carry, with what it means. */
export const TLS_ERRORS = {
  tls_file_missing: 'there is no file of this name',
  tls_certificate_malformed: 'the file does not hold certificates in PEM and nothing else',
  tls_key_malformed: 'the file does not hold one private key in PEM that is not encrypted',
  tls_key_mismatch: 'the private key is not that of the first certificate',
  tls_chain_broken: 'a certificate is not issued by the one that follows it',
  tls_certificate_expired: 'the certificate is not valid any more, or not yet',
  tls_unusable: 'certificate and key cannot be used for TLS',
  tls_name_mismatch: 'the certificate is not for the name that the one in service is for',
} as const

/** A stable name for what is wrong with a certificate or its key. */
export type TlsErrorCode = keyof typeof TLS_ERRORS

/** The message names file and rule, never key material. */
export class TlsError extends Error {
  override readonly name = 'TlsError'
  readonly code: TlsErrorCode

  constructor(code: TlsErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Where certificate and key lie. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

/** A certificate chain and its key, checked. */
export interface TlsPair {
  readonly cert: string
  readonly key: string
  /** Of the first certificate, ms. */
  readonly notAfterMs: number
  /** Subject alternative names of the first certificate, as OpenSSL writes them; "no names" if it has none. */
  readonly names: string
  /** The first certificate. */
  readonly leaf: X509Certificate
  /** SHA-256 over both files. */
  readonly digest: string
}

/** TLS 1.2 with forward secrecy and authenticated encryption alone; 1.3 where the client has it. */
export const TLS_OPTIONS: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
}

/** How often the files are read again, ms. */
export const TLS_POLL_MS = 5000

const CERTIFICATES_BYTES_MAX = 131_072
const KEY_BYTES_MAX = 16_384
const CERTIFICATE = /-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----/g

function parseCertificates(path: string, pem: string): readonly X509Certificate[] {
  const malformed = () =>
    new TlsError('tls_certificate_malformed', `${path} does not hold certificates in PEM alone`)
  const blocks = pem.match(CERTIFICATE) ?? []
  if (blocks.length === 0 || pem.replace(CERTIFICATE, '').includes('-----')) throw malformed()
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    throw malformed()
  }
}

function parseKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // OpenSSL's error is not kept: it can quote what it read.
    const rule = `${path} does not hold one private key in PEM that is not encrypted`
    throw new TlsError('tls_key_malformed', rule)
  }
}

/** @throws {TlsError} `tls_file_missing` @throws {KeyError} as `readPem` otherwise */
function readFile(flag: string, path: string, isSecret: boolean, max: number): string {
  try {
    return readPem(path, isSecret, max)
  } catch (error) {
    if (!(error instanceof KeyError) || error.code !== 'key_file_missing') throw error
    throw new TlsError('tls_file_missing', `there is no ${path}, which ${flag} names`)
  }
}

/**
 * Reads certificate and key and checks that they belong together and hold now.
 *
 * @throws {KeyError} as `readPem`, but for a file that is missing
 * @throws {TlsError} any code but `tls_name_mismatch`
 */
export function readTlsPair(files: TlsFiles, nowMs: number): TlsPair {
  const cert = readFile('--tls-cert', files.cert, false, CERTIFICATES_BYTES_MAX)
  const key = readFile('--tls-key', files.key, true, KEY_BYTES_MAX)
  const chain = parseCertificates(files.cert, cert)
  const [leaf] = chain
  if (leaf?.checkPrivateKey(parseKey(files.key, key)) !== true)
    throw new TlsError(
      'tls_key_mismatch',
      `${files.key} is not the key of the first certificate in ${files.cert}`,
    )
  for (const [at, certificate] of chain.entries()) {
    const issuer = chain[at + 1]
    if (issuer !== undefined && !certificate.checkIssued(issuer))
      throw new TlsError(
        'tls_chain_broken',
        `${files.cert}: certificate ${at + 1} is not issued by certificate ${at + 2}`,
      )
  }
  const notAfterMs = Date.parse(leaf.validTo)
  if (!(nowMs >= Date.parse(leaf.validFrom) && nowMs <= notAfterMs))
    throw new TlsError(
      'tls_certificate_expired',
      `${files.cert} is valid from ${leaf.validFrom} to ${leaf.validTo}`,
    )
  try {
    createSecureContext({ ...TLS_OPTIONS, cert, key })
  } catch (error) {
    const code = errnoOf(error) ?? 'unknown'
    throw new TlsError('tls_unusable', `${files.cert} and ${files.key} do not serve TLS (${code})`)
  }
  const digest = createHash('sha256').update(cert).update('\0').update(key).digest('hex')
  return { cert, key, notAfterMs, names: leaf.subjectAltName ?? 'no names', leaf, digest }
}

/** Whether clients that ask for `host`, a name or an address, take the certificate for it. */
export function isFor({ leaf }: TlsPair, host: string): boolean {
  // No certificate names the zone of an address, and OpenSSL reads none.
  const address = host.replace(/%.*$/, '')
  return (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(address)) !== undefined
}

/** The issuer's name in one line. */
function issuerOf({ leaf }: TlsPair): string {
  return leaf.issuer.replaceAll('\n', ', ')
}

/** What a look at the files came to. */
export type Reload = 'unchanged' | 'reloaded' | 'failed'

/** Tells an operator what became of the files. */
type Tell = (level: 'info' | 'warn' | 'error', message: string) => void

/** Keeps the pair that is served. */
export class TlsKeeper {
  readonly #files: TlsFiles
  readonly #host: string | undefined
  readonly #clock: Clock
  readonly #tell: Tell
  #pair: TlsPair
  #failure: string | undefined
  #timer: NodeJS.Timeout | undefined
  #apply: (pair: TlsPair) => void = () => undefined

  /**
   * @param host - Name or address that clients ask for; undefined if it is not known.
   * @param tell - Told when a pair is taken, and once of each pair that is not.
   * @throws {KeyError} @throws {TlsError} if the first pair is wrong
   */
  constructor(files: TlsFiles, host: string | undefined, clock: Clock, tell: Tell) {
    this.#files = files
    this.#host = host
    this.#clock = clock
    this.#tell = tell
    this.#pair = readTlsPair(files, clock.nowMs())
  }

  /** The pair that is served. */
  get pair(): TlsPair {
    return this.#pair
  }

  /** Whether what lies in the files now is wrong, so that an older pair is served. */
  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** Days until the certificate that is served ends; negative after that. */
  expiryDays(): number {
    return (this.#pair.notAfterMs - this.#clock.nowMs()) / 86_400_000
  }

  /** Serves by `apply` what the files hold from now on. */
  start(apply: (pair: TlsPair) => void, everyMs: number = TLS_POLL_MS): void {
    this.#apply = apply
    this.#timer = setInterval(() => this.reload(), everyMs)
    this.#timer.unref()
  }

  /** Stops looking. */
  stop(): void {
    clearInterval(this.#timer)
  }

  /** Reads the files; a pair that is right and new is served from the next connection on. */
  reload(): Reload {
    try {
      const pair = readTlsPair(this.#files, this.#clock.nowMs())
      if (pair.digest === this.#pair.digest) {
        this.#failure = undefined
        return 'unchanged'
      }
      this.#checkName(pair)
      const [before, issuer] = [issuerOf(this.#pair), issuerOf(pair)]
      this.#apply(pair)
      this.#pair = pair
      this.#failure = undefined
      const until = new Date(pair.notAfterMs).toISOString()
      const said = `the certificate was reloaded: valid until ${until}, ${pair.names}`
      if (issuer === before) this.#tell('info', said)
      // Whether clients trust the new authority only they know.
      else this.#tell('warn', `${said}; its issuer is ${issuer}, that of the one before ${before}`)
      return 'reloaded'
    } catch (error) {
      const known = error instanceof TlsError || error instanceof KeyError
      const why = known ? `${error.code}: ${error.message}` : String(error)
      // Files that are being replaced one after the other do not match for a moment: it is said once.
      if (this.#failure !== why) this.#tell('error', `the certificate is not reloaded: ${why}`)
      this.#failure = why
      return 'failed'
    }
  }

  /**
   * Where the certificate in service is not for the host either, clients reach the service by another name, that of a
   * proxy perhaps, and which certificate is right is not known here.
   *
   * @throws {TlsError} `tls_name_mismatch` if the pair is not for the host, and the one in service is
   */
  #checkName(pair: TlsPair): void {
    const host = this.#host
    if (host === undefined || isFor(pair, host) || !isFor(this.#pair, host)) return
    throw new TlsError(
      'tls_name_mismatch',
      `${this.#files.cert} is for ${pair.names}, not for ${host}, which the certificate in service is for`,
    )
  }
}
