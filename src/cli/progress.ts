/**
 * @module Progress of what may take longer than two seconds: a bar on a terminal; elsewhere a first line as soon as it can
 * be told how long it takes, and then one every five seconds.
 */
import { systemClock } from '../clock.ts'
import type { CheckProgress } from '../store/start-checks.ts'
import type { Io } from './command.ts'

const BAR_WIDTH = 30
const REDRAW_MS = 100
const LINE_MS = 5_000
/** After how long a first estimate is made. */
const LOOK_MS = 500
/** What takes less than this is not worth a line. */
const LONG_MS = 2_000

/** Reports how far something is. */
export interface Progress {
  /** `done`, of `total` if that is known, of one part of the work; cheap enough to call for every item. */
  update(done: number, total?: number, part?: string): void
  /** The same, as checks, replays and copies tell it. */
  readonly tell: (progress: CheckProgress) => void
  /** Leaves the terminal clean. */
  end(): void
}

/** Starts a progress report. Nothing is drawn for what ends within its first interval. */
export function startProgress(
  io: Io,
  what: string,
  nowMs: () => number = () => systemClock.nowMs(),
): Progress {
  let startMs = nowMs()
  let shownMs = startMs
  let part = ''
  let told = false
  let drawn = false
  const update = (done: number, total?: number, named = ''): void => {
    const now = nowMs()
    if (named !== part) {
      // Each part has a pace of its own.
      part = named
      startMs = shownMs = now
      told = false
    }
    const isLook = !told && !io.isTerminal && total !== undefined
    const interval = io.isTerminal ? REDRAW_MS : isLook ? LOOK_MS : LINE_MS
    if (now - shownMs < interval) return
    shownMs = now
    const name = part === '' ? what : `${what}, ${part}`
    if (total === undefined) {
      io.err(io.isTerminal ? `\r${name}: ${done}\u001b[K` : `${name}: ${done}\n`)
      drawn = io.isTerminal
      return
    }
    const share = total === 0 ? 1 : Math.min(1, done / total)
    const leftMs = share > 0 ? ((now - startMs) / share) * (1 - share) : 0
    if (isLook && leftMs < LONG_MS) return
    told = true
    const left = `${Math.ceil(leftMs / 1000)} s left`
    const rate = Math.round((done * 1000) / Math.max(1, now - startMs))
    const numbers = `${Math.floor(share * 100)} % · ${done}/${total} · ${rate}/s · ${left}`
    const bar = '█'.repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, '░')
    io.err(io.isTerminal ? `\r${name} ${bar} ${numbers}\u001b[K` : `${name}: ${numbers}\n`)
    drawn = io.isTerminal
  }
  return {
    update,
    tell: (progress) => update(progress.done, progress.total, progress.what),
    end() {
      if (drawn) io.err('\r\u001b[K')
    },
  }
}
