/**
 * @module Where a log lies: its data directory, its head record and its keys, three paths that may be three disks.
 *
 * `log.json` in the data directory says which log it is, so that the database can be opened; nothing is trusted for
 * it: keys of the database begin with the origin's hash, and genesis says origin and trust domain again.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyObject } from 'node:crypto'
import { readKeyFile } from './keys.ts'

/** The keys that the service holds, each signing one kind of thing (DESIGN §9). */
export const SERVICE_KEYS = {
  log: 'EdDSA',
  time: 'EdDSA',
  service: 'EdDSA',
  permit: 'EdDSA',
  heartbeat: 'EdDSA',
  ca: 'ES256',
  jwt: 'ES256',
} as const

/** Name of a service key. */
export type ServiceKey = keyof typeof SERVICE_KEYS

/** The three paths of a log. */
export interface Paths {
  readonly data: string
  readonly head: string
  readonly keys: string
}

/** What `log.json` says. */
export interface LogDescription {
  readonly origin: string
  readonly trustDomain: string
  readonly development: boolean
}

/** A directory is not, or not wholly, that of a log, or is one already. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError'
}

/** The database under a data directory. */
export function databasePath(data: string): string {
  return join(data, 'db')
}

/** `log.json` under a data directory. */
export function descriptionPath(data: string): string {
  return join(data, 'log.json')
}

/** The trust anchor as `init` wrote it, for `trust show` beside a running service. */
export function anchorPath(data: string): string {
  return join(data, 'trust-anchor')
}

/** Path of a service key. */
export function keyPath(keys: string, name: ServiceKey): string {
  return join(keys, `${name}.key`)
}

/** Path of a log key: the one that genesis names is `log.key`, every later one is named by its own public half. */
export function logKeyPath(keys: string, spki: Uint8Array, isFirst: boolean): string {
  if (isFirst) return keyPath(keys, 'log')
  const name = createHash('sha256').update(spki).digest('hex').slice(0, 16)
  return join(keys, `log-${name}.key`)
}

/** Paths of all log keys that are there, the one that genesis names first. */
export function listLogKeys(keys: string): readonly string[] {
  if (!existsSync(keys)) return []
  const first = keyPath(keys, 'log')
  const later = readdirSync(keys).filter((name) => /^log-[0-9a-f]{16}\.key$/.test(name))
  return [...(existsSync(first) ? [first] : []), ...later.sort().map((name) => join(keys, name))]
}

/** The trust file of a log whose key was rotated, or that succeeds another, beside the anchor. */
export function trustPath(data: string): string {
  return join(data, 'trust.json')
}

/**
 * Reads which log a data directory holds.
 *
 * @throws DirectoryError if there is none.
 */
export function readDescription(data: string): LogDescription {
  const path = descriptionPath(data)
  if (!existsSync(path))
    throw new DirectoryError(
      `there is no log in ${data}: "trustwarden restore --to ${data} …" brings one back from a backup, ` +
        `"trustwarden init --data ${data} …" makes a new one`,
    )
  const value = parse(path)
  const { origin, trust_domain: trustDomain, development } = value
  if (
    typeof origin !== 'string' ||
    typeof trustDomain !== 'string' ||
    typeof development !== 'boolean'
  )
    throw new DirectoryError(`${path} does not say origin, trust_domain and development`)
  return { origin, trustDomain, development }
}

function parse(path: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (error) {
    throw new DirectoryError(`${path} cannot be read`, { cause: error })
  }
  throw new DirectoryError(`${path} is not a JSON object`)
}

/**
 * Opens one service key.
 *
 * @throws KeyError
 */
export function openKey(keys: string, name: ServiceKey, passphrase: string | undefined): KeyObject {
  return readKeyFile(keyPath(keys, name), passphrase)
}
