/**
 * Goal: a batch reaches a policy's worker as it was, and what the worker answers is a verdict of exactly the agreed form
 * or a denial. Method: arbitrary batches, every verdict the gate knows, and answers broken one by one.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packInputs, unpackInputs, writeVerdict } from '../../src/gate/policy-message.ts'
import {
  GATE_REASONS,
  gateDenial,
  type GateReasonCode,
  type Verdict,
} from '../../src/gate/reasons.ts'
import { VerdictReader } from '../../src/gate/verdict-text.ts'

const verdict: Verdict = {
  effect: 'allow',
  reasons: [],
  matched: ['rule-1', 'rule-2'],
  obligations: ['redact'],
  reproducible: true,
}

const manyNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `name-${at + 100}`)

test('a batch', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 700, size: 'max' }), { maxLength: 20 }),
      (inputs) => {
        const block = packInputs(inputs)
        // All of its memory is copied with it: it shares none.
        expect(block.byteLength).toBe(block.buffer.byteLength)
        expect(unpackInputs(block).map((one) => [...one])).toEqual(inputs.map((one) => [...one]))
      },
    ),
  )
})

test('verdicts, and again', () => {
  const reader = new VerdictReader()
  const codes = Object.keys(GATE_REASONS) as GateReasonCode[]
  const pending: Verdict = { ...verdict, effect: 'require_approval', reasons: ['a', 'b'] }
  for (const one of [verdict, pending, ...codes.map(gateDenial), verdict]) {
    expect(reader.read(writeVerdict(one))).toEqual(one)
  }
})

test('more different ones than are remembered, and longer ones', () => {
  const reader = new VerdictReader()
  for (let at = 0; at < 1000; at++) {
    const matched = Array.from({ length: (at % 100) + 1 }, (_, n) => `rule-${1000 * at + 100 + n}`)
    const one = { ...verdict, matched: matched.toSorted() }
    expect(reader.read(writeVerdict(one))).toEqual(one)
  }
})

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['an object', verdict],
  ['no JSON', '['],
  ['no array', '{}'],
  ['empty', '[]'],
  ['an effect alone', '[["allow"],true]'],
  ['another effect', '[["permit",[],[],[]],true]'],
  ['no reproducible', '[["allow",[],[],[]]]'],
  ['reproducible 1', '[["allow",[],[],[]],1]'],
  ['one more', '[["allow",[],[],[]],true,true]'],
  ['five parts', '[["allow",[],[],[],[]],true]'],
  ['no names', '[["allow",[],[1],[]],true]'],
  ['a name with a space', '[["allow",[],["a b"],[]],true]'],
  ['names not sorted', '[["allow",[],["b","a"],[]],true]'],
  ['a name twice', '[["allow",[],["a","a"],[]],true]'],
  ['17 obligations', JSON.stringify([['allow', [], [], manyNames(17)], true])],
])('an answer that is none is a denial: %s', (_, text) => {
  expect(new VerdictReader().read(text)).toEqual(gateDenial('gate_worker'))
})
