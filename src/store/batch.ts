/**
 * @module A batch: what the writer registers between two commits, kept in memory over the committed state.
 *
 * It reads its own writes. A submission that turns out refused or stale leaves nothing: `snapshot` before it,
 * `rollbackTo` after. Nothing here touches the disk; `Database.commit` turns a batch into one write.
 */
import { latin1 } from './bytes.ts'
import { StoreError } from './errors.ts'
import { nameOfFoldKey } from './fold-cache.ts'
import { sha256 } from './hash.ts'
import { SortedRows } from './sorted-rows.ts'

/** A key of a fold, without prefix and fold id, and its value, without seal. */
export interface FoldRow {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** A change of a key of a fold. */
export interface FoldChange {
  readonly kind: 'fold'
  /** `nameOfFoldKey`. */
  readonly name: string
  readonly fold: number
  readonly key: Uint8Array
  /** Undefined: the key is deleted. */
  readonly value: Uint8Array | undefined
}

/** One thing that a batch changes. */
export type Change =
  | FoldChange
  | { readonly kind: 'pinned'; readonly digest: Uint8Array; readonly bytes: Uint8Array }
  | {
      readonly kind: 'erasable'
      readonly index: number
      readonly ordinal: number
      readonly bytes: Uint8Array
    }
  | {
      readonly kind: 'erase'
      readonly index: number
      readonly ordinal: number
      /** Index of the entry that orders the erasure. */
      readonly job: number
    }

/** A committed value, and d = SHA-256(key ‖ value) where reading it computed that anyway. */
export interface CommittedValue {
  readonly value: Uint8Array
  readonly digest: Uint8Array | undefined
}

/** What a batch reads through to: folds as of the last commit. Implemented by `Folds`. */
export interface CommittedFolds {
  /** @throws {KeyDoubt} where nothing may be decided before somebody looked again (key-filter.ts) */
  read(fold: number, key: Uint8Array, name?: string): CommittedValue | undefined
  /** Rows of a resident fold in the order of their keys, as they are now. */
  residentRows(fold: number, prefix: Uint8Array): readonly FoldRow[]
}

/** What views read: folds as of the last commit, for whoever does not decide. Implemented by `Folds`. */
export interface ViewedFolds {
  /** As `read`; a key in doubt reads as absent, and is looked for behind it. */
  view(fold: number, key: Uint8Array): CommittedValue | undefined
  residentRows(fold: number, prefix: Uint8Array): readonly FoldRow[]
}

/** A place in a batch to which it can be taken back. */
export type BatchMark = number & { readonly __brand?: 'BatchMark' }

/** What the writer has changed since the last commit. Made by `Database.begin`; owned by the writer alone. */
export class Batch {
  readonly #folds: CommittedFolds
  readonly #pinned: (digest: Uint8Array) => Uint8Array | undefined
  readonly #changes = new Map<string, Change>()
  readonly #undo: (readonly [name: string, before: Change | undefined])[] = []
  /** Committed values read so far, null for none, so that commit need not read them again to subtract them. */
  readonly #reads = new Map<string, CommittedValue | null>()
  /** The changes of resident folds that were scanned, in the order of their keys. */
  readonly #scanned = new Map<number, SortedRows<FoldChange>>()
  #closed = false

  /** @param pinned - The committed bytes with a SHA-256. */
  constructor(folds: CommittedFolds, pinned: (digest: Uint8Array) => Uint8Array | undefined) {
    this.#folds = folds
    this.#pinned = pinned
  }

  /**
   * Value of `key` in the fold: this batch's own, else the committed one.
   *
   * @throws {StoreError} `value_corrupt`, `fold_unknown`, `store_failed`
   * @throws {KeyDoubt} if it is to be looked for again before anything is decided
   */
  get(fold: number, key: Uint8Array): Uint8Array | undefined {
    const name = nameOfFoldKey(fold, key)
    const change = this.#changes.get(name)
    if (change?.kind === 'fold') return change.value
    return this.#committed(name, fold, key)?.value
  }

  /** Whether the fold holds `key`, this batch's changes included. */
  has(fold: number, key: Uint8Array): boolean {
    return this.get(fold, key) !== undefined
  }

  /** Sets `key` of the fold. The batch keeps both arrays: the caller changes them no more. */
  put(fold: number, key: Uint8Array, value: Uint8Array): void {
    const name = nameOfFoldKey(fold, key)
    this.#change(name, { kind: 'fold', name, fold, key, value })
  }

  /** Removes `key` from the fold; nothing happens if it is not there. */
  delete(fold: number, key: Uint8Array): void {
    const name = nameOfFoldKey(fold, key)
    this.#change(name, { kind: 'fold', name, fold, key, value: undefined })
  }

