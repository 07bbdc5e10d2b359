/**
 * Goal: the table of codes is closed and alive: what is thrown is in it, what is in it is thrown.
 * Method: every code is looked for, quoted, in the sources of the store; the compiler holds the other direction.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { STORE_ERRORS, StoreError } from '../../src/store/errors.ts'
import type { StoreErrorCode } from '../../src/store/errors.ts'

const codes = Object.keys(STORE_ERRORS) as StoreErrorCode[]

test('every code is thrown somewhere', () => {
  const folder = fileURLToPath(new URL('../../src/store/', import.meta.url))
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && name !== 'errors.ts')
    .map((name) => readFileSync(folder + name, 'utf8'))
    .join('\n')
  expect(codes.filter((code) => !sources.includes(`'${code}'`))).toEqual([])
})

test('an error is as fatal as its row says', () => {
  for (const code of codes) expect(new StoreError(code, 'x').fatal).toBe(STORE_ERRORS[code].fatal)
})
