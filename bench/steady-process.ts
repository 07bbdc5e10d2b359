/**
 * @module The process of a steady load. Requests are sent when they are due. What is refused or cut off is repeated, the
 * same bytes, as every client should: a repeat finds what was recorded.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { ask, type Asking, type BenchAgent, report, reportUndecided } from './agents.ts'
import { type Answer, Connection } from './connection.ts'
import { quantile } from './measure.ts'
import {
  evaluationRequest,
  open,
  type Opened,
  statementRequest,
  statementsRequest,
} from './prepare.ts'
import {
  entryDigest,
  type Second,
  type SteadyAnswer,
  type SteadyMessage,
  type SteadyOrder,
  type SteadyReport,
} from './steady.ts'

/** A statement on its way. */
interface Item {
  readonly bytes: Buffer
  /** What a decision was asked for; absent for an action. */
  readonly asking: Asking | undefined
}

interface Tally {
  good: number[]
  refused: number[]
  unsent: number
  cut: number
}

/** Statements that are signed before the first is due. */
const SIGNED_AHEAD = 2_000
/** How long a connection that could not be opened waits, and how long what is unanswered at the end is repeated. */
const REOPEN_MS = 20
const FINISH_MS = 30_000
const TICK_MS = 1
const SECOND_MS = 1_000
/** What a queue has given out stays in its array until it is so many. */
const QUEUE_CUT = 1024
/** Signing never takes more of a tick than this, or answers wait for it. */
const SIGN_MS = 4

/** Of each result: its own index comes before those in its receipt. */
const RESULT = '"status":"registered"'
const INDEX = /"index":(\d+)/
const ENTRY = /"entry":"([A-Za-z0-9_-]+)"/
const CODE = /"code":"([a-z_]+)"/
const OUTCOME = /"outcome":"([a-z_]+)"/
const ALLOWED_ID = /"decision":true.*"decision_id":"([A-Za-z0-9_-]+)"/

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

const emptyTally = (): Tally => ({ good: [], refused: [], unsent: 0, cut: 0 })
const quantileOf = (values: readonly number[], share: number): number =>
  values.length === 0 ? 0 : quantile(values, share)

/** First in, first out; an array's own `shift` moves all that is left, once that is many. */
class Queue<T> {
  #items: (T | undefined)[] = []
  #from = 0

  get length(): number {
    return this.#items.length - this.#from
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    const item = this.#items[this.#from]
    if (this.length === 0) return undefined
    this.#items[this.#from++] = undefined
    if (this.#from >= QUEUE_CUT && this.#from * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#from)
      this.#from = 0
    }
    return item
  }
}

/** One load from start to finish. */
class SteadyLoad {
  readonly #opened: Opened
  readonly #order: SteadyOrder
  readonly #free: Connection[] = []
  /** Sent before and to be sent again, and actions that a decision allowed: before anything new. */
  readonly #again = new Queue<Item>()
  readonly #signed: Item[] = []
  readonly #seconds: Second[] = []
  readonly #codes = new Map<string, number>()
  readonly #outcomes = new Map<string, number>()
  readonly #indexes: number[] = []
  readonly #digests: bigint[] = []
  readonly #good: number[] = []
  readonly #refused: number[] = []
  readonly #cpu = process.cpuUsage()
  readonly #delay = monitorEventLoopDelay({ resolution: 1 })
  #tally = emptyTally()
  #secondFrom = 0
  #cut = 0
  #underWay = 0
  #due = 0
  #turn = 0
  #sending = true
  #timers: NodeJS.Timeout[] = []
  #awaited: { readonly atMs: number; readonly tell: (atMs: number) => void } | undefined

