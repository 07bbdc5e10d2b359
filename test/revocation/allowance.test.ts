/**
 * Goal: the bound on what a revoked agent may still add holds over HTTP and is counted, and the audit, which decides all
 * of it anew, agrees. Method: reports after the revocation, as many as are taken, then each route; the log audited.
 */
import { expect, test } from 'vitest'
import { ALL_FOLDS } from '../../src/rules.ts'
import { audit } from '../../src/ledger/audit.ts'
import { openOffline } from '../../src/offline.ts'
import { ALLOWANCE_MAX } from '../../src/revocation/allowance.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { resultsOf } from '../support/client.ts'
import { openTestService } from '../support/opened-service.ts'

test('a revoked agent has what is left to it, and is then refused by code wherever it turns', async () => {
  const opened = await openTestService()
  const { owner, operator, service, config } = opened
  try {
    const { agent } = await owner.issue('finance/bot/inst-00001')
    await operator.revoke(`inst:${agent.principal}`)
    const made = Array.from({ length: ALLOWANCE_MAX }, () => agent.makeAction())
    const half = ALLOWANCE_MAX / 2
    const replies = [await agent.submit(made.slice(0, half)), await agent.submit(made.slice(half))]
    const results = replies.flatMap(resultsOf)
    expect(results.map(({ outcome }) => outcome)).toEqual(made.map(() => 'absent'))
    const { size } = service.log.head()
    const [more] = resultsOf(await agent.submit([agent.makeAction()]))
    expect(more).toMatchObject({ status: 'refused', problem: { code: 'allowance_spent' } })
    const asked = await agent.post('/access/v1/evaluation', agent.makeDecision().made)
    expect([asked.status, asked.json()['code']]).toEqual([403, 'allowance_spent'])
    const [again] = resultsOf(await agent.submit(made.slice(0, 1)))
    expect(again).toMatchObject({ status: 'registered', repeated: true })
    expect(service.log.head().size).toBe(size)
    const metrics = (await operator.read('/metrics')).bytes.toString()
    expect(metrics).toMatch(/statements_total\{kind="none",result="allowance_spent"\} 2\n/)
    await service.close()
    const log = await openOffline(config)
    try {
      const { database, headRecord, genesis, rules } = log
      const report = await audit({
        database,
        headRecord,
        origin: genesis.origin,
        key: genesis.keys.log,
        ...rules,
        folds: ALL_FOLDS,
        scratch: new MemoryStore(new Map()),
      })
      expect(report).toMatchObject({ ok: true, entries: size })
    } finally {
      await log.close()
    }
  } finally {
    await opened.close()
  }
})
