/**
 * @module The scrub: everything that is stored is read again behind a running log, by the checks of a start (DESIGN §5).
 * What it finds damaged stops the log by name, before anything more is decided on it.
 *
 * First comes what the start left, as fast as others let it, and whether the log is scrubbed or not: every fold on disk with
 * a `get` of each key, then the disclosures of the entries that the start read again. A key that `get` loses meanwhile is
 * missed all the same (key-filter.ts).
 *
 * Then pass after pass, slowly: the batch records from the last one back to the first (entries, tiles, pinned attachments),
 * then every fold, then what can be erased. A restart goes on where the walk over the records was; folds begin anew, since
 * a set digest is the sum over all of a fold at one moment, and half a sum of another moment says nothing. The place is
 * kept in a file that nothing else reads: lost or wrong it costs a part of one pass.
 *
 * An open scan would keep the bytes of an erasure in the files: an erasure ends the scan of a fold, which begins again after
 * it, twice at most, so that no number of erasures keeps a fold from being read.
 */
import type { Clock } from '../clock.ts'
import type { Database } from '../store/database.ts'
import type { FoldSpec } from '../store/folds.ts'
import { erasuresDone } from '../store/erasure.ts'
import { StoreError } from '../store/errors.ts'
import { beginFold, checkBatchRecords, checkErasables, checkFold } from '../store/start-checks.ts'
import type { FoldMoment } from '../store/start-checks.ts'
import { expectedDisclosures } from './disclosures.ts'
import { Pace, SharedPace } from './pace.ts'

/** What was written last was just read, by the start or by the pass before: other things come first. */
const REST_MS = 60_000
/** Entries whose erasable values are compared under one scan. */
const SLICE_ENTRIES = 512
/** An erasure can be committed while a slice is compared: only what stays contradictory is damage. */
const LOOKS = 3
const LOOK_AGAIN_MS = 200
const RESTARTS_MAX = 2
/** What is read at once, before others run: a millisecond or two. */
const STEP_BYTES = 65_536
/** How often the place is kept. */
const KEEP_MS = 30_000

/** Where the place of the walk is kept between two starts. */
export interface ScrubPlace {
  /** Size of the record to go on with, if one is known. */
  load(): number | undefined
  /** Never throws. */
  save(size: number | undefined): void
}

/** How a log is scrubbed. */
export interface ScrubOptions {
  /** Bytes a second, more than 0. */
  readonly bytesPerS: number
  readonly place: ScrubPlace
  /** Before the first pass and between two. Default: a minute. */
  readonly restMs?: number
}

/** Figures for metrics. */
export interface ScrubStats {
  /** Bytes that the scrub of this process has read and compared. */
  readonly bytes: number
  /** Passes that this process has finished. */
  readonly passes: number
  /** How far the pass is, 0 to 1: entries, then folds and disclosures. */
  readonly position: number
  /** Wall clock at the end of the last pass, ms; 0 if this process finished none. */
  readonly finishedMs: number
}

/** What a start left to be checked behind it: every fold on disk, and disclosures. */
export interface LeftByStart {
  /** Disclosures of the entries from here on, up to the size. */
  readonly disclosuresFrom: number
}

/** What a scrubber works with. */
export interface ScrubberOptions {
  readonly database: Database
  readonly clock: Clock
  /** Undefined: the start has checked everything. */
  readonly left: LeftByStart | undefined
  /** Undefined: nothing is read again but what the start left. */
  readonly scrub: ScrubOptions | undefined
  /** Whether something is under way that may not wait. */
  readonly isBusy: () => boolean
  readonly isStopped: () => boolean
  /** Told that what the start left is as it was written, and how long that took, ms. */
  readonly onStartChecked: (tookMs: number) => void
  /** Told what is damaged: the log is to stop. */
  readonly onDamage: (error: Error) => void
}

/** Ends a check from within its pace. */
class Interruption extends Error {
  override readonly name = 'Interruption'
}

/** Scrubs one log. */
export class Scrubber {
  readonly #options: ScrubberOptions
  #pace: Pick<Pace, 'spend'>
  readonly #stop = new AbortController()
  #running: Promise<void> = Promise.resolve()
  /** Set by an erasure: the scan of a fold is to end. */
  #isInterrupted = false
  /** Begins the scan of a fold at the end of a batch, when memory and disk agree. */
  #atRest: (() => void) | undefined
  #keptMs = 0
  #unpaid = 0
  #stats: ScrubStats = { bytes: 0, passes: 0, position: 0, finishedMs: 0 }
  #startPosition: number

  constructor(options: ScrubberOptions) {
    this.#options = options
    this.#pace = new SharedPace(options.isBusy)
    this.#startPosition = options.left === undefined ? 1 : 0
  }

  /** Undefined where the log is not scrubbed. */
  get stats(): ScrubStats | undefined {
    return this.#options.scrub && this.#stats
  }

  /** How far the check of what the start left is, 0 to 1; 1: done. */
  get startPosition(): number {
    return this.#startPosition
  }

  /** Begins. */
  start(): void {
    this.#running = this.#run()
  }

  /** A batch is durable and published, and the next one has not begun to be written. */
  afterBatch(): void {
    this.#atRest?.()
  }

  /** An erasure waits for open scans. */
  interrupt(): void {
    this.#isInterrupted = true
  }

