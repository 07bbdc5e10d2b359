/**
 * Goal: the demo tells the truth: every step happens, what it writes is what it says, and a second run leaves the
 * first alone. Method: the demo itself in a temporary directory, and its files through the kit.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  noblePrimitives,
  openReceipt,
  parseReceipt,
  parseTrust,
  ProofError,
  verifyEvidence,
} from '@trustwarden/proofs'
import { afterAll, expect, test } from 'vitest'
import { runDemo } from '../../src/cli/demo.ts'

const directory = mkdtempSync(join(tmpdir(), 'trustwarden-demo-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

async function run(): Promise<string> {
  let out = ''
  const io = {
    out: (text: string) => {
      out += text
    },
    err: () => undefined,
    isTerminal: false,
  }
  expect(await runDemo({ directory, io })).toBe(0)
  return out
}

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof ProofError) return error.code
    throw error
  }
  return 'holds'
}

test('twelve steps, in order, without colours, and files that hold what they say', async () => {
  const out = await run()
  const steps = [...out.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number))
  expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  expect(out).not.toContain('\u001b')
  expect(out).toContain('HTTP 403: scope_not_contained')
  expect(out).toContain('deny, because scope_not_in_chain')
  expect(out).toContain('deny, because identity_revoked')
  expect(out).toContain('inclusion_mismatch')
  const at = (name: string) => readFileSync(join(directory, 'evidence', 'demo-1', name))
  const trust = parseTrust(noblePrimitives, at('trust-anchor.txt'))
  const verify = (name: string) => verifyEvidence(noblePrimitives, at(name), trust)
  const report = verify('evidence.json')
  expect(report.authorized).toBe(true)
  expect(report.agent).toBe('spiffe://demo.example/finance/orchestrator/data-fetcher')
  expect(report.chain.map(({ scope }) => scope)).toEqual([
    ['read:transactions', 'write:reports'],
    ['read:transactions'],
  ])
  expect(report.revocations).toMatchObject([{ reason: 'compromised', beforeAction: false }])
  expect(codeOf(() => verify('evidence-tampered.json'))).toBe('inclusion_mismatch')
  const refusal = openReceipt(noblePrimitives, parseReceipt(at('refusal-receipt.json')), trust)
  expect(refusal.entry.kind).toBe('agent.refuse')
  expect(refusal.entry.outcome.get(0)).toBe('scope_not_contained')
  expect(at('explain.txt').toString()).toContain('WHO AUTHORIZED IT')

  const before = at('evidence.json')
  await run()
  expect(existsSync(join(directory, 'data', 'demo-2', 'trust-anchor'))).toBe(true)
  expect(at('evidence.json')).toEqual(before)
})
