/**
 * @module Key files: private keys as PKCS#8 PEM (RFC 5958, RFC 7468), encrypted with a passphrase unless asked
 * otherwise, and public keys as SubjectPublicKeyInfo PEM.
 *
 * A private key file is readable by its owner alone, is never overwritten, and is on disk, its name included, before
 * the writer returns. Where keys lie and which passphrase they take is the caller's to say.
 */
import {
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  scryptSync,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf } from './errno.ts'

/** Every code that a `KeyError` can carry, with what it means. */
export const KEY_ERRORS = {
  key_file_exists: 'a file of this name exists, and key files are never overwritten',
  key_file_missing: 'there is no file of this name',
  key_file_unreadable: 'the file cannot be opened, read or written',
  key_file_mode: 'the file can be read by its group or by others',
  key_file_malformed: 'the file does not hold exactly one key of the expected form',
  key_passphrase_required: 'the key is encrypted and no passphrase was given',
  key_passphrase_wrong: 'the passphrase does not open the key',
  key_passphrase_invalid: 'the passphrase is empty or longer than the limit',
  key_unsupported: 'the key is of a kind that is not used here',
} as const

/** A stable name for what is wrong with a key or its file. */
export type KeyErrorCode = keyof typeof KEY_ERRORS

/** What every function on keys throws. The message names the file and the rule, never key material or passphrase. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
  readonly code: KeyErrorCode

  constructor(code: KeyErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** An encrypted P-256 key in PEM is about 400 bytes; anything beyond this is another file. */
const KEY_FILE_BYTES_MAX = 8192
/** OpenSSL's PEM callback takes a passphrase of at most 1,024 bytes. */
const PASSPHRASE_BYTES_MAX = 1024
/**
 * scrypt's cost (RFC 7914 §2): 16 MiB and a few tens of milliseconds a guess, the most that OpenSSL reads back without
 * being told to. Node's own PKCS#8 export would use PBKDF2 with 2,048 iterations, which no option raises.
 */
const SCRYPT_COST = { N: 16_384, r: 8, p: 1 } as const
const OID_PBES2 = '06092a864886f70d01050d'
const OID_SCRYPT = '06092b06010401da47040b'
const OID_AES_256_CBC = '060960864801650304012a'

/** One DER element; `parts` together stay far below 64 KiB here. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const { length } = body
  const head =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...head]), body])
}

/** A DER INTEGER below 2^31. */
function derInteger(value: number): Buffer {
  const bytes = [value >> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]
  while (bytes.length > 1 && bytes[0] === 0 && (bytes[1] ?? 0) < 128) bytes.shift()
  return der(0x02, Uint8Array.from(bytes))
}

/** PKCS#8 as EncryptedPrivateKeyInfo: PBES2 (RFC 8018 §6.2) with scrypt (RFC 7914 §7) and AES-256-CBC. */
function encryptPkcs8(pkcs8: Buffer, passphrase: string): Buffer {
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const key = scryptSync(passphrase, salt, 32, SCRYPT_COST)
  const cipher = createCipheriv('aes-256-cbc', key, iv)
  const encrypted = Buffer.concat([cipher.update(pkcs8), cipher.final()])
  key.fill(0)
  const { N, r, p } = SCRYPT_COST
  const cost = der(0x30, der(0x04, salt), derInteger(N), derInteger(r), derInteger(p))
  const derivation = der(0x30, Buffer.from(OID_SCRYPT, 'hex'), cost)
  const encryption = der(0x30, Buffer.from(OID_AES_256_CBC, 'hex'), der(0x04, iv))
  const scheme = der(0x30, Buffer.from(OID_PBES2, 'hex'), der(0x30, derivation, encryption))
  return der(0x30, scheme, der(0x04, encrypted))
}

function formatPem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

function fileError(path: string, what: string, cause: unknown): KeyError {
  const errno = errnoOf(cause) ?? 'unknown'
  if (errno === 'EEXIST') {
    return new KeyError('key_file_exists', `${path} exists; key files are never overwritten`)
  }
  if (errno === 'ENOENT') {
    return new KeyError('key_file_missing', `${path}: no such file or directory`, { cause })
  }
  return new KeyError('key_file_unreadable', `${path}: cannot ${what} (${errno})`, { cause })
}

function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/**
 * Creates `path` with `content`. A failure on the way removes what was created; a crash on the way can leave a partial
 * file, which no reader takes for a key.
 */
