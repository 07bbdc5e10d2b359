/**
 * Goal: what LevelDB is told when space is low does what it is told for. Method: a real store, its files counted.
 */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { NO_KEYS } from '../src/space.ts'
import { journalBytes } from '../src/store/disk-space.ts'
import { LevelStore } from '../src/store/level-store.ts'
import { temporaryPaths } from './store/temporary.ts'

const path = temporaryPaths()

test('to compact no keys writes the memory out and empties the journals, and every key is still there', async () => {
  const directory = path()
  const store = await LevelStore.create(directory)
  try {
    const key = (n: number) => Uint8Array.of(0xff, 0xfe, n)
    for (let n = 0; n < 100; n++)
      await store.write([{ type: 'put', key: key(n), value: randomBytes(20_000) }])
    expect(await journalBytes(directory)).toBeGreaterThan(2_000_000)
    await store.compact(NO_KEYS)
    // The journal is deleted behind this, once its table is in force.
    await expect.poll(() => journalBytes(directory)).toBeLessThan(1000)
    for (let n = 0; n < 100; n++) expect(store.get(key(n))?.length).toBe(20_000)
    await store.write([{ type: 'put', key: key(100), value: randomBytes(10) }])
    expect(await journalBytes(directory)).toBeLessThan(1000)
  } finally {
    await store.close()
  }
})
