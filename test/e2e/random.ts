/** @module Random numbers that a run can be repeated with: `TRUSTWARDEN_SEED` replays, and every run prints its seed. */
import { randomInt } from 'node:crypto'

/** A stream of random numbers. */
export interface Random {
  readonly seed: number
  /** An integer from 0 to `below` − 1. */
  readonly below: (below: number) => number
}

/** Draws a seed, or takes that of the environment, and prints it. */
export function seededRandom(what: string): Random {
  const given = process.env['TRUSTWARDEN_SEED']
  const seed = given === undefined ? randomInt(2 ** 32) : Number(given)
  process.stderr.write(`${what}: TRUSTWARDEN_SEED=${seed}\n`)
  // mulberry32
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return { seed, below: (below) => Math.floor(next() * below) }
}