function createFile(path: string, content: string | Buffer, mode: number): void {
  let file: number
  try {
    file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode)
  } catch (cause) {
    throw fileError(path, 'create', cause)
  }
  try {
    const bytes = Buffer.from(content)
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
    syncDirectory(path)
  } catch (cause) {
    try {
      unlinkSync(path)
    } catch {
      // The first failure is the one to report.
    }
    throw fileError(path, 'write', cause)
  } finally {
    closeSync(file)
  }
}

/** Reads at most `max` bytes from an open descriptor to its end, or nothing if there is more. */
function readToEnd(file: number, max: number): Buffer | undefined {
  const bytes = Buffer.alloc(max + 1)
  let length = 0
  while (length <= max) {
    const read = readSync(file, bytes, length, max + 1 - length, null)
    if (read === 0) return bytes.subarray(0, length)
    length += read
  }
  bytes.fill(0)
  return undefined
}

/** Reads a file of at most `max` bytes, or nothing if it has more. */
function readFile(path: string, max: number, isSecret: boolean): Buffer | undefined {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY)
  } catch (cause) {
    throw fileError(path, 'open', cause)
  }
  try {
    // The open descriptor is asked, not the name: the name can be made to point elsewhere in between.
    const status = fstatSync(file)
    if (isSecret && status.isFile() && status.mode & 0o077) {
      const mode = (status.mode & 0o777).toString(8).padStart(4, '0')
      throw new KeyError(
        'key_file_mode',
        `${path} has mode ${mode}; group and others must have none`,
      )
    }
    return readToEnd(file, max)
  } catch (cause) {
    throw cause instanceof KeyError ? cause : fileError(path, 'read', cause)
  } finally {
    closeSync(file)
  }
}

/**
 * Reads a PEM file of at most `max` bytes as it is.
 *
 * @param isSecret - Whether group and others must not be able to read it.
 * @throws {KeyError} `key_file_missing`; `key_file_unreadable`; `key_file_mode`; `key_file_malformed` if it is longer
 */
export function readPem(path: string, isSecret: boolean, max: number = KEY_FILE_BYTES_MAX): string {
  const bytes = readFile(path, max, isSecret)
  if (bytes === undefined) throw new KeyError('key_file_malformed', `${path} is over ${max} bytes`)
  const pem = bytes.toString('latin1')
  bytes.fill(0)
  return pem
}

/** Exactly one PEM block of `label` (RFC 7468 §3, strict: nothing before, between or after). */
function isPem(text: string, label: string): boolean {
  const body = `-----BEGIN ${label}-----\n(?:[A-Za-z0-9+/]{1,64}={0,2}\n)+-----END ${label}-----\n?`
  return new RegExp(`^${body}$`).test(text.replaceAll('\r\n', '\n'))
}

function checkKind(key: KeyObject, path: string): KeyObject {
  const isEd25519 = key.asymmetricKeyType === 'ed25519'
  const isP256 =
    key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
  if (isEd25519 || isP256) return key
  throw new KeyError('key_unsupported', `${path}: key is neither Ed25519 nor P-256`)
}

function checkPassphrase(passphrase: string): void {
  const length = Buffer.byteLength(passphrase, 'utf8')
  if (length < 1 || length > PASSPHRASE_BYTES_MAX) {
    const rule = `passphrase is ${length} bytes, must be 1 to ${PASSPHRASE_BYTES_MAX}`
    throw new KeyError('key_passphrase_invalid', rule)
  }
}

/** Writes a new file that holds no secret, on disk when this returns. @throws {KeyError} as `writePublicKeyFile` */
export function writeNewFile(path: string, bytes: Uint8Array, mode: number): void {
  createFile(path, Buffer.from(bytes), mode)
}

/**
 * Writes a private key to a new file of mode 0600, as PKCS#8 PEM: encrypted (PBES2 with scrypt and AES-256-CBC) if
 * `passphrase` is given, plain if not. File and directory are fsynced before it returns.
 *
 * @throws {KeyError} `key_file_exists`; `key_file_missing` if the directory is; `key_file_unreadable`;
 *   `key_unsupported` unless `key` is a private Ed25519 or P-256 key; `key_passphrase_invalid`.
 */
export function writeKeyFile(
  path: string,
  key: KeyObject,
  options: { readonly passphrase?: string } = {},
): void {
  if (key.type !== 'private') {
    throw new KeyError('key_unsupported', `${path}: not a private key`)
  }
  checkKind(key, path)
  const { passphrase } = options
  if (passphrase !== undefined) checkPassphrase(passphrase)
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  const pem =
    passphrase === undefined
      ? formatPem('PRIVATE KEY', pkcs8)
      : formatPem('ENCRYPTED PRIVATE KEY', encryptPkcs8(pkcs8, passphrase))
  pkcs8.fill(0)
  createFile(path, pem, 0o600)
}

