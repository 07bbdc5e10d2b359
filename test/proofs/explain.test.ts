/**
 * Goal: a person reads the three answers, what was checked and what was not shown, in lines that fit, and nothing that an
 * agent wrote can move the cursor. Method: every vector that holds is explained; a text that tries to escape.
 */
import { describe, expect, test } from 'vitest'
import { utf8Encode } from '../../proofs/bytes.ts'
import type { EvidenceReport } from '../../proofs/evidence-report.ts'
import { verifyEvidence } from '../../proofs/evidence.ts'
import { explainEvidence, printable } from '../../proofs/explain.ts'
import { jsonString } from '../../proofs/json.ts'
import { parseTrust } from '../../proofs/trust.ts'
import { evidenceCases } from '../../proofs/vectors/generate-evidence.ts'
import { CHILD_ID, OWNER, ROOT_ID } from '../../proofs/vectors/generate-plot.ts'
import { anchorOf, bundleOf, tellStory } from '../../proofs/vectors/generate-story.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'

const story = tellStory()
const report = verifyEvidence(p, bundleOf(story), parseTrust(p, utf8Encode(anchorOf(story))))
const joined = (text: string): string => text.replace(/\s+/g, ' ')

describe('explainEvidence', () => {
  test('answers the three questions', () => {
    const text = explainEvidence(report)
    const said = joined(text)
    expect(said).toContain(`as the instance ${CHILD_ID}: its key signed the event`)
    expect(said).toContain(`${OWNER} gave ${ROOT_ID} read:transactions, write:reports`)
    expect(said).toContain(`${ROOT_ID} gave ${CHILD_ID} read:transactions: signed`)
    expect(said).toContain('got allow, by the rules default.in_scope')
    expect(said).toContain('It is stopped by revoking')
    const titles = text.split('\n').filter((line) => /^[A-Z, ]+$/.test(line) && line !== '')
    expect(titles).toEqual([
      'WHICH AGENT DID THIS',
      'WHO AUTHORIZED IT',
      'HOW WAS IT, OR IS IT, STOPPED',
      'WHAT WAS CHECKED',
      'RECORDED BY THE LOG, NOT PROVEN HERE',
      'WHAT THIS DOES NOT SHOW',
    ])
  })

  test('fits, and says of every action that was not authorized that it was not', () => {
    for (const { name, input, expect: expected } of evidenceCases()) {
      if (expected !== 'ok') continue
      const trust = parseTrust(p, utf8Encode(jsonString(input['trust'], 'trust')))
      const each = verifyEvidence(p, utf8Encode(jsonString(input['evidence'], 'evidence')), trust)
      const text = explainEvidence(each)
      expect(Math.max(...text.split('\n').map((line) => line.length)), name).toBeLessThanOrEqual(
        100,
      )
      expect(text.includes('NOT AUTHORIZED'), name).toBe(!each.authorized)
      expect(text.endsWith('\n') && !text.endsWith('\n\n'), name).toBe(true)
      for (const { by } of each.revocations) {
        expect(joined(text), name).toContain(`was revoked (compromised) by ${by}`)
      }
    }
  })

  test('shows no control character, and cuts a word that is too long', () => {
    const resource = { type: '\u001b[2J\u202e', id: 'x'.repeat(300) }
    const text = explainEvidence({ ...report, action: { ...report.action, resource } })
    expect(text).toContain('\\u{1b}[2J\\u{202e}')
    // Everything but the line feeds between its own lines.
    expect(/[^\P{Cc}\n]|\p{Cf}/u.test(text)).toBe(false)
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBe(100)
  })

  test('says what is odd: a log for development, no scope, a time that no date can say', () => {
    const odd: EvidenceReport = {
      ...report,
      development: true,
      scope: [],
      action: { ...report.action, timeMs: Number.MAX_SAFE_INTEGER },
    }
    const said = joined(explainEvidence(odd))
    expect(said).toContain('it is for development')
    expect(said).toContain('Its scope is nothing')
    expect(said).toContain('9007199254740991 ms')
  })
})

describe('printable', () => {
  test('escapes what moves a cursor, and cuts with a mark what is longer than asked for', () => {
    expect(printable('a\u001b[2J\u2028')).toBe('a\\u{1b}[2J\\u{2028}')
    expect(printable('abc', 3)).toBe('abc')
    expect(printable('abcd', 3)).toBe('abc…')
    expect(printable('\u001babcd', 6)).toBe('\\u{1b}…')
  })
})
