/**
 * @module The ledger alone, in this process: the real rules, store and writer, with no HTTP before them and no signature
 * verified. For what the bench itself signed: to measure the writer, and to fill a log fast. What it writes is what a
 * service writes, and audits as that does.
 */
import { jsonObject } from '@trustwarden/proofs'
import { PersonKey } from 'trustwarden'
import { ask, type BenchAgent, drawAgent, report } from './agents.ts'
import { allowedId } from './answers.ts'
import type { BenchLog } from './service.ts'
import { serviceModule } from './service-module.ts'
import type { Signed } from './sign.ts'

type StatementHandler = import('../src/ledger/contract.ts').StatementHandler
type Submission = import('../src/ledger/contract.ts').Submission
type Submitted = import('../src/ledger/prepare.ts').Submitted
type Written = import('../src/ledger/writer.ts').Written

/** A statement that was prepared for the writer. */
export interface Ready {
  readonly handler: StatementHandler
  readonly submission: Submission
  readonly bytes: number
}

/** A log that is open in this process. */
export interface Ledger {
  readonly size: () => number
  readonly entryBytes: (index: number) => Uint8Array
  readonly prepare: (submitted: Submitted) => Promise<Ready>
  /** Resolves when the entry is durable under a signed head. */
  readonly append: (ready: Ready) => Promise<Written>
  readonly close: () => Promise<void>
}

async function load() {
  const [rules, genesis, config, crypto, directory, keys] = await Promise.all([
    serviceModule<typeof import('../src/rules.ts')>('rules'),
    serviceModule<typeof import('../src/genesis.ts')>('genesis'),
    serviceModule<typeof import('../src/config.ts')>('config'),
    serviceModule<typeof import('../src/clock.ts')>('clock'),
    serviceModule<typeof import('../src/directory.ts')>('directory'),
    serviceModule<typeof import('../src/service-keys.ts')>('service-keys'),
  ])
  const [guard, recovery, reader, writer, prepare] = await Promise.all([
    serviceModule<typeof import('../src/ledger/clock-guard.ts')>('ledger/clock-guard'),
    serviceModule<typeof import('../src/ledger/recovery.ts')>('ledger/recovery'),
    serviceModule<typeof import('../src/ledger/reader.ts')>('ledger/reader'),
    serviceModule<typeof import('../src/ledger/writer.ts')>('ledger/writer'),
    serviceModule<typeof import('../src/ledger/prepare.ts')>('ledger/prepare'),
  ])
  const [state, rebuild, policies, host] = await Promise.all([
    serviceModule<typeof import('../src/ledger/state.ts')>('ledger/state'),
    serviceModule<typeof import('../src/ledger/rebuild.ts')>('ledger/rebuild'),
    serviceModule<typeof import('../src/gate/policies.ts')>('gate/policies'),
    serviceModule<typeof import('../src/gate/policy-host.ts')>('gate/policy-host'),
  ])
  const [database, record, journals, checks] = await Promise.all([
    serviceModule<typeof import('../src/store/database.ts')>('store/database'),
    serviceModule<typeof import('../src/store/head-record.ts')>('store/head-record'),
    serviceModule<typeof import('../src/store/journals.ts')>('store/journals'),
    serviceModule<typeof import('../src/store/start-checks.ts')>('store/start-checks'),
  ])
  return {
    ...rules,
    ...genesis,
    ...config,
    ...crypto,
    ...directory,
    ...keys,
    ...guard,
    ...recovery,
    ...reader,
    ...writer,
    ...prepare,
    ...state,
    ...rebuild,
    ...policies,
    ...host,
    ...database,
    ...record,
    ...journals,
    ...checks,
  }
}

/** A policy may take longer here than in a service: nobody waits, and a time-out would be a denial. */
const POLICY_DEADLINE_MS = 5_000

