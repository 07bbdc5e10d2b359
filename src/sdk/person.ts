/**
 * @module The keys of people: an owner, an operator, a reader. They are made where their people are and never leave.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import type { KeyAlg } from '@trustwarden/proofs'
import { TrustWardenError } from './errors.ts'
import { drawKey, type SigningKey, signingKey } from './signing-key.ts'
import type { StatementSigner } from './statement.ts'

/** What a person is to a log. One key may be enrolled as one of them. */
export type PersonRole = 'owner' | 'operator' | 'reader'

/** An encrypted P-256 key in PEM is about 400 bytes; anything beyond this is another file. */
const KEY_FILE_BYTES_MAX = 8192

function readSecret(path: string): string {
  let file: number | undefined
  try {
    file = openSync(path, constants.O_RDONLY)
    // The open descriptor is asked, not the name: the name can be made to point elsewhere in between.
    const { size, mode } = fstatSync(file)
    if (size > KEY_FILE_BYTES_MAX)
      throw new TrustWardenError('key_invalid', `${path} is over ${KEY_FILE_BYTES_MAX} bytes`)
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw new TrustWardenError(
        'key_invalid',
        `${path} can be read by its group or by others: chmod 600`,
      )
    return readFileSync(file, 'latin1')
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new TrustWardenError('key_invalid', `${path} cannot be read (${why})`)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** A person's private key. */
export class PersonKey implements SigningKey {
  readonly alg: KeyAlg
  readonly spki: Uint8Array
  readonly kid: string
  readonly sign: (message: Uint8Array) => Uint8Array
  readonly #key: KeyObject

  private constructor(key: KeyObject) {
    const { alg, spki, kid, sign } = signingKey(key)
    this.alg = alg
    this.spki = spki
    this.kid = kid
    this.sign = sign
    this.#key = key
  }

  /**
   * Reads a private key file: PKCS#8 in PEM, of mode 0600, encrypted or not.
   *
   * @throws TrustWardenError `key_invalid`
   */
  static fromFile(path: string, passphrase?: string): PersonKey {
    return PersonKey.fromPem(readSecret(path), passphrase)
  }

  /**
   * Reads a private key in PEM.
   *
   * @throws TrustWardenError `key_invalid` for other text, a wrong or missing passphrase, or another kind of key.
   */
  static fromPem(pem: string, passphrase?: string): PersonKey {
    let key: KeyObject
    try {
      key = createPrivateKey({
        key: pem,
        format: 'pem',
        ...(passphrase === undefined ? {} : { passphrase }),
      })
    } catch {
      // OpenSSL's error is not kept: it can quote what it read.
      throw new TrustWardenError(
        'key_invalid',
        'not a private key in PEM, or the passphrase is missing or does not open it',
      )
    }
    return new PersonKey(key)
  }

  /** Draws a new key: Ed25519 unless told otherwise. */
  static generate(alg: KeyAlg = 'EdDSA'): PersonKey {
    return new PersonKey(drawKey(alg))
  }

  /** Names the person in a role: `<role>:<kid>` (FORMAT §7.3). */
  principal(role: PersonRole): string {
    return `${role}:${this.kid}`
  }

  /** Signs statements and read requests as `role`. */
  as(role: PersonRole): StatementSigner {
    return { issuer: this.principal(role), key: this }
  }

  /** The public half, SubjectPublicKeyInfo in PEM: what an operator needs to enrol the key. */
  publicPem(): string {
    return String(createPublicKey(this.#key).export({ type: 'spki', format: 'pem' }))
  }

  /** The private key, PKCS#8 in PEM, encrypted if a passphrase is given: for a file of mode 0600. */
  privatePem(passphrase?: string): string {
    return String(
      this.#key.export({
        type: 'pkcs8',
        format: 'pem',
        ...(passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }),
      }),
    )
  }
}
