/**
 * @module Goal: what was read lately is not read again, what was refused is, and neither many nor long texts are kept.
 */
import { expect, test } from 'vitest'
import { remembered } from '../../proofs/remembered.ts'

const counting = () => {
  const asked: string[] = []
  const read = remembered((text) => {
    asked.push(text)
    if (text.startsWith('bad')) throw new Error('refused')
    return { text }
  })
  return { asked, read }
}

test('a text is read once while it is asked for, whatever is read meanwhile', () => {
  const { asked, read } = counting()
  const first = read('a')
  for (let n = 0; n < 10_000; n++) {
    expect(read(`other ${n}`).text).toBe(`other ${n}`)
    expect(read('a')).toBe(first)
  }
  expect(asked.filter((text) => text === 'a')).toHaveLength(1)
})

test('a text that nobody asked for is forgotten', () => {
  const { asked, read } = counting()
  read('a')
  for (let n = 0; n < 10_000; n++) read(`other ${n}`)
  read('a')
  expect(asked.filter((text) => text === 'a')).toHaveLength(2)
})

test('what is refused is refused again, and long texts are read each time', () => {
  const { asked, read } = counting()
  for (let n = 0; n < 2; n++) expect(() => read('bad')).toThrow('refused')
  const long = 'x'.repeat(513)
  expect(read(long)).toEqual(read(long))
  const lone = `lone ${String.fromCharCode(0xd800)}`
  for (let n = 0; n < 2; n++) expect(read(lone).text).toBe(lone)
  expect(asked).toEqual(['bad', 'bad', long, long, lone, lone])
})

test('what is kept does not keep the text that it was cut from', () => {
  const read = remembered((text) => ({ text }))
  const cut = (n: number): string => {
    const long = `${'\u0411'.repeat(20_000)}a text of some length, number ${n}`
    return long.slice(20_000)
  }
  const before = process.memoryUsage().heapUsed
  for (let n = 0; n < 2000; n++) expect(read(cut(n)).text).toBe(cut(n))
  // 2,000 texts of 40 KB would be 80 MB.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(40_000_000)
})
