/**
 * @module Makes a log: the service's keys, an empty head record, and the first batch under one head.
 *
 * Order and crashes: keys, then `log.json` and the head record at size 0, then the batch. An error on the way removes what
 * was made; a crash leaves directories that `init` refuses and that `serve` says are unfinished. Nothing was
 * acknowledged, so they are removed by hand and init runs again.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  canonicalJson,
  followSuccessor,
  formatStatement,
  formatTrust,
  formatVkey,
  type Head,
  type JsonValue,
  keyId,
  NOTE_COSIGNATURE_V1,
  NOTE_ED25519,
  noteKey,
  parseOrigin,
  parseTrustAnchor,
  parseTrustDomain,
  type SigningHeader,
  signingInput,
  toBase64url,
  type Trust,
  utf8Encode,
} from '@trustwarden/proofs'
import { anchorOf, readGenesis } from './genesis.ts'
import { ALL_FOLDS, composeRules } from './rules.ts'
import { type Clock, systemClock } from './clock.ts'
import { generateKey, nativePrimitives, type Signer, signerFromPrivateKey } from './crypto.ts'
import {
  anchorPath,
  databasePath,
  DirectoryError,
  descriptionPath,
  keyPath,
  type LogDescription,
  type Paths,
  SERVICE_KEYS,
  type ServiceKey,
  trustPath,
} from './directory.ts'
import { readDefaultPolicy } from './gate/default-policy.ts'
import { encodePolicy, type Policy, policyDigest } from './gate/policy-pack.ts'
import { Authority } from './identity/authority.ts'
import { writeKeyFile } from './keys.ts'
import type { FirstStatement } from './ledger/first-batch.ts'
import { Log } from './ledger/log.ts'
import { LogKeys } from './ledger/log-keys.ts'
import { foldSpecs } from './ledger/rebuild.ts'
import { Database } from './store/database.ts'
import { syncDirectory } from './store/durable.ts'
import { HeadRecord } from './store/head-record.ts'
import { LevelStore } from './store/level-store.ts'
import { writeTrustFile } from './trust-file.ts'

/** Life of the root certificate. Roots change by overlap, which a later release brings. */
const ROOT_DAYS = 3650

/** What `init` is told. */
export interface InitOptions extends Paths, LogDescription {
  /** SubjectPublicKeyInfo of the first owner and of the operators. */
  readonly owner: Uint8Array
  readonly operators: readonly Uint8Array[]
  /** How many operators have to sign an enrolment or a policy. */
  readonly threshold: number
  /** Undefined leaves the keys in the clear (`--plain-keys`). */
  readonly passphrase: string | undefined
  readonly policy?: Policy
  readonly clock?: Clock
  /** The log that this one succeeds: its last known head, and what it is trusted by (DESIGN §10). */
  readonly predecessor?: Succession
}

/** A log that ends, and its last known head, which verified under the trust. */
export interface Succession {
  readonly head: Pick<Head, 'origin' | 'size' | 'root'>
  readonly trust: Trust
}

/** What `init` made. */
export interface InitReport extends Paths {
  readonly origin: string
  readonly anchor: string
  readonly size: number
  readonly policy: string
  /** The trust file that follows predecessor and successor, if there is a predecessor. */
  readonly trust?: string
}

/** Refuses before anything is made. @throws DirectoryError, ProofError */
function checkOptions(options: InitOptions): void {
  const { data, head, keys, owner, operators, threshold } = options
  for (const path of [data, head, keys])
    if (existsSync(path))
      throw new DirectoryError(`${path} exists already: init makes a log and overwrites nothing`)
  if (new Set([data, head, keys].map((path) => resolve(path))).size < 3)
    throw new DirectoryError('data, head record and keys are not three different directories')
  parseOrigin(options.origin)
  parseTrustDomain(options.trustDomain)
  if (options.predecessor?.head.origin === options.origin)
    throw new DirectoryError(
      `a successor has an origin of its own, and ${options.origin} is the predecessor's`,
    )
  if (new Set([owner, ...operators].map(toBase64url)).size < operators.length + 1)
    throw new DirectoryError('owner and operators do not have a key each: nobody is two of them')
  if (threshold < 1 || threshold > operators.length)
    throw new DirectoryError(`the threshold is ${threshold}, of ${operators.length} operators`)
}

