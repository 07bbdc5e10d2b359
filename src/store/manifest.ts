/**
 * @module What LevelDB has in force, as CURRENT and its MANIFEST say: what else lies there a crash left, and LevelDB
 * removes.
 *
 * @see https://github.com/google/leveldb/blob/main/doc/impl.md
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../errno.ts'
import { StoreError } from './errors.ts'
import { Cursor, readJournalRecords } from './level-files.ts'

/** A table that is in force. */
export interface LiveTable {
  /** 0: its keys may lie in other tables of level 0 too. In each level above a key lies in one table. */
  readonly level: number
  readonly number: number
  readonly size: number
  /** Its first key, as the table has it: with sequence number and type. */
  readonly smallest: Uint8Array
  /** Its last key. */
  readonly largest: Uint8Array
}

/** What is in force. */
export interface Manifest {
  readonly tables: readonly LiveTable[]
  /** Journals of this number and above are what no table has yet. */
  readonly journal: number
}

const TAG = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9,
} as const

/** Undefined where there is no database. @throws {StoreError} `store_open_failed` if what is there cannot be read */
export async function readManifest(directory: string): Promise<Manifest | undefined> {
  const name = (await readIfThere(join(directory, 'CURRENT'))).toString('latin1').trim()
  // What is wrong with this one LevelDB says itself.
  if (!/^MANIFEST-\d+$/.test(name)) return undefined
  const bytes = await readIfThere(join(directory, name))
  const reader = new EditReader()
  try {
    for (const record of readJournalRecords(bytes, true).records) reader.read(new Cursor(record))
  } catch (cause) {
    throw new StoreError('store_open_failed', `${name} in ${directory} cannot be read`, { cause })
  }
  return { tables: [...reader.live.values()], journal: reader.journal }
}

/** What is not there is for LevelDB to say; what cannot be read must not be taken for it. */
async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return Buffer.alloc(0)
    throw new StoreError('store_open_failed', `${path} cannot be read`, { cause })
  }
}

class EditReader {
  readonly live = new Map<number, LiveTable>()
  journal = 0

  read(edit: Cursor): void {
    while (!edit.done()) {
      switch (edit.varint()) {
        case TAG.comparator:
          edit.bytes(edit.varint())
          break
        case TAG.logNumber:
          this.journal = edit.varint()
          break
        case TAG.nextFile:
        case TAG.lastSequence:
        case TAG.previousLog:
          edit.varint()
          break
        case TAG.compactPointer:
          edit.varint()
          edit.bytes(edit.varint())
          break
        case TAG.deletedFile:
          edit.varint()
          this.live.delete(edit.varint())
          break
        case TAG.newFile:
          this.#add(edit)
          break
        default:
          throw new StoreError(
            'files_unreadable',
            'a MANIFEST says what this release does not read',
          )
      }
    }
  }

  #add(edit: Cursor): void {
    const [level, number, size] = [edit.varint(), edit.varint(), edit.varint()]
    const key = (): Uint8Array => edit.bytes(edit.varint()).slice()
    this.live.set(number, { level, number, size, smallest: key(), largest: key() })
  }
}
