/**
 * Goal: no bit of an evidence bundle can be flipped unnoticed. Method: every bit of every decoded part (head, entries,
 * path nodes, disclosures) and every bit of the JSON text; each has to be refused with a ProofError. There is no
 * immaterial bit: canonical JSON has no white space and no escape that could be written otherwise, base64url has one form,
 * every entry is hashed, and no other valid signature is one flip away.
 */
import { expect, test } from 'vitest'
import { utf8Encode } from '../../proofs/bytes.ts'
import { verifyEvidence } from '../../proofs/evidence.ts'
import { parseTrust } from '../../proofs/trust.ts'
import { anchorOf, bundleOf, tellStory } from '../../proofs/vectors/generate-story.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { evidenceMutants } from '../support/evidence-mutants.ts'
import { codeOf } from '../support/proof-code.ts'

test('every flipped bit of a bundle is refused', () => {
  const story = tellStory()
  const trust = parseTrust(p, utf8Encode(anchorOf(story)))
  const bundle = bundleOf(story)
  const accepted: string[] = []
  for (const { where, bytes } of evidenceMutants(bundle)) {
    if (codeOf(() => verifyEvidence(p, bytes, trust)) === 'accepted') accepted.push(where)
  }
  expect(accepted).toEqual([])
}, 3_600_000)
