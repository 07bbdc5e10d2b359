/**
 * @module The disclosures that a scan of the database shows, in step with the entries that commit to them: none is kept
 * that no leaf commits to. One row is in memory.
 */
import type { Database } from '../store/database.ts'
import type { Row } from '../store/store.ts'
import { Difference } from './audit-difference.ts'

/** Where a disclosure lies. */
interface Place {
  readonly index: number
  readonly ordinal: number
}

/** Walks over the keys of all disclosures. Whoever made it closes it. */
export class DisclosureWalk {
  readonly #keys: Database['keys']
  readonly #rows: AsyncIterator<Row>
  #next: Place | undefined

  private constructor({ keys, store }: Pick<Database, 'keys' | 'store'>) {
    this.#keys = keys
    this.#rows = store.scan({ ...keys.range('x'), keysOnly: true })[Symbol.asyncIterator]()
  }

  /** Begins in front of the first. */
  static async begin(database: Pick<Database, 'keys' | 'store'>): Promise<DisclosureWalk> {
    const walk = new DisclosureWalk(database)
    await walk.#step()
    return walk
  }

  /** Whether there is a disclosure up to entry `index` that was not passed: `pass` is to be called for the entry then. */
  isDue(index: number): boolean {
    return this.#next !== undefined && this.#next.index <= index
  }

  /**
   * Passes those of entry `index`, which commits to `count` of them.
   *
   * @throws {Difference} `disclosure` for one that belongs to no entry up to this one
   */
  async pass(index: number, count: number): Promise<void> {
    while (this.#next !== undefined && this.#next.index <= index) {
      if (this.#next.index < index || this.#next.ordinal >= count) throw strayAt(this.#next)
      await this.#step()
    }
  }

  /** Demands that none is left. @throws {Difference} `disclosure` */
  finish(): void {
    if (this.#next !== undefined) throw strayAt(this.#next)
  }

  async close(): Promise<void> {
    await this.#rows.return?.()
  }

  async #step(): Promise<void> {
    const row = await this.#rows.next()
    this.#next = row.done === true ? undefined : this.#placeOf(row.value.key)
  }

  #placeOf(key: Uint8Array): Place {
    const tail = this.#keys.rest(key, 8)
    const ordinal = (tail[0] ?? 0) * 256 + (tail[1] ?? 0)
    return { index: this.#keys.indexOf(key), ordinal }
  }
}

function strayAt({ index, ordinal }: Place): Difference {
  return new Difference('disclosure', `disclosure ${ordinal} belongs to nothing`, index)
}
