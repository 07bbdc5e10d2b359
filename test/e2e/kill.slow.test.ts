/** Goal and method: kill.test.ts, with as many kills as it takes to hit every step of a commit. */
import { expect, test } from 'vitest'
import { killRounds } from './kill-rounds.ts'

test('200 kills under load lose nothing that was acknowledged', async () => {
  const report = await killRounds(200)
  process.stderr.write(`${JSON.stringify(report)}\n`)
  expect(report.acknowledged).toBeGreaterThan(200)
  expect(report.unanswered).toBe(0)
}, 2_400_000)
