/**
 * Goal: nothing but the agreed document is ever an allow. Method: the good result, then one change each; and arbitrary
 * JSON, which must be read without an error.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeNames } from '../../proofs/decision.ts'
import { GATE_REASONS, gateDenial } from '../../src/gate/reasons.ts'
import type { GateReasonCode } from '../../src/gate/reasons.ts'
import { readVerdict } from '../../src/gate/verdict.ts'
import { codeOf } from '../support/proof-code.ts'

const ALLOW = { effect: 'allow', reasons: [], matched: ['r'], obligations: [] }
const DENY = { ...ALLOW, effect: 'deny', reasons: ['no'] }

function read(result: unknown) {
  return readVerdict([{ result }])
}

test('the agreed documents are read', () => {
  expect(read(ALLOW)).toEqual({ ...ALLOW, reproducible: true })
  expect(read(DENY)).toEqual({ ...DENY, reproducible: true })
  expect(read({ ...DENY, effect: 'require_approval' }).effect).toBe('require_approval')
  expect(read({ ...ALLOW, obligations: ['redact.iban'] }).obligations).toEqual(['redact.iban'])
})

test('names are sorted and given once', () => {
  const verdict = read({
    ...DENY,
    reasons: ['b', 'a', 'b'],
    matched: ['z', 'y', 'z'],
    obligations: ['b', 'a', 'a'],
  })
  expect(verdict.reasons).toEqual(['a', 'b'])
  expect(verdict.matched).toEqual(['y', 'z'])
  expect(verdict.obligations).toEqual(['a', 'b'])
})

test.each([
  ['no result', []],
  ['two results', [{ result: ALLOW }, { result: ALLOW }]],
  ['no array', { result: ALLOW }],
  ['null', null],
  ['undefined', undefined],
])('%s is gate_result_count', (_, resultSet) => {
  expect(readVerdict(resultSet)).toEqual(gateDenial('gate_result_count'))
})

const { effect: _effect, ...withoutEffect } = ALLOW
const { obligations: _obligations, ...withoutObligations } = ALLOW
const REFUSED: readonly (readonly [string, unknown, GateReasonCode?])[] = [
  ['true', true],
  ['null', null],
  ['undefined', undefined],
  ['"allow"', 'allow'],
  ['a list', [ALLOW]],
  ['empty', {}],
  ['without effect', withoutEffect],
  ['without obligations', withoutObligations],
  ['with another member', { ...ALLOW, allow: true }],
  ['effect true', { ...ALLOW, effect: true }],
  ['effect ALLOW', { ...ALLOW, effect: 'ALLOW' }],
  ['effect in a list', { ...ALLOW, effect: ['allow'] }],
  ['reasons null', { ...ALLOW, reasons: null }],
  ['reasons as an object', { ...ALLOW, reasons: {} }],
  ['a reason that is no string', { ...DENY, reasons: [1] }],
  ['an empty reason', { ...DENY, reasons: [''] }],
  ['a reason with a line break', { ...DENY, reasons: ['a\nb'] }],
  ['a reason with half a pair', { ...DENY, reasons: ['\ud800'] }],
  ['a reason with a space', { ...DENY, reasons: ['account of Ana'] }],
  ['a reason in capitals', { ...DENY, reasons: ['NO'] }],
  ['a reason that ends a line', { ...DENY, reasons: ['no\n'] }],
  ['a reason that begins with a dash', { ...DENY, reasons: ['-no'] }],
  ['a match that is no name', { ...ALLOW, matched: ['rule 1'] }],
  ['a reason of the host', { ...DENY, reasons: ['gate_timeout'] }],
  ['a reason that is too long', { ...DENY, reasons: ['x'.repeat(129)] }],
  ['matched as a string', { ...ALLOW, matched: 'r' }],
  ['obligations as an object', { ...ALLOW, obligations: {} }],
  ['obligations as a string', { ...ALLOW, obligations: 'redact' }],
  ['an obligation that is an object', { ...ALLOW, obligations: [{ redact: 'iban' }] }],
  ['an obligation that is no name', { ...ALLOW, obligations: ['redact iban'] }],
  ['an obligation of the host', { ...ALLOW, obligations: ['gate_error'] }],
  ['an approval of nothing', { ...ALLOW, effect: 'require_approval' }],
  ['too many reasons', { ...DENY, reasons: Array(257).fill('r') }, 'gate_result_limit'],
  ['too many obligations', { ...ALLOW, obligations: Array(17).fill('o') }, 'gate_result_limit'],
  ['too long', { ...ALLOW, matched: Array(200).fill('x'.repeat(128)) }, 'gate_result_limit'],
  ['allow with reasons', { ...DENY, effect: 'allow' }, 'gate_allow_with_reasons'],
]
for (const [name, result, code = 'gate_result_shape'] of REFUSED) {
  test(`${name} is a denial`, () => {
    expect(read(result)).toEqual(gateDenial(code))
  })
}

test('what is read as a name is one for the proof kit', () => {
  const close = fc.string({
    unit: fc.constantFrom('a', '9', '.', '_', '-', 'A', ' '),
    maxLength: 4,
  })
  fc.assert(
    fc.property(fc.oneof(close, fc.string()), (name) => {
      const { effect } = read({ ...ALLOW, obligations: [name] })
      const isName = codeOf(() => decodeNames([name], 'name')) === 'accepted'
      expect(effect === 'allow').toBe(isName && !name.startsWith('gate_'))
    }),
  )
})

test('arbitrary JSON is read without an error, and is not an allow', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(ALLOW)), (value, field) => {
      expect(readVerdict(value).effect).toBe('deny')
      expect(read(value).effect).toBe('deny')
      const verdict = read({ ...ALLOW, [field]: value })
      if (verdict.effect === 'allow') expect(verdict.reasons).toEqual([])
    }),
  )
})

test('every reason of the host is a denial that says so', () => {
  for (const code of Object.keys(GATE_REASONS) as GateReasonCode[]) {
    expect(code).toMatch(/^gate_[a-z_]+$/)
    expect(gateDenial(code)).toMatchObject({ effect: 'deny', reasons: [code] })
  }
})
