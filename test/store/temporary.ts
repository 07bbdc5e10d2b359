/**
 * @module Directories for tests, removed when the test file ends.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** Returns a function that makes a path in a new empty directory; nothing is at the path yet. */
export function temporaryPaths(): (name?: string) => string {
  const made: string[] = []
  afterAll(() => {
    for (const path of made) rmSync(path, { recursive: true, force: true })
  })
  return (name = 'data') => {
    const parent = mkdtempSync(join(tmpdir(), 'trustwarden-store-'))
    made.push(parent)
    return join(parent, name)
  }
}
