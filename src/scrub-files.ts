/**
 * @module What a scrub leaves for the next start, in two files of the data directory: where it was, and that it found
 * damage. Neither is synced, and no statement is decided by them: without the one, or with nonsense in it, a pass begins
 * anew; without the other the next start finds the damage behind it, again by name.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

/** The mark of damage in a data directory. */
export function damageMark(data: string): DamageMark {
  const path = join(data, 'damage-found')
  return {
    isSet: () => existsSync(path),
    set: () => {
      try {
        writeFileSync(path, '', { mode: 0o600 })
      } catch {
        // The process stops over the damage all the same.
      }
    },
    clear: () => rmSync(path, { force: true }),
  }
}
