/**
 * Goal: one flipped bit anywhere on disk never makes a log silently shorter, other, or forked (DESIGN §5).
 * Method: a log of real entries of every kind, in tables and journal; one random bit of a random file is flipped in a
 * copy; then a start, and where it passes the audit. Either everything acknowledged is there as it was, or the start
 * refuses or the audit reports it by name. 500 flips are in bit-flips.slow.test.ts.
 */
import { expect, test } from 'vitest'
import { bitFlipRounds } from './bit-flip-rounds.ts'

test('10 flipped bits are harmless or named', async () => {
  const report = await bitFlipRounds(10, 300)
  process.stderr.write(`${JSON.stringify(report)}\n`)
  expect(report.wrong.join('\n')).toBe('')
  expect(report.fates.refused + report.fates.reported).toBeGreaterThan(0)
}, 300_000)