/** Makes directories that are not there, and removes them again if `fill` fails. */
async function inNewDirectories<T>(paths: readonly string[], fill: () => Promise<T>): Promise<T> {
  const made: string[] = []
  try {
    for (const path of paths) {
      mkdirSync(dirname(path), { recursive: true })
      mkdirSync(path, { mode: 0o700 })
      made.push(path)
    }
    return await fill()
  } catch (error) {
    for (const path of made) rmSync(path, { recursive: true, force: true })
    throw error
  }
}

interface ServiceKeys {
  readonly signers: Readonly<Record<ServiceKey, Signer>>
  readonly root: Uint8Array
  readonly authority: Authority
}

async function makeKeys(options: InitOptions, nowMs: number): Promise<ServiceKeys> {
  const { trustDomain, passphrase } = options
  const { key: caKey, certificateDer } = await Authority.createRoot({
    trustDomain,
    nowMs,
    days: ROOT_DAYS,
  })
  const entries = Object.entries(SERVICE_KEYS).map(([name, alg]) => {
    const key = name === 'ca' ? caKey : generateKey(alg)
    const path = keyPath(options.keys, name as ServiceKey)
    writeKeyFile(path, key, passphrase === undefined ? {} : { passphrase })
    return [name, signerFromPrivateKey(key)] as const
  })
  await syncDirectory(options.keys)
  return {
    signers: Object.fromEntries(entries) as Record<ServiceKey, Signer>,
    root: certificateDer,
    authority: Authority.open({ key: caKey, certificateDer }),
  }
}

function genesisPayload(options: InitOptions, keys: ServiceKeys, policy: Uint8Array): JsonValue {
  const { signers } = keys
  const vkey = (type: 1 | 4, signer: Signer) =>
    formatVkey(noteKey(nativePrimitives, options.origin, type, signer.publicKey))
  return {
    format: 1,
    rules: 1,
    origin: options.origin,
    trust_domain: options.trustDomain,
    development: options.development,
    keys: {
      log: vkey(NOTE_ED25519, signers.log),
      time: vkey(NOTE_COSIGNATURE_V1, signers.time),
      service: toBase64url(signers.service.spki),
      permit: toBase64url(signers.permit.spki),
      heartbeat: toBase64url(signers.heartbeat.spki),
    },
    ca: [toBase64url(keys.root)],
    operators: options.operators.map((spki) => toBase64url(spki)),
    threshold: options.threshold,
    owners: [{ key: toBase64url(options.owner), patterns: ['**'] }],
    policy: toBase64url(policyDigest(policy)),
    predecessor: predecessorOf(options.predecessor),
  }
}

function predecessorOf(succession: Succession | undefined): JsonValue {
  if (succession === undefined) return null
  const { origin, size, root } = succession.head
  return { origin, size, root: toBase64url(root) }
}

/** The statements of the first batch, signed by the service: genesis, and what it names (FORMAT §6). */
function firstBatch(
  options: InitOptions,
  keys: ServiceKeys,
  nowMs: number,
): readonly FirstStatement[] {
  const { origin, owner, operators } = options
  const policy = options.policy ?? readDefaultPolicy()
  const pack = encodePolicy(policy)
  const { service } = keys.signers
  const kid = keyId(nativePrimitives, service.spki)
  const sign = (type: string, sub: string, payload: JsonValue): string => {
    const header: SigningHeader = {
      alg: service.alg,
      kid,
      type,
      aud: origin,
      iss: `service:${kid}`,
      sub,
      iat: Math.floor(nowMs / 1000),
      jti: toBase64url(randomBytes(16)),
    }
    const bytes = canonicalJson(payload)
    return formatStatement(header, bytes, service.sign(signingInput(header, bytes)))
  }
  const named = (role: string, spki: Uint8Array) => `${role}:${keyId(nativePrimitives, spki)}`
  return [
    { statement: sign('genesis', origin, genesisPayload(options, keys, pack)) },
    ...operators.map((spki) => ({
      statement: sign('operator.enroll', named('operator', spki), { key: toBase64url(spki) }),
    })),
    {
      statement: sign('owner.enroll', named('owner', owner), {
        key: toBase64url(owner),
        patterns: ['**'],
      }),
    },
    {
      statement: sign('policy.activate', 'policy', {
        policy: toBase64url(policyDigest(pack)),
        revision: policy.revision,
      }),
      pinned: [pack],
    },
  ]
}

