/**
 * Goal: the database answers as a plain map and array would, whatever is committed, rolled back, dropped and reopened,
 * and its set digests are those of a computation from nothing.
 * Method: fast-check commands against a model; the digests are summed again with BigInt, from the model's rows alone.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Batch } from '../../src/store/batch.ts'
import type { Database } from '../../src/store/database.ts'
import { FOLD_CACHE_BYTES } from '../../src/store/fold-cache.ts'
import { KeyDoubt } from '../../src/store/key-filter.ts'
import { Keys } from '../../src/store/keys.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { SetDigest } from '../../src/store/sealed.ts'
import { checkBatchRecords, checkSetDigests } from '../../src/store/start-checks.ts'
import {
  DEDUP,
  FOLDS,
  ORIGIN,
  REVOCATIONS,
  createDatabase,
  digest,
  entryAt,
  inputFor,
  openDatabase,
} from './database-fixture.ts'

interface Model {
  size: number
  rows: Map<string, Uint8Array>
}

interface Real {
  readonly disk: Map<string, Uint8Array>
  readonly foldCacheBytes: number
  database: Database
}

type Change = readonly [fold: number, key: number, value: Uint8Array | null]

const rowName = (fold: number, key: number): string => `${fold}.${key}`

/** Sum of SHA-256(key ‖ value) mod 2^256 of a fold of the model. */
function sumOf(model: Model, fold: number): { count: number; sum: string } {
  const keys = new Keys(ORIGIN)
  let sum = 0n
  let count = 0
  for (const [name, value] of model.rows) {
    const [id, key] = name.split('.').map(Number)
    if (id !== fold) continue
    const hash = digest(keys.fold(fold, Uint8Array.of(key ?? 0)), value)
    sum = (sum + BigInt(`0x${Buffer.from(hash).toString('hex')}`)) % 2n ** 256n
    count++
  }
  return { count, sum: sum.toString(16).padStart(64, '0') }
}

function apply(batch: Batch, changes: readonly Change[]): void {
  for (const [fold, key, value] of changes) {
    if (value === null) batch.delete(fold, Uint8Array.of(key))
    else batch.put(fold, Uint8Array.of(key), value)
  }
}

function applyToModel(rows: Map<string, Uint8Array>, changes: readonly Change[]): void {
  for (const [fold, key, value] of changes) {
    if (value === null) rows.delete(rowName(fold, key))
    else rows.set(rowName(fold, key), value)
  }
}

function checkSame(model: Model, { database }: Real): void {
  expect(database.size).toBe(model.size)
  for (const { id } of FOLDS) {
    for (let key = 0; key < 8; key++) {
      expect(database.folds.reader(id).get(Uint8Array.of(key))).toEqual(
        model.rows.get(rowName(id, key)),
      )
    }
  }
  for (const { id, count, sum } of database.folds.digests()) {
    expect({ count, sum: Buffer.from(sum).toString('hex') }).toEqual(sumOf(model, id))
  }
}

class Commit implements fc.AsyncCommand<Model, Real> {
  readonly count: number
  readonly kept: readonly Change[]
  readonly rolledBack: readonly Change[]
  readonly after: readonly Change[]

  constructor(
    count: number,
    kept: readonly Change[],
    rolledBack: readonly Change[],
    after: readonly Change[],
  ) {
    this.count = count
    this.kept = kept
    this.rolledBack = rolledBack
    this.after = after
  }

  check = (): boolean => true

  async run(model: Model, real: Real): Promise<void> {
    const batch = real.database.begin()
    apply(batch, this.kept)
    const mark = batch.snapshot()
    apply(batch, this.rolledBack)
    batch.rollbackTo(mark)
    apply(batch, this.after)
    applyToModel(model.rows, this.kept)
    applyToModel(model.rows, this.after)
    for (const [fold, key] of [...this.kept, ...this.rolledBack, ...this.after]) {
      const value = await settled(real.database, () => batch.get(fold, Uint8Array.of(key)))
      expect(value).toEqual(model.rows.get(rowName(fold, key)))
    }
    await real.database.commit(batch, inputFor(model.size, this.count))
    model.size += this.count
    checkSame(model, real)
  }

