/**
 * Goal: what takes over two seconds says so at its beginning, with how long, and what does not is silent.
 * Method: progress under a clock that the test moves, on a terminal and elsewhere.
 */
import { expect, test } from 'vitest'
import { startProgress } from '../../src/cli/progress.ts'

function started(isTerminal: boolean) {
  let nowMs = 0
  const lines: string[] = []
  const io = { out: () => undefined, err: (text: string) => void lines.push(text), isTerminal }
  const progress = startProgress(io, 'restore', () => nowMs)
  return {
    lines,
    progress,
    at: (ms: number, done: number, total: number, what = 'entries') => {
      nowMs = ms
      progress.tell({ what, done, total })
    },
  }
}

test('a first line comes after half a second, with what is left, and then one every five', () => {
  const { lines, at } = started(false)
  at(0, 0, 1000)
  at(400, 40, 1000)
  expect(lines).toEqual([])
  at(500, 50, 1000)
  expect(lines).toEqual(['restore, entries: 5 % · 50/1000 · 100/s · 10 s left\n'])
  at(5_400, 540, 1000)
  expect(lines).toHaveLength(1)
  at(5_500, 550, 1000)
  expect(lines[1]).toBe('restore, entries: 55 % · 550/1000 · 100/s · 5 s left\n')
})

test('what ends within two seconds is silent, and each part begins anew', () => {
  const { lines, at } = started(false)
  at(0, 0, 1000)
  at(500, 300, 1000)
  at(1_000, 600, 1000)
  at(1_600, 1000, 1000)
  at(1_700, 0, 100, 'fold dedup')
  at(2_300, 3, 100, 'fold dedup')
  expect(lines).toEqual(['restore, fold dedup: 3 % · 3/100 · 5/s · 20 s left\n'])
})

test('what slows down is told when it turns out long', () => {
  const { lines, at } = started(false)
  at(0, 0, 1000)
  at(600, 500, 1000)
  expect(lines).toEqual([])
  at(1_200, 520, 1000)
  at(9_000, 550, 1000)
  expect(lines).toEqual(['restore, entries: 55 % · 550/1000 · 61/s · 8 s left\n'])
})

test('on a terminal it is a bar that goes away', () => {
  const { lines, progress, at } = started(true)
  at(0, 0, 10)
  at(100, 5, 10)
  expect(lines[0]).toMatch(/^\rrestore, entries █{15}░{15} 50 % · 5\/10 · 50\/s · 1 s left/)
  progress.end()
  expect(lines.at(-1)).toBe('\r\u001b[K')
})
