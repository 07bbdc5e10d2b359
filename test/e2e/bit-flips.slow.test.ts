/** Goal and method: bit-flips.test.ts, with more flips in a larger log. */
import { expect, test } from 'vitest'
import { bitFlipRounds } from './bit-flip-rounds.ts'

test('500 flipped bits are harmless or named', async () => {
  const report = await bitFlipRounds(500, 1000)
  process.stderr.write(`${JSON.stringify(report)}\n`)
  expect(report.wrong).toEqual([])
  expect(report.fates.refused + report.fates.reported).toBeGreaterThan(100)
}, 2_400_000)
