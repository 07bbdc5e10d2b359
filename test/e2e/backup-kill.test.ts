/**
 * Goal: backup, restore and recover killed at any moment end complete, or are refused by name and repeatable.
 * Method: real processes, SIGKILL at moments drawn from the time that a whole run takes; then the same command again.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Copies,
  killBackups,
  killRecovers,
  killRestores,
  makeCopies,
  removeCopies,
} from './backup-rounds.ts'
import { seededRandom } from './random.ts'

let copies: Copies

beforeAll(async () => {
  copies = await makeCopies(600)
}, 120_000)
afterAll(() => removeCopies(copies))

test('each, killed', async () => {
  const random = seededRandom('killed copies')
  const cut = [
    await killBackups(copies, 2, random),
    await killRestores(copies, 1, random),
    await killRecovers(copies, 1, random),
  ]
  process.stderr.write(`cut off: ${cut.join(', ')} of 2 backups, 1 restore, 2 recovers\n`)
  expect(cut.length).toBe(3)
}, 240_000)
