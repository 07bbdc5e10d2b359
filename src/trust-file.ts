/**
 * @module The trust file of a log whose key was rotated, or that succeeds another: what `trust show` prints beside a running
 * service. It is derived; the service trusts nothing in it, but for where a predecessor ended, which is nowhere else.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import {
  equalBytes,
  formatTrust,
  parseTrust,
  parseTrustAnchor,
  ProofError,
  type Trust,
  type TrustedKey,
  type TrustedLog,
  utf8Encode,
} from '@trustwarden/proofs'
import { nativePrimitives } from './crypto.ts'
import { anchorPath, DirectoryError, trustPath } from './directory.ts'
import type { Rotation } from './ledger/log-keys.ts'

/** The ranges of sizes of a log's keys: each ends where the next is in force. */
export function keyRanges(
  first: TrustedKey['key'],
  rotations: readonly Rotation[],
): readonly TrustedKey[] {
  const keys = [first, ...rotations.map((one) => one.new)]
  return keys.map((key, at) => ({
    key,
    from: at === 0 ? 0 : (rotations[at - 1]?.index ?? 0) + 1,
    to: rotations[at]?.index ?? null,
  }))
}

/** Where a trust disagrees with the ranges of a log's keys as its entries give them, in words; it may know fewer keys. */
export function rangeDisagreement(
  trusted: readonly TrustedKey[],
  actual: readonly TrustedKey[],
): string | undefined {
  for (const [at, { key, from, to }] of trusted.entries()) {
    const own = actual[at]
    const isLast = at === trusted.length - 1
    const same =
      own !== undefined &&
      equalBytes(own.key.publicKey, key.publicKey) &&
      own.from === from &&
      (own.to === to || (isLast && to === null))
    if (same) continue
    const says = own === undefined ? 'no such key' : `sizes ${own.from} to ${own.to ?? 'now'}`
    return `the trust gives log key ${at} sizes ${from} to ${to ?? 'now'}, the entries give ${says}`
  }
  return undefined
}

/** What the trust file beside the data says, or undefined if there is none. @throws DirectoryError */
export function readTrustFile(data: string): Trust | undefined {
  const path = trustPath(data)
  if (!existsSync(path)) return undefined
  try {
    return parseTrust(nativePrimitives, readFileSync(path))
  } catch (cause) {
    if (!(cause instanceof ProofError)) throw cause
    // Of a log that succeeds none it is derived; of a successor it says where the predecessor ended, and nothing else does.
    const way = 'put a copy back; if the log succeeds none, remove it, and the next start writes it'
    throw new DirectoryError(`${path} is no trust file: ${way}`, { cause })
  }
}

/** The text of the trust file beside the data, or of the anchor where that says all. */
export function readTrustText(data: string): string {
  const path = existsSync(trustPath(data)) ? trustPath(data) : anchorPath(data)
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    const message = `there is no ${path}: ${data} holds no log that init finished`
    throw new DirectoryError(message, { cause })
  }
}

/**
 * Writes the trust file of a log as its rotations make it, if it does not say so already. A log that was never rotated and
 * succeeds none has none: its anchor says all.
 */
export function refreshTrustFile(
  data: string,
  anchor: string,
  rotations: readonly Rotation[],
): void {
  const parsed = parseTrustAnchor(nativePrimitives, anchor)
  const before = readTrustFile(data)
  if (before === undefined && rotations.length === 0) return
  const others = (before?.logs ?? []).filter(({ origin }) => origin !== parsed.key.name)
  const own = { origin: parsed.key.name, anchor: parsed, keys: keyRanges(parsed.key, rotations) }
  const bytes = utf8Encode(formatTrust(nativePrimitives, { logs: [...others, own] }))
  if (before !== undefined && equalBytes(readFileSync(trustPath(data)), bytes)) return
  writeTrustFile(trustPath(data), bytes)
}

/** What the files beside the data say of the log itself, its key in force last. @throws DirectoryError */
export function readOwnTrust(data: string, origin: string): TrustedLog {
  const own = readTrustFile(data)?.logs.find((log) => log.origin === origin)
  if (own !== undefined) return own
  const [log] = existsSync(anchorPath(data))
    ? parseTrust(nativePrimitives, readFileSync(anchorPath(data))).logs
    : []
  if (log === undefined) throw new DirectoryError(`${data} holds no log that init finished`)
  return log
}

/** Replaces a trust file, whole or not at all. */
export function writeTrustFile(path: string, bytes: Uint8Array): void {
  const made = `${path}.new`
  const file = openSync(made, 'w', 0o644)
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  // A crash before this leaves `.new`, which nobody reads; after it, the file as the log's entries make it.
  renameSync(made, path)
  const directory = openSync(dirname(path), 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
