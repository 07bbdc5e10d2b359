/**
 * @module The one interface to what keeps bytes: keys in order, atomic durable writes, nothing else.
 *
 * It knows no meaning: which keys there are is in keys.ts, what they mean in database.ts. It promises durability and
 * atomicity only. Integrity of what it reads back is not promised (DESIGN §5) and is made by database.ts.
 */

/** One change of a write. */
export type Op =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

/** A key with its value. `value` is empty in a scan with `keysOnly`. */
export interface Row {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** The keys from `gte` on and below `lt`, in the order of their bytes. */
export interface KeyRange {
  readonly gte: Uint8Array
  readonly lt: Uint8Array
}

/** What a scan reads. */
export interface ScanRange extends KeyRange {
  /** From the highest key down. */
  readonly reverse?: boolean
  /** At most this many rows. */
  readonly limit?: number
  /** Rows come with an empty value. */
  readonly keysOnly?: boolean
}

/**
 * An ordered map from bytes to bytes on disk (or, in tests, in memory).
 *
 * - A **write** is atomic: after a crash all of its ops are there or none. When its promise resolves it is on disk
 *   (fsync), so that a loss of power after that does not undo it. Writes take effect in the order of their calls.
 * - After **any failed write** it is unknown what is on disk. From then on every `get`, `scan`, `write` and `compact`
 *   fails with `store_failed`: a handle that failed once is never used again (measured: after one ENOSPC LevelDB
 *   acknowledged 61 further batches and lost them all at the next open). Only opening anew ends this state.
 * - **Reads** see every write whose promise has resolved, and none in part. Arrays given in and got out are the
 *   caller's: the store keeps no reference that the caller could change.
 * - A **scan** sees the store as it was at its first step, whatever is written meanwhile. It is open from its first
 *   step until it ends, is left by `break`, or fails; whoever steps it by hand calls `return`.
 */
export interface Store {
  /** Directory of the files, or undefined where there are none (memory). Erasure searches it as bytes. */
  readonly directory: string | undefined
  /**
   * Does nothing while the store can be used. For whoever answers from memory what the store would have answered.
   *
   * @throws {StoreError} `store_failed`, `store_closed`
   */
  checkUsable(): void
  /** Value of `key`, or undefined. @throws {StoreError} `store_failed`, `store_closed` */
  get(key: Uint8Array): Uint8Array | undefined
  /** Rows of a range, in order. @throws {StoreError} `store_failed`, `store_closed`, while stepping. */
  scan(range: ScanRange): AsyncIterable<Row>
  /**
   * Applies `ops` in order as one atomic durable write. No ops: nothing is written.
   *
   * @throws {StoreError} `store_failed` if it did not succeed, and from then on always; `store_closed`
   */
  write(ops: readonly Op[]): Promise<void>
  /** Rewrites the files that hold keys of `range`, so that what was deleted or overwritten leaves them. */
  compact(range: KeyRange): Promise<void>
  /** Resolves when every scan that is open at the call has ended. Later scans do not delay it. */
  scansEnded(): Promise<void>
  /** How many scans are open. */
  openScans(): number
  /** Releases the files and their lock. Waits for running writes. A second call does nothing. */
  close(): Promise<void>
}
