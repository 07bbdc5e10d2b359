/**
 * @module What a process leaves for the next start, in two files of the data directory: where its scrub was, and that what
 * is stored may be damaged. No statement is decided by them. Without the first, or with nonsense in it, a pass begins anew.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { DamageMark } from './ledger/log.ts'
import type { ScrubPlace } from './ledger/scrub.ts'

/** The place of the log in a data directory. */
export function scrubPlace(data: string): ScrubPlace {
  const path = join(data, 'scrub-place')
  return {
    load: () => {
      try {
        const text = readFileSync(path, 'utf8')
        return /^[1-9]\d{0,15}\n$/.test(text) ? Number(text) : undefined
      } catch {
        return undefined
      }
    },
    save: (size) => {
      try {
        if (size === undefined) rmSync(path, { force: true })
        else writeFileSync(path, `${size}\n`, { mode: 0o600 })
      } catch {
        // A full disk is told by others; the next pass begins anew.
      }
    },
  }
}

/** A `DamageMark` that says whether it is on disk. */
export interface DamageFile extends DamageMark {
  /** Never throws. @returns Whether it is there after a crash. */
  set(): boolean
}

/**
 * The mark of damage in a data directory: an empty file. It lies there while tables are compared behind a start: LevelDB may
 * end the process over damage, with no word of ours, or merge it into a table whose checksums are right.
 */
export function damageFile(data: string): DamageFile {
  const path = join(data, 'damage-possible')
  const wasLeft = existsSync(path)
  return {
    wasLeft: () => wasLeft,
    set: () => {
      try {
        writeFileSync(path, '', { mode: 0o600 })
        syncSync(path)
        syncSync(data)
        return true
      } catch {
        return false
      }
    },
    clear: () => {
      try {
        rmSync(path, { force: true })
      } catch {
        // As one that comes back after a crash, for this is not synced: it costs the next start time.
      }
    },
  }
}

function syncSync(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
