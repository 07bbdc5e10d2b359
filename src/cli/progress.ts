/**
 * @module Progress of what may take longer than two seconds: a bar on a terminal, a line every five seconds elsewhere.
 */
import { systemClock } from '../clock.ts'
import type { Io } from './command.ts'

const BAR_WIDTH = 30
const REDRAW_MS = 100
const LINE_MS = 5_000

/** Reports how far something is. */
export interface Progress {
  /** `done`, of `total` if that is known; cheap enough to call for every item. */
  update(done: number, total?: number): void
  /** Leaves the terminal clean. */
  end(): void
}

/** Starts a progress report. Nothing is drawn for what ends within its first interval. */
export function startProgress(
  io: Io,
  what: string,
  nowMs: () => number = () => systemClock.nowMs(),
): Progress {
  const startMs = nowMs()
  let shownMs = startMs
  let drawn = false
  return {
    update(done, total) {
      const now = nowMs()
      if (now - shownMs < (io.isTerminal ? REDRAW_MS : LINE_MS)) return
      shownMs = now
      if (total === undefined) {
        io.err(io.isTerminal ? `\r${what}: ${done}\u001b[K` : `${what}: ${done}\n`)
        drawn = io.isTerminal
        return
      }
      const part = total === 0 ? 1 : Math.min(1, done / total)
      const left = part > 0 ? Math.ceil((((now - startMs) / part) * (1 - part)) / 1000) : 0
      const numbers = `${Math.floor(part * 100)} % · ${done}/${total} · ${left} s left`
      const bar = '█'.repeat(Math.round(part * BAR_WIDTH)).padEnd(BAR_WIDTH, '░')
      io.err(io.isTerminal ? `\r${what} ${bar} ${numbers}\u001b[K` : `${what}: ${numbers}\n`)
      drawn = io.isTerminal
    },
    end() {
      if (drawn) io.err('\r\u001b[K')
    },
  }
}