  /**
   * Rows of a resident fold whose keys begin with `prefix`, in the order of their keys, this batch's changes included.
   * A walk over what there is now: nothing is sorted or copied. Folds on disk have no synchronous scan.
   *
   * @throws {StoreError} `fold_unknown` if the fold is not a resident one
   */
  scan(fold: number, prefix: Uint8Array = new Uint8Array(0)): Iterable<FoldRow> {
    const committed = this.#folds.residentRows(fold, prefix)
    const changes = this.#changesOf(fold).rows(prefix)
    return changes.length === 0 ? committed : mergeRows(committed, changes)
  }

  /** Keeps `bytes` for ever under their SHA-256, which it returns. Bytes that are kept already are not written again. */
  putPinned(bytes: Uint8Array): Uint8Array {
    const digest = sha256(bytes)
    if (this.pinned(digest) === undefined) {
      this.#change(nameOfPinned(digest), { kind: 'pinned', digest, bytes })
    }
    return digest
  }

  /** The pinned bytes with this SHA-256, this batch's included. */
  pinned(digest: Uint8Array): Uint8Array | undefined {
    const change = this.#changes.get(nameOfPinned(digest))
    return change?.kind === 'pinned' ? change.bytes : this.#pinned(digest)
  }

  /** Keeps `bytes` until they are erased, as the `ordinal`-th (0–65,535) erasable value of entry `index`. */
  putErasable(index: number, ordinal: number, bytes: Uint8Array): void {
    this.#change(nameOfErasable(index, ordinal), { kind: 'erasable', index, ordinal, bytes })
  }

  /**
   * Deletes erasable values of entry `index`, by the erasure that entry `jobIndex` orders. It is done, and the values
   * gone from the files, when `finishErasures` says so, not before.
   */
  eraseErasable(index: number, ordinals: readonly number[], jobIndex: number): void {
    for (const ordinal of ordinals) {
      this.#change(nameOfErasable(index, ordinal), { kind: 'erase', index, ordinal, job: jobIndex })
    }
  }

  /** Marks the batch as it is now. */
  snapshot(): BatchMark {
    return this.#undo.length
  }

  /** Takes back every change since `mark`. Marks made later lose their meaning. */
  rollbackTo(mark: BatchMark): void {
    while (this.#undo.length > mark) {
      const step = this.#undo.pop()
      if (step === undefined) return
      const [name, before] = step
      const undone = this.#changes.get(name)
      if (before === undefined) this.#changes.delete(name)
      else this.#changes.set(name, before)
      if (undone?.kind !== 'fold') continue
      const scanned = this.#scanned.get(undone.fold)
      if (before?.kind === 'fold') scanned?.set(before)
      else scanned?.delete(undone.key)
    }
  }

  /** All changes, one for each key. For `Database.commit`. */
  changes(): readonly Change[] {
    return [...this.#changes.values()]
  }

  /** The committed value of a key that is changed, read once. For `Database.commit`. */
  committed({ name, fold, key }: FoldChange): CommittedValue | undefined {
    return this.#committed(name, fold, key)
  }

  /** Ends the batch: every later change is refused. */
  close(): void {
    this.#closed = true
  }

  #committed(name: string, fold: number, key: Uint8Array): CommittedValue | undefined {
    const read = this.#reads.get(name)
    if (read !== undefined) return read ?? undefined
    const sealed = this.#folds.read(fold, key, name)
    this.#reads.set(name, sealed ?? null)
    return sealed
  }

  #change(name: string, change: Change): void {
    if (this.#closed)
      throw new StoreError('batch_invalid', 'the batch has been committed or dropped')
    this.#undo.push([name, this.#changes.get(name)])
    this.#changes.set(name, change)
    if (change.kind === 'fold') this.#scanned.get(change.fold)?.set(change)
  }

  #changesOf(fold: number): SortedRows<FoldChange> {
    let scanned = this.#scanned.get(fold)
    if (scanned === undefined) {
      scanned = new SortedRows()
      for (const change of this.#changes.values()) {
        if (change.kind === 'fold' && change.fold === fold) scanned.set(change)
      }
      this.#scanned.set(fold, scanned)
    }
    return scanned
  }
}

/** Both in the order of their keys; a change takes the place of the row with its key. */
function* mergeRows(
  committed: readonly FoldRow[],
  changes: readonly FoldChange[],
): IterableIterator<FoldRow> {
  let at = 0
  for (const { key, value } of changes) {
    let row = committed[at]
    while (row !== undefined && Buffer.compare(row.key, key) < 0) {
      yield row
      row = committed[++at]
    }
    if (row !== undefined && Buffer.compare(row.key, key) === 0) at++
    if (value !== undefined) yield { key, value }
  }
  for (; at < committed.length; at++) {
    const row = committed[at]
    if (row !== undefined) yield row
  }
}

function nameOfPinned(digest: Uint8Array): string {
  return `p${latin1(digest)}`
}

function nameOfErasable(index: number, ordinal: number): string {
  return `x${index}.${ordinal}`
}