  constructor(opened: Opened, order: SteadyOrder) {
    this.#opened = opened
    this.#order = order
    while (this.#signed.length < SIGNED_AHEAD) this.#signed.push(this.#sign())
  }

  async begin(): Promise<void> {
    await Promise.all(Array.from({ length: this.#order.connections }, () => this.#connect()))
    this.#due = 0
    this.#delay.enable()
    const start = performance.now()
    this.#secondFrom = start
    const tick = (): void => {
      const passed = performance.now() - start
      this.#sendDue(Math.floor((passed * this.#order.requestsPerSecond) / SECOND_MS))
      if (this.#sending) this.#timers[0] = setTimeout(tick, TICK_MS)
    }
    this.#timers[1] = setInterval(() => this.#endSecond(), SECOND_MS)
    tick()
  }

  firstGoodAfter(atMs: number): Promise<number> {
    return new Promise((tell) => {
      this.#awaited = { atMs, tell }
    })
  }

  async finish(): Promise<SteadyReport> {
    this.#sending = false
    const until = performance.now() + FINISH_MS
    // A decision that was allowed is acted on no more: it was acknowledged itself.
    while (performance.now() < until) {
      while (this.#again.length > 0 && this.#free.length > 0) this.#sendNext()
      if (this.#again.length === 0 && this.#underWay === 0) break
      await new Promise((resolve) => setTimeout(resolve, REOPEN_MS))
    }
    const unanswered = this.#again.length + this.#underWay
    for (const timer of this.#timers) clearTimeout(timer)
    this.#endSecond()
    for (const connection of this.#free) connection.close()
    const { user, system } = process.cpuUsage(this.#cpu)
    const answered = this.#good.length + this.#refused.length
    return {
      seconds: this.#seconds,
      good: this.#good.length,
      refused: this.#refused.length,
      cut: this.#cut,
      goodP50Ms: quantileOf(this.#good, 0.5),
      goodP99Ms: quantileOf(this.#good, 0.99),
      goodWorstMs: quantileOf(this.#good, 1),
      refusedP99Ms: quantileOf(this.#refused, 0.99),
      codes: this.#codes,
      outcomes: this.#outcomes,
      unanswered,
      loadDelayP99Ms: this.#delay.percentile(99) / 1e6,
      loadUs: (user + system) / Math.max(1, answered),
      indexes: Float64Array.from(this.#indexes),
      digests: BigUint64Array.from(this.#digests),
    }
  }

  #agent(): BenchAgent {
    const { agents } = this.#opened
    const agent = agents[this.#turn++ % agents.length]
    if (agent === undefined) throw new Error('no agents')
    return agent
  }

  #sign(): Item {
    const { url, client } = this.#opened
    const { what, perRequest = 1 } = this.#order
    if (what === 'undecided') {
      const signed = Array.from({ length: perRequest }, () =>
        reportUndecided(client.origin, this.#agent()),
      )
      return { bytes: statementsRequest(url, client.origin, signed), asking: undefined }
    }
    const asking = ask(client.origin, this.#agent())
    return { bytes: evaluationRequest(url, asking.signed), asking }
  }

  #sendDue(due: number): void {
    const signUntil = performance.now() + SIGN_MS
    while (this.#due < due) {
      this.#due++
      if (this.#free.length === 0) this.#tally.unsent++
      else this.#sendNext()
    }
    while (this.#signed.length < SIGNED_AHEAD && performance.now() < signUntil)
      this.#signed.push(this.#sign())
  }

  #sendNext(): void {
    const connection = this.#free.pop()
    if (connection === undefined) return
    const item = this.#again.shift() ?? this.#signed.shift() ?? this.#sign()
    const from = performance.now()
    this.#underWay++
    connection.send(item.bytes, (answer) => {
      this.#underWay--
      if (answer instanceof Error) {
        this.#again.push(item)
        this.#lost()
        return
      }
      this.#free.push(connection)
      this.#take(item, answer, performance.now() - from)
    })
  }

  #take(item: Item, { status, body }: Answer, ms: number): void {
    const text = body.toString('latin1')
    const code = status === 200 ? undefined : (CODE.exec(text)?.[1] ?? `status ${status}`)
    // A single statement that was refused may be told so within an answer of 200.
    const refusal = code ?? (text.includes('"status":"refused"') ? CODE.exec(text)?.[1] : undefined)
    if (refusal !== undefined) {
      this.#tally.refused.push(ms)
      this.#refused.push(ms)
      count(this.#codes, refusal)
      this.#again.push(item)
      return
    }
    for (const result of item.asking === undefined ? text.split(RESULT).slice(1) : [text])
      this.#acknowledge(result, item.asking === undefined)
    this.#tally.good.push(ms)
    this.#good.push(ms)
    if (item.asking !== undefined) this.#actOn(item.asking, text)
    const nowMs = Date.now()
    if (this.#awaited !== undefined && nowMs > this.#awaited.atMs) {
      this.#awaited.tell(nowMs)
      this.#awaited = undefined
    }
  }

  #acknowledge(result: string, hasOutcome: boolean): void {
    const index = INDEX.exec(result)?.[1]
    const entry = ENTRY.exec(result)?.[1]
    if (index === undefined || entry === undefined)
      throw new Error(`not an acknowledgement: ${result.slice(0, 400)}`)
    this.#indexes.push(Number(index))
    this.#digests.push(entryDigest(entry))
    if (hasOutcome) count(this.#outcomes, OUTCOME.exec(result)?.[1] ?? 'unknown')
  }

  #actOn(asking: Asking, text: string): void {
    const id = ALLOWED_ID.exec(text)?.[1]
    count(this.#outcomes, id === undefined ? 'deny' : 'allow')
    if (!this.#sending || id === undefined) return
    const { url, client } = this.#opened
    const signed = report(client.origin, asking, id)
    this.#again.push({
      bytes: statementRequest(url, client.origin, signed),
      asking: undefined,
    })
  }

  #lost(): void {
    this.#cut++
    this.#tally.cut++
    void this.#connect()
  }

  /** Opens a connection, however often it takes. */
  async #connect(): Promise<void> {
    const until = performance.now() + FINISH_MS
    while (performance.now() < until)
      try {
        this.#free.push(await Connection.open(this.#opened.url))
        return
      } catch {
        await new Promise((resolve) => setTimeout(resolve, REOPEN_MS))
      }
  }

  #endSecond(): void {
    const { good, refused, unsent, cut } = this.#tally
    this.#tally = emptyTally()
    const now = performance.now()
    const s = (now - this.#secondFrom) / SECOND_MS
    this.#secondFrom = now
    this.#seconds.push({
      s,
      good: good.length,
      refused: refused.length,
      unsent,
      cut,
      goodP99Ms: quantileOf(good, 0.99),
      goodWorstMs: quantileOf(good, 1),
      refusedP99Ms: quantileOf(refused, 0.99),
    })
  }
}

let opened: Opened | undefined
let load: SteadyLoad | undefined

async function obey(message: SteadyMessage): Promise<SteadyAnswer> {
  try {
    if ('open' in message) {
      opened = await open(message.open)
      return {}
    }
    if (opened === undefined) throw new Error('no service was opened')
    if ('start' in message) {
      load = new SteadyLoad(opened, message.start)
      await load.begin()
      return {}
    }
    if (load === undefined) throw new Error('nothing was started')
    if ('firstGoodAfter' in message)
      return { atMs: await load.firstGoodAfter(message.firstGoodAfter) }
    return { report: await load.finish() }
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

process.on('disconnect', () => process.exit())
process.on('message', (message) => {
  void obey(message as SteadyMessage).then((answer) => process.send?.(answer))
})
