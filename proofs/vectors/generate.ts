/**
 * @module Writes the vectors: `node proofs/dist/vectors/generate.js` from the root of the repository. Seeds and times are
 * fixed, so that it writes the same files wherever it runs; a test compares.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { concatBytes, toHex, u64Bytes } from '../bytes.ts'
import { ProofError } from '../errors.ts'
import { leafHash, nodeHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import type { Hash, Primitives } from '../primitives.ts'
import { CHECKS, checkVector } from './check.ts'
import { formatCase, type VectorCase } from './generate-cases.ts'
import { evidenceCases, isWritten } from './generate-evidence.ts'
import { formatCases } from './generate-formats.ts'
import { seeded } from './generate-keys.ts'
import { lineageCases } from './generate-lineage.ts'
import { rotationCases } from './generate-rotations.ts'

/** How many proofs `accumulated.json` is over. */
export const ACCUMULATED_PROOFS = 10_000

/** Every file, by its path below this folder. @throws {Error} for a vector that the kit does not answer as it says */
export function generateVectors(primitives: Primitives = p): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  const seen = new Set<string>()
  for (const one of [...formatCases(), ...lineageCases(), ...evidenceCases(), ...rotationCases()]) {
    const path = `${one.folder}/${one.name}.json`
    if (seen.has(path)) throw new Error(`two vectors ${path}`)
    seen.add(path)
    const answer = answerOf(primitives, one)
    if (answer !== one.expect) throw new Error(`${path}: ${answer}, not ${one.expect}`)
    if (isWritten(one)) files.set(path, formatCase(one))
  }
  files.set('accumulated.json', accumulated(primitives))
  return files
}

/** What the kit answers to a vector: `ok`, or the code that it refuses it with. */
export function answerOf(primitives: Primitives, { folder, input }: VectorCase): string {
  try {
    checkVector(primitives, folder, input)
    return 'ok'
  } catch (error) {
    if (error instanceof ProofError) return error.code
    throw error
  }
}

/**
 * SHA-256 over 10^4 inclusion proofs of one seeded tree of 1,000 leaves, in which leaf `i` is SHA-256(0x00 ‖ u64 i):
 * proof `n` is of leaf `a mod s` of the first `s` leaves, `s = 1 + b mod 1000`, where `a` and `b` are the first and second
 * 32-bit words of SHA-256("trustwarden/vectors/proof " ‖ n); it adds u64 index ‖ u64 size ‖ path ‖ root.
 */
function accumulated(primitives: Primitives): string {
  const tree = Array.from({ length: 1000 }, (_, at) => leafHash(primitives, u64Bytes(at)))
  const nodes = new Map<string, Hash>()
  const root = (start: number, end: number): Hash => {
    const key = `${start} ${end}`
    const known = nodes.get(key)
    if (known !== undefined) return known
    const split = start + splitOf(end - start)
    const [leaf] = tree.slice(start, start + 1)
    const made =
      end - start === 1 && leaf !== undefined
        ? leaf
        : nodeHash(primitives, root(start, split), root(split, end))
    nodes.set(key, made)
    return made
  }
  const path = (index: number, start: number, end: number): readonly Hash[] => {
    if (end - start === 1) return []
    const split = start + splitOf(end - start)
    return index < split
      ? [...path(index, start, split), root(split, end)]
      : [...path(index, split, end), root(start, split)]
  }
  const parts: Uint8Array[] = []
  for (let number = 0; number < ACCUMULATED_PROOFS; number += 1) {
    const words = new DataView(seeded(`proof ${number}`).slice().buffer)
    const size = 1 + (words.getUint32(4) % 1000)
    const index = words.getUint32(0) % size
    parts.push(u64Bytes(index), u64Bytes(size), ...path(index, 0, size), root(0, size))
  }
  const hash = toHex(primitives.sha256(concatBytes(...parts)))
  return `${JSON.stringify({ proofs: ACCUMULATED_PROOFS, leaves: 1000, sha256: hash }, undefined, 1)}\n`
}

/** The largest power of two below a size; 1 for sizes up to 2. */
function splitOf(size: number): number {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = fileURLToPath(new URL('../../vectors/', import.meta.url))
  const files = generateVectors()
  for (const name of [...CHECKS.keys()].map((one) => one.split('/')[0] ?? one)) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  process.stdout.write(`${files.size} vectors written\n`)
}
