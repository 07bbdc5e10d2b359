/**
 * @module Making a new log key beside the one in force, and what both sign of the change: the proposal that operators then
 * sign (FORMAT §11.7). The log's entries decide when the new key is in force; nothing here changes which one signs.
 */
import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import {
  areConfusable,
  canonicalJson,
  ed25519Spki,
  formatVkey,
  type KeyRotation,
  type NoteKey,
  rotationInput,
  toBase64url,
} from '@trustwarden/proofs'
import { generateKey, type Signer, signerFromPrivateKey } from './crypto.ts'
import { DirectoryError, logKeyPath, type Paths, readDescription } from './directory.ts'
import { readKeyFile, writeKeyFile, writeNewFile } from './keys.ts'
import { headKey } from './ledger/head-note.ts'
import { readHeadRecord } from './store/head-record.ts'
import { readOwnTrust } from './trust-file.ts'

/** What a rotation is made of. */
export interface RotationOptions extends Paths {
  /** File for the proposal; it must not be there. */
  readonly out: string
  /** Entries above the size of now up to which the old key signs too. */
  readonly overlap: number
  /** Opens the old key and protects the new one; undefined leaves it in the clear, as the old one then is. */
  readonly passphrase: string | undefined
  /** Draws the key. */
  readonly draw?: () => KeyObject
}

/** What was made. */
export interface RotationReport {
  readonly proposal: string
  readonly key: string
  readonly old: string
  readonly new: string
  readonly until: number
}

/**
 * Makes a new log key and the proposal to put it in force, beside a running service or a stopped one.
 *
 * On disk: first the key, which signs nothing until the log says so; then the proposal. A crash in between leaves a key
 * that nobody proposes: the command is run again and makes another. Nothing is overwritten.
 *
 * @throws DirectoryError, KeyError, StoreError
 */
export async function proposeRotation(options: RotationOptions): Promise<RotationReport> {
  const { data, head, keys, out, overlap, passphrase } = options
  const { origin } = readDescription(data)
  const { anchor, keys: ranges } = readOwnTrust(data, origin)
  const old = ranges.at(-1)?.key ?? anchor.key
  const pathOf = (key: NoteKey): string =>
    logKeyPath(keys, ed25519Spki(key.publicKey), formatVkey(key) === formatVkey(anchor.key))
  const oldSigner = signerFromPrivateKey(readKeyFile(pathOf(old), passphrase))
  if (formatVkey(headKey(oldSigner, origin)) !== formatVkey(old))
    throw new DirectoryError(`${pathOf(old)} is not the log key in force, ${formatVkey(old)}`)
  if (existsSync(out)) throw new DirectoryError(`${out} exists: nothing is overwritten`)
  const until = (await readHeadRecord(head, origin)).size + overlap
  const key = (options.draw ?? (() => generateKey('EdDSA')))()
  const newSigner = signerFromPrivateKey(key)
  const next = headKey(newSigner, origin)
  // One draw in four thousand million, for each key of before; both would sign lines that nobody can tell apart.
  if ([anchor.key, ...ranges.map((one) => one.key)].some((one) => areConfusable(one, next)))
    throw new DirectoryError('the new key has the key id of one before it: run the command again')
  const path = pathOf(next)
  writeKeyFile(path, key, passphrase === undefined ? {} : { passphrase })
  writeNewFile(out, proposalOf({ old, new: next, until }, oldSigner, newSigner), 0o644)
  return { proposal: out, key: path, old: formatVkey(old), new: formatVkey(next), until }
}

/** The payload of `key.rotate`, whose bytes every operator signs. */
export function proposalOf(rotation: KeyRotation, old: Signer, next: Signer): Uint8Array {
  const input = rotationInput(rotation)
  return canonicalJson({
    key: 'log',
    old: formatVkey(rotation.old),
    new: formatVkey(rotation.new),
    until: rotation.until,
    old_signature: toBase64url(old.sign(input)),
    new_signature: toBase64url(next.sign(input)),
  })
}
