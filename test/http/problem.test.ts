/**
 * Goal: the error codes that the service can answer with are one list, wherever it stands. Method: the table of codes,
 * its statuses, the list in src/README.md and the literals in the sources are compared, each both ways.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ERRORS, ServiceError } from '../../src/errors.ts'
import { problem, problemOf, retryAfterS, STATUS } from '../../src/http/problem.ts'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))
const CODES = Object.keys(ERRORS).sort()

/** Every file of the service's own sources but the two tables and the client, by path. */
function sources(): ReadonlyMap<string, string> {
  const names = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  const own = names.filter(
    (name) =>
      name.endsWith('.ts') &&
      !name.startsWith('sdk/') &&
      !name.includes('node_modules') &&
      !['errors.ts', 'http/problem.ts'].includes(name),
  )
  return new Map(own.map((name) => [name, readFileSync(join(SRC, name), 'utf8')]))
}

describe('error codes', () => {
  test('each has a status, and nothing else has', () => {
    expect(Object.keys(STATUS).sort()).toEqual(CODES)
    for (const status of Object.values(STATUS)) expect(status).toBeGreaterThanOrEqual(400)
  })

  test('each is listed in src/README.md with its status and meaning, and no other', () => {
    const readme = readFileSync(join(SRC, 'README.md'), 'utf8')
    const section = readme.split('\n## ').find((part) => part.startsWith('Error codes\n')) ?? ''
    const rows = [...section.matchAll(/^\| `([a-z_]+)` \| (\d{3}) \| (.+) \|$/gm)].map((row) =>
      row.slice(1),
    )
    const want = CODES.map((code) => [
      code,
      String(STATUS[code as keyof typeof STATUS]),
      ERRORS[code as keyof typeof ERRORS],
    ])
    expect(rows.toSorted((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1))).toEqual(want)
  })

  test('each is thrown or returned somewhere', () => {
    const text = [...sources().values()].join('\n')
    const unused = CODES.filter((code) => !text.includes(`'${code}'`))
    expect(unused).toEqual([])
  })

  test('whatever is thrown as a ServiceError is in the table', () => {
    let seen = 0
    for (const [name, text] of sources()) {
      for (const [, code = ''] of text.matchAll(/new ServiceError\(\s*'([^']*)'/g)) {
        seen++
        expect([name, CODES.includes(code) ? code : `unknown: ${code}`]).toEqual([name, code])
      }
    }
    expect(seen).toBeGreaterThan(20)
  })
})

describe('problem documents', () => {
  test('say code, status and detail (RFC 9457)', () => {
    expect(problem('overloaded', 'the queue holds 7')).toEqual({
      type: 'urn:trustwarden:problem:overloaded',
      title: ERRORS.overloaded,
      status: 503,
      code: 'overloaded',
      detail: 'the queue holds 7',
    })
    expect(retryAfterS('overloaded')).toBe(1)
    expect(retryAfterS('not_found')).toBeUndefined()
    expect(problemOf(new ServiceError('revoked', 'x')).status).toBe(403)
  })

  test('of what nobody expected say nothing of it', () => {
    for (const thrown of [
      new Error('secret'),
      new ServiceError('internal', 'secret'),
      'secret',
      undefined,
      { message: 'secret' },
    ]) {
      const document = problemOf(thrown)
      expect([document.status, document.code]).toEqual([500, 'internal'])
      expect(JSON.stringify(document)).not.toContain('secret')
    }
  })
})
