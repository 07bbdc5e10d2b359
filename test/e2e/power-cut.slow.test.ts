/** Goal and method: power-cut.test.ts, with more cuts. */
import { describe, expect, test } from 'vitest'
import { powerCutRounds } from './power-cut-rounds.ts'
import { canTrace, NO_STRACE } from './trace.ts'

describe.skipIf(!canTrace())(`power cuts (skipped where ${NO_STRACE})`, () => {
  test('60 cuts lose nothing that was acknowledged', async () => {
    const report = await powerCutRounds(60)
    process.stderr.write(`${JSON.stringify(report)}\n`)
    expect(report.acknowledged).toBeGreaterThan(100)
    expect(report.syncs).toBeGreaterThan(100)
  }, 2_400_000)
})
