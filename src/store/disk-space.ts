/**
 * @module Space on the disk of a log: how much is free, and a reserve that can be given up.
 *
 * The reserve is a file of random bytes (zeros would take no space where the file system compresses or leaves holes).
 * Nothing rests on it, so nothing about it is fatal: a crash while it is made leaves it short, and the next start
 * makes it whole or gives it up.
 */
import { randomFillSync } from 'node:crypto'
import { open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from './durable.ts'

/** Name of the reserve in its directory. */
export const RESERVE_NAME = 'reserve'

const CHUNK_BYTES = 1024 * 1024

/** Bytes that this user may still write on the file system of `path`. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

/** A file that holds space. */
export class DiskReserve {
  readonly path: string
  /** Bytes that it is to hold. */
  readonly wanted: number
  readonly #directory: string
  #held = 0
  #closed = false
  /** Releases that wait for their turn. */
  #releases = 0
  #last: Promise<unknown> = Promise.resolve()

  private constructor(directory: string, wanted: number) {
    this.#directory = directory
    this.path = join(directory, RESERVE_NAME)
    this.wanted = wanted
  }

  /** Finds what is there; makes nothing. */
  static async open(directory: string, wanted: number): Promise<DiskReserve> {
    const reserve = new DiskReserve(directory, wanted)
    await reserve.measure()
    return reserve
  }

  /** Bytes that it holds now. */
  get held(): number {
    return this.#held
  }

  /** Looks again: whoever needs space at once may have removed it by hand. */
  measure(): Promise<void> {
    return this.#inTurn(async () => {
      this.#held = await stat(this.path).then(
        ({ size }) => size,
        () => 0,
      )
    })
  }

  /**
   * Makes it whole: its bytes are on disk when this resolves, unless it is closed before.
   *
   * @throws if there is no space: what was made goes again
   */
  fill(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#held === this.wanted || this.#releases > 0) return
      try {
        if (this.wanted === 0) await this.#remove()
        else await this.#write()
      } catch (error) {
        await this.#remove()
        throw error
      }
    })
  }

  /** Gives its space back: the file is gone, its directory synced, when this resolves. */
  release(): Promise<void> {
    // A fill that is under way ends now: whoever needs the space does not wait for the rest of it.
    this.#releases++
    return this.#inTurn(() => this.#remove().finally(() => this.#releases--))
  }

  /** Ends a fill that is under way: what is missing the next start adds. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#last
  }

  async #write(): Promise<void> {
    const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.wanted)))
    const file = await open(this.path, 'w', 0o600)
    this.#held = 0
    try {
      while (this.#held < this.wanted && !this.#closed && this.#releases === 0) {
        const part = chunk.subarray(0, this.wanted - this.#held)
        this.#held += (await file.write(part)).bytesWritten
      }
      await file.sync()
    } finally {
      await file.close()
    }
    await syncDirectory(this.#directory)
  }

  async #remove(): Promise<void> {
    await rm(this.path, { force: true })
    await syncDirectory(this.#directory)
    this.#held = 0
  }

  /** One change at a time, in the order of the calls. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(change)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/** Bytes of LevelDB's journals in `directory`: as much as its memory holds, and would take as tables. */
export async function journalBytes(directory: string): Promise<number> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.log'))
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(join(directory, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
