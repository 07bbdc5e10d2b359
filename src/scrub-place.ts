/**
 * @module Where a scrub was, in a file of the data directory: a restart goes on from there. It is not synced, and nothing is
 * decided by it: without it, or with nonsense in it, a pass begins anew.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
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
