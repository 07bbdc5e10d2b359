/**
 * Goal: the vectors on disk are those that the generator writes, the kit answers each as it says, and they are small
 * enough to be copied. Method: all are generated anew in memory and compared byte by byte; the kit runs them with its
 * own primitives and with native ones.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { PROOF_ERRORS } from '../../proofs/errors.ts'
import { jsonObject, jsonString, parseJson } from '../../proofs/json.ts'
import { noblePrimitives } from '../../proofs/noble.ts'
import { CHECKS, checkVector } from '../../proofs/vectors/check.ts'
import { generateVectors } from '../../proofs/vectors/generate.ts'
import { nativePrimitives } from '../../src/crypto.ts'
import { codeOf } from '../support/proof-code.ts'

const FOLDER = fileURLToPath(new URL('../../proofs/vectors/', import.meta.url))
const onDisk = new Map(
  readdirSync(FOLDER, { recursive: true })
    .map(String)
    .filter((path) => path.endsWith('.json') && path !== 'tsconfig.json')
    .map((path) => [path, readFileSync(FOLDER + path, 'utf8')]),
)
const cases = [...onDisk].filter(([path]) => path.includes('/'))

describe('vectors', () => {
  test('are what the generator writes, which refuses a vector that the kit answers otherwise', () => {
    const generated = generateVectors(nativePrimitives)
    expect([...onDisk.keys()].sort()).toEqual([...generated.keys()].sort())
    for (const [path, text] of generated) expect(onDisk.get(path) === text, path).toBe(true)
  })

  test('take less than 4 MB', () => {
    const length = [...onDisk.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    expect(length).toBeLessThan(4_000_000)
  })

  test('have the form that vectors/README.md describes', () => {
    for (const [path, text] of cases) {
      const vector = jsonObject(parseJson(new TextEncoder().encode(text)), path)
      expect(Object.keys(vector), path).toEqual(['description', 'specification', 'input', 'expect'])
      const code = jsonString(vector['expect'], path)
      expect(code === 'ok' || Object.hasOwn(PROOF_ERRORS, code), path).toBe(true)
      expect(CHECKS.has(path.slice(0, path.lastIndexOf('/'))), path).toBe(true)
      // A name that begins with `ok` says that it holds, and no other does.
      expect(/\/ok(-|\.)/.test(path), path).toBe(code === 'ok')
    }
  })

  test.each([...CHECKS.keys()])('of %s are answered with @noble as they say', (folder) => {
    const own = cases.filter(([path]) => path.slice(0, path.lastIndexOf('/')) === folder)
    expect(own.length).toBeGreaterThan(5)
    // The long ones cost a second for each ten; native primitives run all of them above.
    const heavy = folder === 'evidence' || folder === 'lineage'
    for (const [path, text] of heavy ? own.filter((_, at) => at % 5 === 0) : own) {
      const vector = jsonObject(parseJson(new TextEncoder().encode(text)), path)
      const code = codeOf(() =>
        checkVector(noblePrimitives, folder, jsonObject(vector['input'], path)),
      )
      expect(code === 'accepted' ? 'ok' : code, path).toBe(vector['expect'])
    }
  })
})
