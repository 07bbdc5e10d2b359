/**
 * Goal: an acknowledged entry is never lost, changed or reordered, whenever the process is killed.
 * Method: the real process under load, killed by SIGKILL at random moments, in commits and on its way up; after every
 * restart on the same directories all entries are read over HTTP, the tree is computed from them, and every receipt and
 * head ever given out is held against it. What was not answered is sent again and must not stand twice. At the end the
 * log is audited offline. 200 kills are in kill.slow.test.ts. A kill does not test fsync: power-cut does.
 */
import { expect, test } from 'vitest'
import { killRounds } from './kill-rounds.ts'

test('5 kills under load lose nothing that was acknowledged', async () => {
  const report = await killRounds(5)
  process.stderr.write(`${JSON.stringify(report)}\n`)
  expect(report.acknowledged).toBeGreaterThan(5)
  expect(report.unanswered).toBe(0)
}, 300_000)