/**
 * Reads a private key file. A passphrase given for a key that is not encrypted is ignored.
 *
 * @throws {KeyError} `key_file_missing`; `key_file_unreadable`; `key_file_mode` if group or others may read it;
 *   `key_file_malformed`; `key_passphrase_required`; `key_passphrase_wrong`; `key_unsupported`.
 */
export function readKeyFile(path: string, passphrase?: string): KeyObject {
  const pem = readPem(path, true)
  const isEncrypted = isPem(pem, 'ENCRYPTED PRIVATE KEY')
  if (!isEncrypted && !isPem(pem, 'PRIVATE KEY')) {
    throw new KeyError('key_file_malformed', `${path} is not one PKCS#8 private key in PEM`)
  }
  if (isEncrypted) {
    if (passphrase === undefined) {
      throw new KeyError('key_passphrase_required', `${path} is encrypted; a passphrase is needed`)
    }
    checkPassphrase(passphrase)
  }
  let key: KeyObject
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(isEncrypted ? { passphrase } : {}) })
  } catch {
    // CBC tells a wrong passphrase from a damaged file by padding alone, so they share a code. OpenSSL's error is
    // not kept: it can quote what it read.
    if (isEncrypted) {
      const message = `${path}: the passphrase does not open the key, or the file is damaged`
      throw new KeyError('key_passphrase_wrong', message)
    }
    throw new KeyError('key_file_malformed', `${path} is not a PKCS#8 private key`)
  }
  return checkKind(key, path)
}

/**
 * Reads a passphrase from a file (mode as for keys) or from an open descriptor, to its end: at most 1,024 bytes of
 * UTF-8; one line ending at the end is not part of it. Returns nothing if neither is named.
 *
 * @throws {KeyError} `key_file_missing`; `key_file_unreadable`; `key_file_mode`; `key_file_malformed` if it is not
 *   UTF-8 or has more than one line; `key_passphrase_invalid` if it is empty or too long.
 */
export function readPassphrase(from: {
  readonly file?: string
  readonly fd?: number
}): string | undefined {
  const { file, fd } = from
  const name = file ?? `descriptor ${fd}`
  let bytes: Buffer | undefined
  if (file !== undefined) {
    bytes = readFile(file, PASSPHRASE_BYTES_MAX + 2, true)
  } else if (fd !== undefined) {
    try {
      bytes = readToEnd(fd, PASSPHRASE_BYTES_MAX + 2)
    } catch (cause) {
      throw fileError(name, 'read', cause)
    }
  } else {
    return undefined
  }
  if (bytes === undefined) {
    const rule = `${name}: passphrase is over ${PASSPHRASE_BYTES_MAX} bytes`
    throw new KeyError('key_passphrase_invalid', rule)
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new KeyError('key_file_malformed', `${name}: passphrase is not UTF-8`)
  } finally {
    bytes.fill(0)
  }
  const passphrase = text.replace(/\r?\n$/, '')
  if (/[\r\n\0]/.test(passphrase)) {
    throw new KeyError('key_file_malformed', `${name}: passphrase has more than one line`)
  }
  checkPassphrase(passphrase)
  return passphrase
}

/**
 * Writes the public half of `key` (private or public) to a new file of mode 0644 as SubjectPublicKeyInfo PEM, fsynced
 * as private keys are.
 *
 * @throws {KeyError} `key_file_exists`; `key_file_missing`; `key_file_unreadable`; `key_unsupported`.
 */
export function writePublicKeyFile(path: string, key: KeyObject): void {
  checkKind(key, path)
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  createFile(path, String(publicKey.export({ type: 'spki', format: 'pem' })), 0o644)
}

/**
 * Reads a public key file: one SubjectPublicKeyInfo in PEM, Ed25519 or P-256. Its encoding may be any that OpenSSL
 * reads; `encodePublicKey` gives the one encoding.
 *
 * @throws {KeyError} `key_file_missing`; `key_file_unreadable`; `key_file_malformed`; `key_unsupported`.
 */
export function readPublicKeyFile(path: string): KeyObject {
  const pem = readPem(path, false)
  if (!isPem(pem, 'PUBLIC KEY')) {
    throw new KeyError('key_file_malformed', `${path} is not one public key in PEM`)
  }
  let key: KeyObject
  try {
    key = createPublicKey({ key: pem, format: 'pem' })
  } catch {
    throw new KeyError('key_file_malformed', `${path} is not a SubjectPublicKeyInfo`)
  }
  return checkKind(key, path)
}