  toString(): string {
    const show = (changes: readonly Change[]): string =>
      JSON.stringify(changes.map(([f, k, v]) => [f, k, v && [...v]]))
    return `commit(${this.count}, ${show(this.kept)}, back ${show(this.rolledBack)}, ${show(this.after)})`
  }
}

/** Reads as the writer does: a key that was deleted before is looked for, and read again. */
async function settled<T>(database: Database, read: () => T): Promise<T> {
  try {
    return read()
  } catch (thrown) {
    if (!(thrown instanceof KeyDoubt)) throw thrown
    await database.folds.settle(thrown)
    return read()
  }
}

class Drop implements fc.AsyncCommand<Model, Real> {
  readonly changes: readonly Change[]

  constructor(changes: readonly Change[]) {
    this.changes = changes
  }

  check = (): boolean => true

  async run(model: Model, real: Real): Promise<void> {
    const batch = real.database.begin()
    apply(batch, this.changes)
    real.database.drop(batch)
    await Promise.resolve()
    checkSame(model, real)
  }

  toString(): string {
    return `drop(${this.changes.length})`
  }
}

class Reopen implements fc.AsyncCommand<Model, Real> {
  check = (): boolean => true

  async run(model: Model, real: Real): Promise<void> {
    real.database = await openDatabase(new MemoryStore(real.disk), real.foldCacheBytes)
    await checkBatchRecords(real.database, { minBytes: Number.POSITIVE_INFINITY })
    await checkSetDigests(real.database)
    checkSame(model, real)
    for (let index = 0; index < model.size; index++) {
      expect(real.database.entry(index)).toEqual(entryAt(index))
    }
  }

  toString(): string {
    return 'reopen'
  }
}

test('the database is its model', async () => {
  const change: fc.Arbitrary<Change> = fc.tuple(
    fc.constantFrom(DEDUP, REVOCATIONS),
    fc.nat(7),
    fc.option(fc.uint8Array({ maxLength: 4 }), { freq: 3, nil: null }),
  )
  const changes = fc.array(change, { maxLength: 6 })
  const count = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 100, max: 600 }))
  const commands = fc.commands(
    [
      fc.tuple(count, changes, changes, changes).map((args) => new Commit(...args)),
      changes.map((list) => new Drop(list)),
      fc.constant(new Reopen()),
    ],
    { maxCommands: 12 },
  )
  // No cache, one of a few values whose generations end all the time, and one that holds everything.
  const cacheBytes = fc.constantFrom(0, 2000, FOLD_CACHE_BYTES)
  await fc.assert(
    fc.asyncProperty(commands, cacheBytes, async (list, foldCacheBytes) => {
      const disk = new Map<string, Uint8Array>()
      const database = await createDatabase(new MemoryStore(disk), foldCacheBytes)
      const setup = (): { model: Model; real: Real } => ({
        model: { size: 0, rows: new Map() },
        real: { disk, foldCacheBytes, database },
      })
      await fc.asyncModelRun(setup, list)
    }),
    { numRuns: 100 },
  )
})

test('a set digest is the sum mod 2^256, in any order, whatever is taken out again', () => {
  const hash = fc.oneof(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.constant(new Uint8Array(32).fill(255)),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(hash, fc.boolean())), (steps) => {
      const set = new SetDigest()
      let sum = 0n
      for (const [bytes, add] of steps) {
        const value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
        if (add) set.add(bytes)
        else set.remove(bytes)
        sum = (sum + (add ? value : 2n ** 256n - value)) % 2n ** 256n
      }
      expect(Buffer.from(set.clone().sum()).toString('hex')).toBe(
        sum.toString(16).padStart(64, '0'),
      )
    }),
  )
})
