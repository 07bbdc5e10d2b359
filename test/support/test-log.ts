/**
 * @module A whole log in memory for tests: disk, head record, keys, clock and small handlers, which outlive the process
 * that `open` stands for. `check` verifies it from outside, with the kit alone.
 */
import { expect } from 'vitest'
import {
  formatVkey,
  leafHash,
  makeDisclosure,
  openReceipt,
  parseReceipt,
  formatReceipt,
  formatStatement,
  openHead,
  readCommitments,
  disclosureDigest,
  signingInput,
  utf8Encode,
  verifyConsistency,
} from '@trustwarden/proofs'
import type { Hash, JsonObject, JsonValue, Trust } from '@trustwarden/proofs'
import { keyId } from '../../proofs/key.ts'
import { generateKey, nativePrimitives, signerFromPrivateKey } from '../../src/crypto.ts'
import type { Signer } from '../../src/crypto.ts'
import { audit } from '../../src/ledger/audit.ts'
import type { AuditOptions, AuditReport } from '../../src/ledger/audit.ts'
import type { PrincipalReader } from '../../src/ledger/contract.ts'
import { headKey } from '../../src/ledger/head-note.ts'
import { CORE_FOLDS, Log } from '../../src/ledger/log.ts'
import { LogKeys } from '../../src/ledger/log-keys.ts'
import type { LogOptions } from '../../src/ledger/log.ts'
import type { SubmitResult } from '../../src/ledger/submissions.ts'
import type { Submitted } from '../../src/ledger/prepare.ts'
import { foldSpecs } from '../../src/ledger/rebuild.ts'
import { inlineVerifier } from '../../src/ledger/verify.ts'
import { Database } from '../../src/store/database.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import type { MemoryDisk } from '../../src/store/memory-store.ts'
import { FakeClock } from './fake-clock.ts'
import { FaultStore } from './fault-store.ts'
import { newScript, TEST_FOLDS, testHandlers } from './ledger-handlers.ts'
import type { Script } from './ledger-handlers.ts'
import { emptyRecordDisk, MemoryHeadRecord } from './memory-head-record.ts'
import type { RecordDisk } from './memory-head-record.ts'

export const ORIGIN = 'log.example/logs/test'
export const FOLDS = [...CORE_FOLDS, ...TEST_FOLDS]

/** Somebody who signs. */
export interface Party {
  readonly principal: string
  readonly kid: string
  readonly signer: Signer
}

const party = (alg: 'EdDSA' | 'ES256', name: (kid: string) => string): Party => {
  const signer = signerFromPrivateKey(generateKey(alg))
  const kid = keyId(nativePrimitives, signer.spki)
  return { principal: name(kid), kid, signer }
}

export const LOG_KEY = signerFromPrivateKey(generateKey('EdDSA'))
export const SERVICE = party('EdDSA', (kid) => `service:${kid}`)
export const OPERATOR = party('EdDSA', (kid) => `operator:${kid}`)
export const OWNER = party('EdDSA', (kid) => `owner:${kid}`)
export const AGENT = party('ES256', () => 'spiffe://example.com/team/agent/inst-abcde')
export const STRANGER = party('EdDSA', (kid) => `owner:${kid}`)
const KNOWN = [SERVICE, OPERATOR, OWNER, AGENT]

export const principals: PrincipalReader = {
  find: (_state, principal) => {
    const found = KNOWN.find((one) => one.principal === principal)
    return found && { principal, role: 'owner', spki: found.signer.spki, kid: found.kid }
  },
}

let events = 0

/** What a statement says, besides who signs it. */
export interface Saying {
  readonly type?: string
  readonly jti?: string
  readonly seq?: number
  readonly sub?: string
  readonly aud?: string
  readonly payload?: JsonObject
  /** Values of `details`, each disclosed in a statement of its own salt. */
  readonly details?: JsonValue
}

/** A signed statement, ready to be submitted. */
export function say(by: Party, saying: Saying = {}): Submitted {
  const { type = 'test.note', sub = 'log', aud = ORIGIN, payload = {}, details } = saying
  const jti = saying.jti ?? `event-${events++}`
  const disclosures =
    details === undefined ? [] : [makeDisclosure(new Uint8Array(16).fill(7), 'details', details)]
  const commitments =
    disclosures.length === 0
      ? {}
      : {
          _sd: disclosures.map((one) => disclosureDigest(nativePrimitives, one)),
          _sd_alg: 'sha-256',
        }
  const { alg } = by.signer
  const claims = { alg, kid: by.kid, type, aud, iss: by.principal, sub, iat: 1_800_000_000, jti }
  const isAgent = by.principal.startsWith('spiffe:')
  const header = isAgent ? { ...claims, seq: saying.seq ?? ++events } : claims
  const body = utf8Encode(JSON.stringify({ ...payload, ...commitments }))
  const signature = by.signer.sign(signingInput(header, body))
  return { statement: utf8Encode(formatStatement(header, body, signature)), disclosures }
}

const emptyRoot = nativePrimitives.sha256(new Uint8Array(0))

