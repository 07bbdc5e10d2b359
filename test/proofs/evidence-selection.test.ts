/**
 * Goal: the entries that are selected for a bundle are enough for it to pass, and none of them is there for nothing.
 * Method: stories of every shape as logs with lookups; the bundle of the selection is verified, and is the least.
 */
import { describe, expect, test } from 'vitest'
import { utf8Encode } from '../../proofs/bytes.ts'
import { decodeEntry, type Entry, parseEntryStatement } from '../../proofs/entry.ts'
import { ProofError } from '../../proofs/errors.ts'
import { type EvidenceSource, requiredEntries } from '../../proofs/evidence-selection.ts'
import { verifyEvidence } from '../../proofs/evidence.ts'
import { equalBytes, fromBase64url } from '../../proofs/bytes.ts'
import { jsonString } from '../../proofs/json.ts'
import { parseTrust } from '../../proofs/trust.ts'
import { verdictRows } from '../../proofs/vectors/generate-evidence-action.ts'
import { missingRows } from '../../proofs/vectors/generate-evidence-bundle.ts'
import { decisionRows } from '../../proofs/vectors/generate-evidence-decision.ts'
import { peopleRows, revocationRows } from '../../proofs/vectors/generate-evidence-people.ts'
import { tellStory } from '../../proofs/vectors/generate-story.ts'
import { anchorOf } from '../../proofs/vectors/generate-story.ts'
import type { Story } from '../../proofs/vectors/generate-plot.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'

/** Lookups by reading every entry. */
function sourceOf({ log }: Story): EvidenceSource {
  const entries = log.entries.map(decodeEntry)
  const find = (kind: string, matches: (entry: Entry, sub: string) => boolean): number[] =>
    entries
      .filter((entry) => entry.kind === kind)
      .filter((entry) => matches(entry, parseEntryStatement(entry).header.sub))
      .map(({ index }) => index)
  return {
    entry: (index) => log.entries[index] ?? new Uint8Array(),
    issuanceOf: (instance) => find('agent.issue', (_, sub) => sub === instance)[0],
    enrolmentsOf: (owner) => find('owner.enroll', (_, sub) => sub === owner),
    operatorEnrolmentsOf: (operator) => find('operator.enroll', (_, sub) => sub === operator),
    activationsOf: (policy) =>
      find('policy.activate', (entry) => {
        const { payload } = parseEntryStatement(entry)
        return equalBytes(fromBase64url(jsonString(payload['policy'], 'policy')), policy)
      }),
    revocationsOf: (subject) => find('agent.revoke', (_, sub) => sub === subject),
    matchedAction: (decision) =>
      find(
        'action',
        ({ outcome }) => outcome.get(0) === 'matched' && outcome.get(1) === decision,
      )[0],
    erasuresOf: (index) =>
      find('erasure', (entry) => {
        const named = parseEntryStatement(entry).payload['entries']
        return Array.isArray(named) && named.includes(index)
      }),
  }
}

const actionOf = (story: Story): number => story.indexes.get('action') ?? -1

async function codeOfSelection(source: EvidenceSource, index: number): Promise<string> {
  try {
    await requiredEntries(source, index)
    return 'accepted'
  } catch (error) {
    if (error instanceof ProofError) return error.code
    throw error
  }
}

describe('requiredEntries', () => {
  test('selects the least bundle of the story', async () => {
    const story = tellStory()
    expect(await requiredEntries(sourceOf(story), actionOf(story))).toEqual([0, 3, 4, 5, 6, 7, 8])
  })

  test('selects a bundle that passes, in every story of the vectors that can pass', async () => {
    // These say what a bundle has that was withheld on purpose, or holds what only the vector put there.
    const rows = [
      ...missingRows(),
      ...verdictRows(),
      ...decisionRows(),
      ...revocationRows(),
      ...peopleRows(),
    ]
    let count = 0
    for (const [name, expected, , made] of rows) {
      if (expected !== 'ok' || name === 'ok-input-withheld') continue
      const { story } = made
      const indexes = await requiredEntries(sourceOf(story), actionOf(story))
      const trust = parseTrust(p, utf8Encode(anchorOf(story)))
      const shown = new Map(story.log.disclosures)
      if (/erased|instance$/.test(name)) story.log.disclosures.delete(actionOf(story))
      const report = verifyEvidence(p, story.log.bundle(actionOf(story), indexes), trust)
      expect(report.instance, name).not.toBe('')
      if (name.startsWith('ok-erased-by')) expect(report.action.disclosures, name).toBe('erased')
      for (const [index, texts] of shown) story.log.disclosures.set(index, texts)
      count += 1
    }
    expect(count).toBeGreaterThan(25)
  })

  test('refuses what is no action, and says what the lookups lack', async () => {
    const story = tellStory()
    const source = sourceOf(story)
    expect(await codeOfSelection(source, 7)).toBe('type_mismatch')
    const none = { ...source, issuanceOf: () => undefined }
    expect(await codeOfSelection(none, 8)).toBe('issuance_unproven')
    const child = source.issuanceOf
    const rootless = {
      ...source,
      issuanceOf: (id: string) => (id.includes('fetcher') ? child(id) : undefined),
    }
    expect(await codeOfSelection(rootless, 8)).toBe('link_missing')
    const spent = tellStory({ outcome: { action: [[0, 'spent']] } })
    expect(await codeOfSelection(sourceOf(spent), 8)).toBe('link_missing')
  })
})
