/** Goal and method: bit-flips.test.ts, with more flips in a larger log. */
import { expect, test } from 'vitest'
import { bitFlipRounds } from './bit-flip-rounds.ts'

test('500 flipped bits are harmless or named', async () => {
  const report = await bitFlipRounds(500, 1000)
  process.stderr.write(`${JSON.stringify(report)}\n`)
  // Text, so that a failure says which flip it was.
  expect(report.wrong.join('\n')).toBe('')
  expect(report.fates.refused + report.fates.reported).toBeGreaterThan(100)
}, 2_400_000)
