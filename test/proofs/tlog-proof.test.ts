/**
 * Goal: a proof of one entry holds for that entry, that log and that head alone. Method: proofs from the naive tree
 * under heads signed by node:crypto; every refusal by name; every bit of a proof flipped; random and mutated bytes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64, toHex, utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import { formatHeadBody } from '../../proofs/head.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { formatNote } from '../../proofs/note.ts'
import { formatTlogProof, parseTlogProof, verifyTlogProof } from '../../proofs/tlog-proof.ts'
import { naiveInclusion, naiveLeaves, naiveTree } from '../support/naive-merkle.ts'
import { logSigner } from '../support/note-signer.ts'
import { bitFlips, codeOf } from '../support/proof-code.ts'

const ORIGIN = 'example.com/logs/main'
const log = logSigner(ORIGIN, 1)
const trust = { origin: ORIGIN, keys: [log.key] }
const leaves = naiveLeaves(12)
const tree = naiveTree(leaves)
const leafAt = (index: number): Uint8Array => tree(index, index + 1)

function checkpointAt(size: number): Uint8Array {
  const body = formatHeadBody({ origin: ORIGIN, size, root: tree(0, size), extensions: [] })
  return formatNote(body, [log.sign(body)])
}

function proofAt(index: number, size: number): Uint8Array {
  const path = naiveInclusion(tree, index, size)
  return formatTlogProof({ index, path, checkpoint: checkpointAt(size) })
}

const verifyCode = (bytes: Uint8Array, index: number): string =>
  codeOf(() => verifyTlogProof(p, bytes, leafAt(index), trust))

describe('verifying', () => {
  test('every entry of every size is proven, and no other leaf by its proof', () => {
    for (let size = 1; size <= leaves.length; size += 1) {
      for (let index = 0; index < size; index += 1) {
        const bytes = proofAt(index, size)
        expect(verifyTlogProof(p, bytes, leafAt(index), trust)).toMatchObject({ size })
        expect(verifyCode(bytes, (index + 1) % leaves.length)).toBe('inclusion_mismatch')
      }
    }
  })

  test('another log, key or index is refused by name', () => {
    const bytes = proofAt(5, 9)
    const leaf = leafAt(5)
    const other = { ...trust, origin: 'example.com/logs/other' }
    expect(codeOf(() => verifyTlogProof(p, bytes, leaf, other))).toBe('origin_mismatch')
    const unknown = { ...trust, keys: [logSigner(ORIGIN, 2).key] }
    expect(codeOf(() => verifyTlogProof(p, bytes, leaf, unknown))).toBe('key_unknown')
    const path = naiveInclusion(tree, 5, 9)
    const checkpoint = checkpointAt(9)
    const moved = formatTlogProof({ index: 4, path, checkpoint })
    expect(verifyCode(moved, 5)).toBe('inclusion_mismatch')
    const beyond = formatTlogProof({ index: 9, path, checkpoint })
    expect(verifyCode(beyond, 5)).toBe('malformed')
    const underAnother = formatTlogProof({ index: 5, path, checkpoint: checkpointAt(10) })
    expect(verifyCode(underAnother, 5)).toBe('inclusion_mismatch')
  })

  test('no flipped bit of a proof is accepted', { timeout: 120_000 }, () => {
    const bytes = proofAt(1, 3)
    for (const flipped of bitFlips(bytes)) expect(verifyCode(flipped, 1)).not.toBe('accepted')
  })
})

describe('form', () => {
  const text = utf8Decode(proofAt(1, 3))
  const hash = toBase64(leafAt(0))
  const parseCode = (source: string): string => codeOf(() => parseTlogProof(utf8Encode(source)))

  test('is the one of C2SP tlog-proof', () => {
    expect(text).toBe(
      `c2sp.org/tlog-proof@v1\nindex 1\n${hash}\n${toBase64(leafAt(2))}\n\n${utf8Decode(checkpointAt(3))}`,
    )
    const alone = utf8Decode(proofAt(0, 1))
    expect(alone.startsWith(`c2sp.org/tlog-proof@v1\nindex 0\n\n${ORIGIN}\n1\n`)).toBe(true)
  })

  test('extra data is carried, and trusted by nobody', () => {
    const proof = { ...parseTlogProof(utf8Encode(text)), extra: Uint8Array.of(1, 2, 3) }
    const bytes = formatTlogProof(proof)
    expect(utf8Decode(bytes)).toContain('@v1\nextra AQID\nindex 1\n')
    expect(parseTlogProof(bytes)).toEqual(proof)
    expect(verifyCode(bytes, 1)).toBe('accepted')
  })

  test.each([
    ['nothing', '', 'malformed'],
    ['no empty line', 'c2sp.org/tlog-proof@v1\nindex 1\n', 'malformed'],
    ['another version', text.replace('@v1', '@v2'), 'version_unknown'],
    ['no index', text.replace('index 1\n', ''), 'malformed'],
    ['no index and no hash', `c2sp.org/tlog-proof@v1\n\n${text}`, 'malformed'],
    ['index in two spaces', text.replace('index ', 'index  '), 'malformed'],
    ['leading zero', text.replace('index 1', 'index 01'), 'not_canonical'],
    ['index 2^53', text.replace('index 1', 'index 9007199254740992'), 'too_large'],
    ['empty extra', text.replace('index', 'extra \nindex'), 'malformed'],
    ['extra twice', text.replace('index', 'extra AQID\nextra AQID\nindex'), 'malformed'],
    ['extra after index', text.replace('index 1\n', 'index 1\nextra AQID\n'), 'malformed'],
    ['extra in a second form', text.replace('index', 'extra AR==\nindex'), 'not_canonical'],
    ['extra without index', 'c2sp.org/tlog-proof@v1\nextra AQID\n\n', 'malformed'],
    ['short hash', text.replace(hash, 'AAAA'), 'malformed'],
    ['hash in a second form', text.replace(hash, hash.replace(/.=$/, 'B=')), 'not_canonical'],
    ['no checkpoint', `c2sp.org/tlog-proof@v1\nindex 1\n${hash}\n\n`, 'malformed'],
    ['note that is no head', 'c2sp.org/tlog-proof@v1\nindex 0\n\na\n\n— a AAAAAAE=\n', 'malformed'],
    [
      '54 hashes',
      text.replace(hash, Array.from({ length: 53 }, () => hash).join('\n')),
      'too_large',
    ],
    [
      '53 hashes',
      text.replace(hash, Array.from({ length: 52 }, () => hash).join('\n')),
      'accepted',
    ],
    ['endless extra', text.replace('index', `extra ${'AAAA'.repeat(25_000)}\nindex`), 'too_large'],
    ['64 KiB of extra', text.replace('index', `extra ${'AAAA'.repeat(22_000)}\nindex`), 'accepted'],
  ])('%s', (_, source, code) => {
    expect(parseCode(source)).toBe(code)
  })

  test('formatTlogProof writes only what parseTlogProof reads', () => {
    const proof = parseTlogProof(utf8Encode(text))
    for (const change of [
      { index: -1 },
      { index: 0.5 },
      { path: [new Uint8Array(31)] },
      { path: [new Uint8Array()] },
      { extra: new Uint8Array() },
      { checkpoint: new Uint8Array() },
    ]) {
      expect(codeOf(() => formatTlogProof({ ...proof, ...change }))).toBe('malformed')
    }
    expect(codeOf(() => formatTlogProof({ ...proof, index: 2 ** 53 }))).toBe('too_large')
  })

  test('whatever parses formats to the same bytes, and all else is a ProofError', () => {
    const whole = utf8Encode(text)
    const input = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => whole.with(at, byte)),
      fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
    )
    fc.assert(
      fc.property(input, (bytes) => {
        if (codeOf(() => parseTlogProof(bytes)) !== 'accepted') return
        expect(toHex(formatTlogProof(parseTlogProof(bytes)))).toBe(toHex(bytes))
      }),
      { numRuns: 3_000 },
    )
  })
})
