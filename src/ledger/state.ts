/**
 * @module The state that handlers and folds see: what is committed, and the writer's batch on top of it.
 */
import type { Batch, BatchMark, ViewedFolds } from '../store/batch.ts'
import type { Fold, FoldSpec, FoldWriter, RegisteredEntry, State } from './contract.ts'
import { LedgerError } from './errors.ts'

const NO_PREFIX = new Uint8Array(0)

/**
 * Committed state as it is read outside the writer.
 *
 * Size and time stay as they were when the view was made while values are read as of now. So what a view shows is
 * never older than its size: what is prepared on it and names that size is found stale if anything changed meanwhile.
 */
export class CommittedView implements State {
  readonly size: number
  readonly timeMs: number
  readonly #folds: ViewedFolds
  readonly #guarded: <T>(read: () => T) => T

  /** @param guarded - Runs a read, and tells whoever must know if it meets damage. */
  constructor(
    folds: ViewedFolds,
    size: number,
    timeMs: number,
    guarded: <T>(read: () => T) => T = (read) => read(),
  ) {
    this.#folds = folds
    this.size = size
    this.timeMs = timeMs
    this.#guarded = guarded
  }

  get(fold: FoldSpec, key: Uint8Array): Uint8Array | undefined {
    return this.#guarded(() => this.#folds.view(fold.id, key))?.value
  }

  *scan(fold: FoldSpec): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    for (const { key, value } of this.#folds.residentRows(fold.id, NO_PREFIX)) yield [key, value]
  }
}

/** A place in a `BatchState` to which it can be taken back. */
export interface StateMark {
  readonly size: number
  readonly batch: BatchMark
}

/** The state in front of the next entry: a batch over what is committed. Owned by whoever registers. */
export class BatchState implements FoldWriter {
  readonly timeMs: number
  readonly batch: Batch
  #size: number
  /** The fold that is applying: the only one it may write. */
  #applying: FoldSpec | undefined

  constructor(batch: Batch, size: number, timeMs: number) {
    this.batch = batch
    this.#size = size
    this.timeMs = timeMs
  }

  get size(): number {
    return this.#size
  }

  get(fold: FoldSpec, key: Uint8Array): Uint8Array | undefined {
    return this.batch.get(fold.id, key)
  }

  *scan(fold: FoldSpec): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    for (const { key, value } of this.batch.scan(fold.id)) yield [key, value]
  }

  put(fold: FoldSpec, key: Uint8Array, value: Uint8Array): void {
    this.#checkOwner(fold)
    this.batch.put(fold.id, key, value)
  }

  delete(fold: FoldSpec, key: Uint8Array): void {
    this.#checkOwner(fold)
    this.batch.delete(fold.id, key)
  }

  /** Marks the state as it is now. */
  snapshot(): StateMark {
    return { size: this.#size, batch: this.batch.snapshot() }
  }

  /** Takes back every change since `mark`, entries included. */
  rollbackTo(mark: StateMark): void {
    this.batch.rollbackTo(mark.batch)
    this.#size = mark.size
  }

  /** Lets every fold take in the entry, which becomes part of the state. All see the state before it. */
  apply(folds: readonly Fold[], registered: RegisteredEntry): void {
    try {
      for (const fold of folds) {
        this.#applying = fold.spec
        fold.apply(registered, this)
      }
    } finally {
      this.#applying = undefined
    }
    this.#size = registered.entry.index + 1
  }

  #checkOwner(fold: FoldSpec): void {
    if (this.#applying?.id === fold.id) return
    const who = this.#applying === undefined ? 'a handler' : `fold ${this.#applying.name}`
    throw new LedgerError('writer_defect', `${who} writes to fold ${fold.name}`)
  }
}
