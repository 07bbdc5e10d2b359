/**
 * @module A store for what a command rebuilds beside a log.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LevelStore } from '../store/level-store.ts'
import type { Call } from './command.ts'

/** Runs `use` with an empty store on a directory of its own (under `--scratch`), which is gone afterwards. */
export async function withScratch<T>(
  call: Call,
  use: (scratch: LevelStore) => Promise<T>,
): Promise<T> {
  const path = mkdtempSync(join(call.optional('scratch') ?? tmpdir(), 'trustwarden-scratch-'))
  try {
    // Nothing of it is of use after a crash.
    const scratch = await LevelStore.create(path, { durable: false })
    try {
      return await use(scratch)
    } finally {
      await scratch.close()
    }
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}