/**
 * Makes a log.
 *
 * @throws DirectoryError if anything is there already or a name is not permitted; KeyError, StoreError, LedgerError
 */
export async function initLog(options: InitOptions): Promise<InitReport> {
  checkOptions(options)
  const { data, head, keys } = options
  return inNewDirectories([keys, data, head], () => makeLog(options))
}

async function makeLog(options: InitOptions): Promise<InitReport> {
  const { data, head, keys: keysPath, origin, trustDomain, development } = options
  const clock = options.clock ?? systemClock
  const nowMs = clock.nowMs()
  const keys = await makeKeys(options, nowMs)
  const description: LogDescription = { origin, trustDomain, development }
  writeFileSync(
    descriptionPath(data),
    `${JSON.stringify({ origin, trust_domain: trustDomain, development }, null, 2)}\n`,
    { flag: 'wx', mode: 0o600, flush: true },
  )
  const headRecord = await HeadRecord.create(head, { origin })
  try {
    const store = await LevelStore.create(databasePath(data))
    try {
      const database = await Database.create({ store, origin, folds: foldSpecs(ALL_FOLDS) })
      await writeFirstEntries({ options, keys, clock, nowMs, database, headRecord })
      const { genesis, hash } = readGenesis(database, description)
      const anchor = anchorOf(genesis, hash)
      writeFileSync(anchorPath(data), `${anchor}\n`, { flag: 'wx', mode: 0o644, flush: true })
      const trust = followTo(options, anchor, database.entry(0))
      if (trust !== undefined) writeTrustFile(trustPath(data), utf8Encode(trust))
      await syncDirectory(data)
      await syncDirectory(dirname(data))
      const policy = toBase64url(genesis.policy)
      const report = { data, head, keys: keysPath, origin, anchor, size: database.size, policy }
      return trust === undefined ? report : { ...report, trust: trustPath(data) }
    } finally {
      await store.close()
    }
  } finally {
    await headRecord.close()
  }
}

/** What follows the predecessor to the log that was made, checked as any verifier does. @throws ProofError */
function followTo(
  { predecessor }: InitOptions,
  anchor: string,
  genesis: Uint8Array | undefined,
): string | undefined {
  if (predecessor === undefined || genesis === undefined) return undefined
  const p = nativePrimitives
  const trust = followSuccessor(p, predecessor.trust, parseTrustAnchor(p, anchor), genesis)
  return formatTrust(p, trust)
}

interface Empty {
  readonly options: InitOptions
  readonly keys: ServiceKeys
  readonly clock: Clock
  readonly nowMs: number
  readonly database: Database
  readonly headRecord: HeadRecord
}

async function writeFirstEntries(empty: Empty): Promise<void> {
  const { options, keys, clock, nowMs, database, headRecord } = empty
  const { origin, trustDomain } = options
  const logKeys = LogKeys.only(keys.signers.log, origin)
  const rules = composeRules({
    origin,
    trustDomain,
    serviceSpki: keys.signers.service.spki,
    logKeys,
    authority: keys.authority,
    permitSigner: keys.signers.permit,
    policies: {
      find: () => Promise.resolve(undefined),
      tryOut: () => Promise.reject(new DirectoryError('init tries no policy out')),
    },
    clock,
  })
  const log = await Log.create({
    database,
    headRecord,
    keys: logKeys,
    origin,
    ...rules,
    clock,
    firstBatch: firstBatch(options, keys, nowMs),
    serviceKey: keys.signers.service.spki,
    onFatal: () => undefined,
  })
  await log.close()
}
