/**
 * Goal: a file of rotations leads a verifier to what operators and both keys signed, or nowhere. Method: the vectors hold each
 * rule broken once; here every part of a right file is damaged bit by bit and character by character, and arbitrary files are
 * given.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64url, utf8Encode } from '../../proofs/bytes.ts'
import { verifyEvidence } from '../../proofs/evidence.ts'
import { explainEvidence } from '../../proofs/explain.ts'
import { jsonObject, jsonString, parseJson } from '../../proofs/json.ts'
import { followRotations, formatRotations, parseRotations } from '../../proofs/rotations.ts'
import { formatTrust, parseTrust, type TrustedLog } from '../../proofs/trust.ts'
import { make } from '../../proofs/vectors/generate-bundle.ts'
import { anchorOf } from '../../proofs/vectors/generate-story.ts'
import { nativePrimitives as p } from '../../src/crypto.ts'
import { logSigner } from '../support/note-signer.ts'
import { codeOf, flipBit } from '../support/proof-code.ts'

/** Trust, file of rotations, and the trust that it leads to, of a vector. */
function vector(name: string): readonly [string, string, string] {
  const file = new URL(`../../proofs/vectors/rotations/${name}.json`, import.meta.url)
  const input = jsonObject(jsonObject(parseJson(readFileSync(file)), 'vector')['input'], 'input')
  const [trust, rotations, followed] = ['trust', 'rotations', 'followed'].map((member) =>
    jsonString(input[member], member),
  ) as [string, string, string]
  return [trust, rotations, followed]
}

const [trustText, fileText, followed] = vector('ok-two')
const trust = parseTrust(p, utf8Encode(trustText))
const file = utf8Encode(fileText)
const outcomeOf = (bytes: Uint8Array): string => {
  let text = ''
  const code = codeOf(() => {
    text = formatTrust(p, followRotations(p, bytes, trust))
  })
  return code === 'accepted' ? text : code
}

describe('a file of rotations', () => {
  test('round trip, and followed twice it leads no further', () => {
    expect(formatRotations(parseRotations(file))).toEqual(file)
    expect(outcomeOf(file)).toBe(followed)
    const there = followRotations(p, file, trust)
    expect(followRotations(p, file, there)).toEqual(there)
  })

  test('with any one bit flipped leads to the same keys or is refused', () => {
    // A prime step: every part of the file is met, each character at another bit.
    let refused = 0
    for (let bit = 0; bit < file.length * 8; bit += 127) {
      const outcome = outcomeOf(flipBit(file, bit))
      expect(outcome === followed || /^[a-z_]+$/.test(outcome), `bit ${bit}: ${outcome}`).toBe(true)
      if (outcome !== followed) refused++
    }
    expect(refused).toBeGreaterThan((file.length * 8) / 127 / 2)
  })

  test('cut off anywhere is refused', () => {
    for (let length = 0; length < file.length; length += 331)
      expect(outcomeOf(file.subarray(0, length))).toBe('malformed')
  })

  test('with its rotations in another order, or one twice, leads to the same keys or nowhere', () => {
    const proofs = parseRotations(file)
    const [first, second] = [proofs.slice(0, 1), proofs.slice(1)]
    expect(outcomeOf(formatRotations([...second, ...first]))).toBe('key_mismatch')
    expect(outcomeOf(formatRotations([...first, ...first, ...second, ...second]))).toBe(followed)
    expect(outcomeOf(formatRotations(first))).not.toBe(followed)
  })

  test('leads to no key of the key id of one before, whoever writes the trust down', () => {
    const [before, rotations] = vector('key-id-of-before')
    const known = parseTrust(p, utf8Encode(before))
    expect(codeOf(() => followRotations(p, utf8Encode(rotations), known))).toBe('key_invalid')
  })

  test('arbitrary files are refused with a code', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (any) => {
        expect(outcomeOf(utf8Encode(any))).toMatch(/^(malformed|version_unknown|not_canonical)$/)
      }),
    )
  })
})

describe('beside another log', () => {
  const elsewhere = logSigner('other.example/logs/main', 1).key
  const [own] = trust.logs
  if (own === undefined) throw new Error('no log')
  const other: TrustedLog = {
    origin: elsewhere.name,
    anchor: { ...own.anchor, key: elsewhere },
    keys: [{ key: elsewhere, from: 0, to: null }],
  }

  test('the rotations of one leave the other as it is', () => {
    const both = followRotations(p, file, { logs: [other, own] })
    expect(both.logs).toEqual([other, followRotations(p, file, trust).logs[0]])
  })

  test('a key that has an end by the trust is not rotated', () => {
    const keys = own.keys.map((key) => ({ ...key, to: 1_000_000 }))
    const closed = { logs: [{ ...own, keys }] }
    expect(codeOf(() => followRotations(p, file, closed))).toBe('key_mismatch')
  })

  test('evidence of a successor says which log it succeeds, and holds where that ended so', () => {
    const end = { size: 5, root: new Uint8Array(32).fill(5) }
    const predecessor = { origin: other.origin, size: end.size, root: toBase64url(end.root) }
    const { story, text } = make({ payload: { genesis: { predecessor } } })
    const { logs } = parseTrust(p, utf8Encode(anchorOf(story)))
    const verify = (more: readonly TrustedLog[]) =>
      verifyEvidence(p, utf8Encode(text), { logs: [...logs, ...more] })
    const report = verify([{ ...other, end }])
    expect(report.predecessor).toEqual(predecessor)
    expect(explainEvidence(report).replaceAll('\n', ' ')).toContain(
      `The log succeeds ${other.origin}, which ended at size 5`,
    )
    for (const more of [[], [other]]) expect(verify(more).predecessor).toEqual(predecessor)
    const elsewhereEnded = [{ ...other, end: { ...end, size: 6 } }]
    expect(codeOf(() => verify(elsewhereEnded))).toBe('trust_mismatch')
  })
})