/** Disk, keys and clock of one log; processes come and go over it. */
export class TestLog {
  readonly disk: MemoryDisk = new Map()
  readonly record: RecordDisk = emptyRecordDisk(emptyRoot)
  readonly clock = new FakeClock()
  readonly script: Script = newScript()
  readonly fatal: Error[] = []
  readonly acknowledged: SubmitResult[] = []
  store: FaultStore = new FaultStore(new MemoryStore(this.disk))
  headRecord = new MemoryHeadRecord(this.record)
  options: Partial<LogOptions> = {}
  /** 0: every value is read from the disk, so that damage to it shows at the next read. */
  foldCacheBytes = 0
  /** Whether a process stopped over damage and no start has passed since. */
  isDamaged = false
  #database: Database | undefined
  #log: Log | undefined

  get log(): Log {
    if (this.#log === undefined) throw new Error('the log is not open')
    return this.#log
  }

  get database(): Database {
    if (this.#database === undefined) throw new Error('the database is not open')
    return this.#database
  }

  /** Makes database and first batch: genesis and a note of the service. */
  static async create(configure: (test: TestLog) => void = () => undefined): Promise<TestLog> {
    const test = new TestLog()
    configure(test)
    await test.createDatabase()
    await test.writeFirstBatch()
    return test
  }

  async createDatabase(): Promise<void> {
    const folds = foldSpecs(FOLDS)
    this.#database = await Database.create({
      store: this.store,
      origin: ORIGIN,
      folds,
      foldCacheBytes: this.foldCacheBytes,
    })
  }

  async writeFirstBatch(): Promise<void> {
    const key = headKey(LOG_KEY, ORIGIN)
    const firstBatch = [
      say(SERVICE, {
        type: 'genesis',
        jti: 'genesis',
        payload: { keys: { log: formatVkey(key) } },
      }),
      say(SERVICE, { type: 'test.note', jti: 'first' }),
    ]
    const options = { ...this.#logOptions(), firstBatch, serviceKey: SERVICE.signer.spki }
    this.#log = await Log.create(options)
  }

  /** A new process on the same disk. */
  async open(configure: (test: TestLog) => void = () => undefined): Promise<Log> {
    this.store = new FaultStore(new MemoryStore(this.disk))
    this.headRecord = new MemoryHeadRecord(this.record)
    configure(this)
    const folds = foldSpecs(FOLDS)
    this.#database = await Database.open({
      store: this.store,
      origin: ORIGIN,
      folds,
      foldCacheBytes: this.foldCacheBytes,
    })
    this.#log = await Log.open(this.#logOptions())
    return this.#log
  }

  #logOptions(): LogOptions {
    return {
      database: this.database,
      headRecord: this.headRecord,
      keys: LogKeys.only(LOG_KEY, ORIGIN),
      origin: ORIGIN,
      handlers: testHandlers(this.script),
      folds: TEST_FOLDS,
      principals,
      clock: this.clock,
      verifier: inlineVerifier,
      // How many batches there are must not hang on how busy the machine is.
      decideBudgetMs: Number.POSITIVE_INFINITY,
      onFatal: (error) => this.fatal.push(error),
      damage: {
        wasLeft: () => this.isDamaged,
        set: () => {
          this.isDamaged = true
        },
        clear: () => {
          this.isDamaged = false
        },
      },
      sleep: (ms) => {
        this.clock.advance(ms)
        return Promise.resolve()
      },
      ...this.options,
    }
  }

  /** Submits, and remembers what was acknowledged. */
  async submit(submitted: Submitted): Promise<SubmitResult> {
    const result = await this.log.submit(submitted)
    this.acknowledged.push(result)
    return result
  }

  audit(over: Partial<AuditOptions> = {}): Promise<AuditReport> {
    return audit({
      database: this.database,
      headRecord: this.headRecord,
      origin: ORIGIN,
      key: headKey(LOG_KEY, ORIGIN),
      handlers: testHandlers(newScript()),
      folds: FOLDS,
      principals,
      scratch: new MemoryStore(),
      ...over,
    })
  }

  trust(): Trust {
    const key = headKey(LOG_KEY, ORIGIN)
    const genesis = this.log.reader.entryBytes(0) ?? new Uint8Array(0)
    const anchor = { key, genesisHash: leafHash(nativePrimitives, genesis), bundleHash: emptyRoot }
    return { logs: [{ origin: ORIGIN, anchor, keys: [{ key, from: 0, to: null }] }] }
  }

  /** Verifies with the kit alone: every receipt given out holds, and the log extends the tree of each. */
  check(): void {
    const head = openHead(
      nativePrimitives,
      utf8Encode(this.log.head().note),
      [this.log.key],
      ORIGIN,
    )
    expect(head.size).toBe(this.log.head().size)
    const trust = this.trust()
    for (const { receipt, index } of this.acknowledged) {
      const parsed = parseReceipt(formatReceipt(receipt))
      const opened = openReceipt(nativePrimitives, parsed, trust)
      expect(opened.index).toBe(index)
      expect(this.log.reader.entryBytes(index)).toEqual(receipt.entry)
      const { size: oldSize, root: oldRoot } = opened.head
      const path = this.log.reader.consistency(oldSize, head.size) as Hash[]
      verifyConsistency(nativePrimitives, {
        oldSize,
        newSize: head.size,
        oldRoot,
        newRoot: head.root,
        path,
      })
    }
  }

  /** The disclosures that an entry commits to. */
  commitments(index: number): readonly string[] {
    const registered = this.log.reader.registered(index)
    return registered === undefined ? [] : readCommitments(registered.statement.payload)
  }
}