  /** Ends between two steps. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#atRest?.()
    await this.#running
  }

  async #run(): Promise<void> {
    const { left, scrub, onDamage } = this.#options
    try {
      if (left !== undefined) await this.#finishStart(left)
      if (scrub !== undefined) await this.#scrub(scrub)
    } catch (thrown) {
      if (thrown instanceof Interruption || !(thrown instanceof Error)) return
      const isClosed = thrown instanceof StoreError && thrown.code === 'store_closed'
      if (!isClosed && !this.#options.isStopped()) onDamage(thrown)
    }
  }

  /** Checks what the start left, as it is now. */
  async #finishStart({ disclosuresFrom }: LeftByStart): Promise<void> {
    const { database, onStartChecked } = this.#options
    const sinceMs = performance.now()
    await database.folds.compared(this.#stop.signal)
    if (this.#stop.signal.aborted) throw new Interruption()
    const folds = database.folds.specs().filter(({ resident }) => !resident)
    const { size } = database
    const keys = folds.reduce((sum, { id }) => sum + (database.folds.sets.get(id)?.count ?? 0), 0)
    const total = Math.max(1, keys + size - disclosuresFrom)
    let done = 0
    const at = (part: number): void => {
      // Only what is done is 1, though what is new since may be counted too.
      this.#startPosition = Math.min(0.999, (done + part) / total)
    }
    for (const spec of folds) {
      const count = database.folds.sets.get(spec.id)?.count ?? 0
      await this.#fold(spec, at)
      done += count
    }
    await this.#erasables(disclosuresFrom, size, at)
    this.#startPosition = 1
    onStartChecked(performance.now() - sinceMs)
  }

  async #scrub({ bytesPerS, restMs = REST_MS, place }: ScrubOptions): Promise<void> {
    const { clock } = this.#options
    this.#pace = new Pace(bytesPerS)
    for (;;) {
      await this.#rest(restMs)
      await this.#pass(place)
      place.save(undefined)
      const passes = this.#stats.passes + 1
      this.#stats = { ...this.#stats, passes, finishedMs: clock.nowMs(), position: 0 }
    }
  }

  async #pass(place: ScrubPlace): Promise<void> {
    const { database } = this.#options
    await this.#records(place)
    for (const spec of database.folds.specs()) await this.#fold(spec)
    await this.#erasables(0, database.size)
    await erasuresDone(database)
  }

  async #records(place: ScrubPlace): Promise<void> {
    const { database, clock } = this.#options
    const kept = place.load()
    const from = kept === undefined ? undefined : database.batchRecord(kept)
    const { size } = database
    await checkBatchRecords(database, {
      minBytes: Number.POSITIVE_INFINITY,
      pace: (bytes) => this.#spend(bytes),
      ...(from === undefined ? {} : { from }),
      onRecord: ({ first }) => {
        this.#stats = { ...this.#stats, position: size === 0 ? 0 : (size - first) / size }
        const nowMs = clock.nowMs()
        if (Math.abs(nowMs - this.#keptMs) < KEEP_MS || first === 0) return
        this.#keptMs = nowMs
        place.save(first)
      },
    })
    place.save(undefined)
  }

  async #fold(spec: FoldSpec, onKeys: (keys: number) => void = () => undefined): Promise<void> {
    const { database } = this.#options
    for (let n = 0; ; n++) {
      const moment = await this.#moment(spec)
      const canEnd = n < RESTARTS_MAX
      this.#isInterrupted = false
      try {
        return await checkFold(database, moment, {
          pace: async (bytes) => {
            if (canEnd && this.#isInterrupted) throw new Interruption()
            await this.#spend(bytes)
          },
          onProgress: ({ done }) => onKeys(done),
        })
      } catch (thrown) {
        if (!(thrown instanceof Interruption) || this.#stop.signal.aborted) throw thrown
        await this.#rest(LOOK_AGAIN_MS)
      }
    }
  }

  /** Takes a fold while no commit is under way. */
  #moment(spec: FoldSpec): Promise<FoldMoment> {
    const { database } = this.#options
    return new Promise((resolve, reject) => {
      const take = (): void => {
        this.#atRest = undefined
        if (this.#stop.signal.aborted) reject(new Interruption())
        else resolve(beginFold(database, spec))
      }
      if (database.isCommitting()) this.#atRest = take
      else take()
    })
  }

  async #erasables(
    first: number,
    size: number,
    onEntries: (entries: number) => void = () => undefined,
  ): Promise<void> {
    for (let from = first; from < size; from += SLICE_ENTRIES) {
      await this.#slice(from, Math.min(from + SLICE_ENTRIES, size))
      onEntries(from - first)
    }
  }

  async #slice(from: number, to: number): Promise<void> {
    const { database } = this.#options
    const expected = (index: number) => expectedDisclosures(database, index)
    for (let n = 1; ; n++) {
      try {
        const pace = (bytes: number) => this.#spend(bytes)
        return await checkErasables(database, from, expected, { to, pace })
      } catch (thrown) {
        const mayPass = thrown instanceof StoreError && thrown.code.startsWith('erasable_')
        if (!mayPass || n === LOOKS) throw thrown
        await this.#rest(LOOK_AGAIN_MS)
      }
    }
  }

  async #spend(bytes: number): Promise<void> {
    this.#unpaid += bytes
    if (this.#unpaid < STEP_BYTES) return
    const paid = this.#unpaid
    this.#unpaid = 0
    if (this.#startPosition === 1) this.#stats = { ...this.#stats, bytes: this.#stats.bytes + paid }
    await this.#pace.spend(paid, this.#stop.signal)
    this.#checkRunning()
  }

  async #rest(ms: number): Promise<void> {
    const { signal } = this.#stop
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, ms).unref()
      if (signal.aborted) end()
      else signal.addEventListener('abort', end, { once: true })
    })
    this.#checkRunning()
  }

  #checkRunning(): void {
    if (this.#stop.signal.aborted || this.#options.isStopped()) throw new Interruption()
  }
}
