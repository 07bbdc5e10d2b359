/**
 * Goal: SPIFFE ids are read strictly, and agents' names and instances among them without ambiguity.
 * Method: the vectors of SPIFFE-ID §2 (one test each), the rules of FORMAT §7.2 one by one, and any text at all.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  isNameSegment,
  parseAgentName,
  parseInstanceId,
  parseSpiffeId,
  ProofError,
} from '@trustwarden/proofs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

interface SpiffeCase {
  readonly in: string
  readonly ok: boolean
  readonly td?: string
  readonly path?: string
  readonly why?: string
}

const folder = process.env['TRUSTWARDEN_VECTORS'] ?? ''
const file = join(folder, 'spiffe', 'spiffe-id-cases.json')
const cases: readonly SpiffeCase[] =
  folder !== '' && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).cases : []

function refused(run: () => unknown): void {
  expect(run).toThrow(expect.objectContaining({ name: 'ProofError', code: 'spiffe_id_invalid' }))
}

describe('parseSpiffeId', () => {
  if (cases.length === 0) {
    it.skip('vectors: TRUSTWARDEN_VECTORS names no folder with spiffe/ (from github.com/spiffe/spiffe)', () => {})
  }

  it.each(cases.map((one, at) => ({ ...one, name: `${at}: ${one.in.slice(0, 40)}` })))(
    'vector $name',
    (vector) => {
      if (!vector.ok) return refused(() => parseSpiffeId(vector.in))
      const id = parseSpiffeId(vector.in)
      expect(id.trustDomain).toBe(vector.td)
      expect(id.path).toBe(vector.path)
      expect(['', ...id.segments].join('/')).toBe(vector.path)
    },
  )

  it('refuses 2049 bytes and a trust domain of 256', () => {
    const prefix = 'spiffe://td/'
    expect(parseSpiffeId(prefix + 'p'.repeat(2048 - prefix.length)).trustDomain).toBe('td')
    refused(() => parseSpiffeId(prefix + 'p'.repeat(2049 - prefix.length)))
    refused(() => parseSpiffeId(`spiffe://${'d'.repeat(256)}/w`))
  })

  it('throws nothing but spiffe_id_invalid, and what it accepts is spelled in one way', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('a', 'B', '/', '.', '-', '_', '%', ':', '\n') }),
    )
    fc.assert(
      fc.property(text, fc.boolean(), (tail, isPrefixed) => {
        const whole = isPrefixed ? `spiffe://${tail}` : tail
        try {
          const id = parseSpiffeId(whole)
          expect(`spiffe://${id.trustDomain}${id.path}`).toBe(whole)
        } catch (error) {
          expect(error).toBeInstanceOf(ProofError)
          expect(error).toHaveProperty('code', 'spiffe_id_invalid')
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('names and instances', () => {
  const name = 'spiffe://org/team/finance/payment-agent'

  it('splits an instance id into name and instance', () => {
    expect(parseInstanceId(`${name}/inst-01j9z`)).toEqual({
      id: `${name}/inst-01j9z`,
      trustDomain: 'org',
      name,
      nameSegments: ['team', 'finance', 'payment-agent'],
      instance: 'inst-01j9z',
    })
    expect(parseAgentName(name)).toEqual({
      name,
      trustDomain: 'org',
      segments: ['team', 'finance', 'payment-agent'],
    })
    expect(parseInstanceId(`spiffe://org/a/inst-${'0'.repeat(64)}`).name).toBe('spiffe://org/a')
  })

  it.each([
    'spiffe://org',
    'spiffe://inst-abcde',
    'spiffe://org/inst-abcde',
    'spiffe://org/a/b',
    'spiffe://org/a/inst-abcd',
    `spiffe://org/a/inst-${'0'.repeat(65)}`,
    'spiffe://org/a/inst-ABCDE',
    'spiffe://org/a/inst-abc-d',
    'spiffe://org/a/xinst-abcde',
    'spiffe://org/A/inst-abcde',
    'spiffe://org/a.b/inst-abcde',
    'spiffe://org/a_b/inst-abcde',
    'spiffe://org/-a/inst-abcde',
    'spiffe://org/trustsystem/inst-abcde',
    'spiffe://org/trustsystem/server/inst-abcde',
    'spiffe://org/a/inst-abcde/inst-abcde',
    `spiffe://org/${'a'.repeat(64)}/inst-abcde`,
    'spiffe://org/1/2/3/4/5/6/7/8/9/inst-abcde',
  ])('refuses the instance id %s', (text) => refused(() => parseInstanceId(text)))

  it.each([
    'spiffe://org',
    'spiffe://org/trustsystem',
    'spiffe://org/a/inst-abcde',
    'spiffe://org/inst-',
    'spiffe://org/1/2/3/4/5/6/7/8/9',
  ])('refuses the name %s', (text) => refused(() => parseAgentName(text)))

  it('keeps "trustsystem" for the first segment only, and takes 63 characters and 8 segments', () => {
    expect(parseAgentName('spiffe://org/a/trustsystem').segments).toHaveLength(2)
    expect(parseAgentName(`spiffe://org/${'a'.repeat(63)}`).segments).toHaveLength(1)
    expect(parseAgentName('spiffe://org/1/2/3/4/5/6/7/8').segments).toHaveLength(8)
    expect(isNameSegment('inst')).toBe(true)
    expect(isNameSegment('inst-')).toBe(false)
  })

  it('never reads a name as an instance', () => {
    const segment = fc.constantFrom('a', 'inst-abcde', 'inst', 'trustsystem', 'b-1', 'inst-12345')
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 9 }), (segments) => {
        const text = ['spiffe://org', ...segments].join('/')
        const reads = [parseAgentName, parseInstanceId].filter((read) => {
          try {
            read(text)
            return true
          } catch {
            return false
          }
        })
        expect(reads.length).toBeLessThan(2)
      }),
    )
  })
})
