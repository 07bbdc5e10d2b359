/**
 * @module The service's real parts in this process: a log made by `initLog` in a temporary directory, opened by
 * `openService`, its log lines kept, reached without a socket.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keyId } from '@trustwarden/proofs'
import { openService, type Service } from '../../src/build.ts'
import type { Clock } from '../../src/clock.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import { initLog } from '../../src/init.ts'
import { type Identity, TestClient } from './client.ts'

export const ORIGIN = 'log.example/logs/main'
export const TRUST_DOMAIN = 'example.org'

/** A service in this process, and the people that its genesis names. */
export interface OpenedService {
  readonly service: Service
  readonly config: Config
  readonly anchor: string
  readonly owner: TestClient
  readonly operator: TestClient
  /** A client for somebody else, known to the log or not. */
  readonly as: (identity: Identity) => TestClient
  /** What was logged so far: JSON lines. */
  readonly logged: () => string
  /** Fatal errors that the service told of. */
  readonly fatals: readonly Error[]
  /** Closes and removes everything. */
  readonly close: () => Promise<void>
}

/** Options of `openTestService`. */
export interface OpenedOptions {
  readonly openReads?: boolean
  readonly clock?: Clock
  /** A second operator, whose signature every proposal then needs too. */
  readonly second?: Identity
  readonly flags?: Readonly<Record<string, string>>
}

/** Draws a person's key. */
export function drawPerson(role: 'owner' | 'operator' | 'reader'): Identity {
  const key = signerFromPrivateKey(generateKey('EdDSA'))
  const kid = keyId(nativePrimitives, key.spki)
  return { principal: `${role}:${kid}`, key: { ...key, kid } }
}

/** Makes a log and opens the service over it. */
export async function openTestService(options: OpenedOptions = {}): Promise<OpenedService> {
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-opened-'))
  const paths = { data: join(root, 'log'), head: join(root, 'head'), keys: join(root, 'keys') }
  const owner = drawPerson('owner')
  const operator = drawPerson('operator')
  const { clock, second } = options
  const { anchor } = await initLog({
    ...paths,
    origin: ORIGIN,
    trustDomain: TRUST_DOMAIN,
    development: false,
    owner: owner.key.spki,
    operators: [operator, ...(second === undefined ? [] : [second])].map(({ key }) => key.spki),
    threshold: second === undefined ? 1 : 2,
    passphrase: undefined,
    ...(clock === undefined ? {} : { clock }),
  })
  const config = readConfig(
    {
      ...paths,
      'verify-workers': '1',
      'policy-workers': '1',
      'log-level': 'debug',
      'disk-reserve': '0',
      'open-reads': String(options.openReads ?? false),
      ...options.flags,
    },
    {},
  )
  const fatals: Error[] = []
  let logged = ''
  const service = await openService(config, {
    onFatal: (error) => fatals.push(error),
    logStream: {
      write: (line) => {
        logged += line
      },
    },
    ...(clock === undefined ? {} : { clock }),
  })
  const as = (identity: Identity): TestClient =>
    new TestClient({
      app: service.app,
      origin: ORIGIN,
      trustDomain: TRUST_DOMAIN,
      identity,
      ...(clock === undefined ? {} : { nowMs: () => clock.nowMs() }),
    })
  return {
    service,
    config,
    anchor,
    owner: as(owner),
    operator: as(operator),
    as,
    logged: () => logged,
    fatals,
    close: async () => {
      await service.close()
      rmSync(root, { recursive: true, force: true })
    },
  }
}