/** Opens a log that no process serves. @throws as a start of the service */
export async function openLedger({ data }: Pick<BenchLog, 'data'>): Promise<Ledger> {
  const s = await load()
  const config = s.readConfig({ data }, {})
  const { origin, trustDomain } = s.readDescription(data)
  const headRecord = await s.HeadRecord.open(config.head, { origin })
  const { store, journals } = await s.openKeepingJournals(s.databasePath(data))
  const database = await s.Database.open({ store, origin, folds: s.foldSpecs(s.ALL_FOLDS) })
  const { genesis } = s.readGenesis(database, { origin, trustDomain, development: false })
  const keys = s.openServiceKeys(config, genesis, {
    state: new s.CommittedView(database.folds, database.size, 0),
    onWarning: () => undefined,
  })
  const policies = new s.PolicyShelf({
    pinned: (digest) => database.pinned(digest),
    host: {
      workers: config.policyWorkers,
      deadlineMs: POLICY_DEADLINE_MS,
      selfTest: [s.DENIES_NOTHING_KNOWN],
    },
  })
  const clock = s.systemClock
  const guard = new s.ClockGuard(clock)
  const { handlers } = s.composeRules({
    origin,
    trustDomain,
    serviceSpki: genesis.keys.service,
    logKeys: keys.log,
    authority: keys.authority,
    permitSigner: keys.permit,
    policies,
    clock: guard,
  })
  // A kept log may be days old.
  const acceptClockAheadMs = Infinity
  const recovered = await s.recover({
    database,
    headRecord,
    clock,
    keys: keys.log,
    journals,
    acceptClockAheadMs,
  })
  // No scrub runs behind it, and until the folds are checked every key costs a scan.
  await s.checkSetDigests(database)
  const reader = new s.LogReader(database, keys.log, recovered)
  let fatal: Error | undefined
  const writer = new s.Writer({
    database,
    headRecord,
    reader,
    keys: keys.log,
    folds: s.ALL_FOLDS,
    guard,
    onFatal: (error) => {
      fatal = error
    },
    onCommitted: () => undefined,
  })
  const byType = new Map(handlers.map((handler) => [handler.type, handler]))
  return {
    size: () => reader.head().size,
    entryBytes: (index) => {
      const bytes = reader.entryBytes(index)
      if (bytes === undefined) throw new Error(`no entry ${index}`)
      return bytes
    },
    prepare: async (submitted) => {
      const { handler, incoming, bytes } = s.readSubmitted(submitted, byType)
      return {
        handler,
        bytes,
        submission: await s.prepareSubmission(handler, incoming, reader.view()),
      }
    },
    append: ({ handler, submission, bytes }) => {
      if (fatal !== undefined) throw fatal
      return writer.enqueue(handler, submission, bytes)
    },
    close: async () => {
      await policies.close()
      await store.close()
      await headRecord.close()
    },
  }
}

function submittedOf({ text, disclosures }: Signed): Submitted {
  return { statement: text, disclosures }
}

/** How often a gate is asked that was late because the machine was busy with others, and how far apart, ms. */
const ASKED_MAX = 20
const ASKED_AGAIN_MS = 1000

/** What is under way at once: of decisions the gate takes no more than 1,024. */
const UNDER_WAY = 512

/** Calls `run` for 0 to `count` − 1, so many at once. */
export async function inParallel<T>(
  count: number,
  run: (at: number) => Promise<T>,
): Promise<readonly T[]> {
  const results: T[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) results[at] = await run(at)
  }
  await Promise.all(Array.from({ length: Math.min(count, UNDER_WAY) }, lane))
  return results
}

/** Agents of the bench in an open ledger. */
export class LedgerAgents {
  readonly #ledger: Ledger
  readonly #origin: string
  readonly #agents: readonly BenchAgent[]

  private constructor(ledger: Ledger, origin: string, agents: readonly BenchAgent[]) {
    this.#ledger = ledger
    this.#origin = origin
    this.#agents = agents
  }

  /** Issues agents. */
  static async start(ledger: Ledger, log: BenchLog, count: number): Promise<LedgerAgents> {
    const { origin, trustDomain } = log
    const place = {
      origin,
      trustDomain,
      owner: PersonKey.fromFile(log.owner),
    }
    const agents = await inParallel(count, async (at) => {
      const { agent, signed, csr } = drawAgent(place, `bench/filler-${at}`, ledger.size())
      const { text, disclosures } = signed
      const ready = await ledger.prepare({ statement: text, disclosures, csr })
      const written = await ledger.append(ready)
      if (written.type !== 'registered' || written.registered.entry.kind !== 'agent.issue')
        throw new Error('an agent was not issued')
      return agent
    })
    return new LedgerAgents(ledger, origin, agents)
  }

  /** Gets a decision, and prepares the action on it. A gate that is late is asked again. */
  async decideAndAct(at: number): Promise<Ready> {
    for (let n = 0; n < ASKED_MAX; n++) {
      const ready = await this.#decideAndAct(at)
      if (ready !== undefined) return ready
      await new Promise((resolve) => setTimeout(resolve, ASKED_AGAIN_MS))
    }
    throw new Error(`the gate was late ${ASKED_MAX} times`)
  }

  async #decideAndAct(at: number): Promise<Ready | undefined> {
    const agent = this.#agents[at % this.#agents.length]
    if (agent === undefined) throw new Error('no agents')
    const asking = ask(this.#origin, agent)
    const ready = await this.#ledger.prepare(submittedOf(asking.signed))
    const written = await this.#ledger.append(ready)
    if (written.type !== 'registered') throw new Error('a decision was stale')
    const disclosed = ready.submission.disclosed.values
    const answer = ready.handler.answer?.({ ...written.registered, repeated: false, disclosed })
    const id = allowedId(jsonObject(answer, 'answer'))
    if (id === undefined) return undefined
    return this.#ledger.prepare(submittedOf(report(this.#origin, asking, id)))
  }

  /** Appends an action. @throws if it is not recorded as matched */
  async act(ready: Ready): Promise<number> {
    const written = await this.#ledger.append(ready)
    if (written.type !== 'registered') throw new Error('an action was stale')
    const { index, outcome } = written.registered.entry
    if (outcome.get(0) !== 'matched') throw new Error(`action ${index} is not recorded as matched`)
    return index
  }
}
