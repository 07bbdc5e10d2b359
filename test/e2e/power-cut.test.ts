/**
 * Goal: what was acknowledged survives a power cut: every sync that durability needs is there, and comes before the
 * answer. A kill -9 alone cannot show it, since the kernel keeps what was written.
 * Method: the real process under strace; killed under load or on its way up; then every file goes back to what its last
 * finished fsync covers, names to the last sync of their directory (power-cut-disk.ts); restarted, and held to every
 * receipt. Two controls show that the check can fail: syncs that lie, and a journal whose syncs do not count.
 */
import { describe, expect, test } from 'vitest'
import { powerCutRounds } from './power-cut-rounds.ts'
import { canTrace, NO_STRACE } from './trace.ts'

describe.skipIf(!canTrace())(`power cuts (skipped where ${NO_STRACE})`, () => {
  test('3 cuts lose nothing that was acknowledged', async () => {
    const report = await powerCutRounds(3)
    process.stderr.write(`${JSON.stringify(report)}\n`)
    expect(report.acknowledged).toBeGreaterThan(10)
    expect(report.syncs).toBeGreaterThan(10)
  }, 300_000)

  test('control: with fsync and fdatasync that do nothing, a cut loses what was acknowledged', async () => {
    await expect(powerCutRounds(1, { inject: 'fsync,fdatasync' })).rejects.toThrow(
      /newest head is not older|was acknowledged|the service ended with 1/,
    )
  }, 300_000)

  test('control: with a journal that is not synced, the head record leads and the start refuses', async () => {
    await expect(powerCutRounds(1, { ignoreSyncOf: /\/db\/\d+\.log$/ })).rejects.toThrow(
      /store_behind_record/,
    )
  }, 300_000)
})
