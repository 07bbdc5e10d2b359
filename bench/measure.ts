/**
 * @module What several rounds say together: the median, and how far the rounds lie apart.
 */

/** Values of all rounds of one figure. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
  /** In the order in which they were measured. */
  readonly rounds: readonly number[]
}

/** A figure as it is printed and recorded. */
export interface Figure {
  readonly group: string
  readonly name: string
  /** Such as `entries/s` or `ms`. */
  readonly unit: string
  readonly value: Spread
  /** The figure as a share of a primitive's own ceiling, each round against the ceiling measured in that round. */
  readonly ratio?: Spread & { readonly of: string }
}

/** The value below which a share of `values` lies: 0.5 is the median. @throws RangeError for no values */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = Math.max(0, Math.ceil(share * sorted.length) - 1)
  const value = sorted[at]
  if (value === undefined) throw new RangeError('no values')
  return value
}

/** The middle value, or the mean of the two in the middle. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]]
  if (low === undefined || high === undefined) throw new RangeError('no values')
  return (low + high) / 2
}

/** Takes the rounds of a figure together. */
export function spreadOf(rounds: readonly number[]): Spread {
  return {
    median: medianOf(rounds),
    low: Math.min(...rounds),
    high: Math.max(...rounds),
    rounds,
  }
}

/** Counts how often `once` runs in about `ms`, and returns the rate a second. It takes the number of the run. */
export function rateOf(ms: number, once: (turn: number) => void): number {
  const start = performance.now()
  let turn = 0
  let passed = 0
  do {
    for (let end = turn + 16; turn < end; turn++) once(turn)
    passed = performance.now() - start
  } while (passed < ms)
  return (turn * 1000) / passed
}

/** Gathers the figures of one part of the bench, round by round. */
export class Rounds {
  readonly #group: string
  readonly #values = new Map<string, { readonly unit: string; readonly rounds: number[] }>()
  readonly #ratios = new Map<string, { readonly of: string; readonly rounds: number[] }>()

  constructor(group: string) {
    this.#group = group
  }

  /** Adds one round's value, and the ceiling of that round if the figure has one. */
  add(
    name: string,
    unit: string,
    value: number,
    ceiling?: { readonly of: string; readonly rate: number },
  ): void {
    const found = this.#values.get(name) ?? { unit, rounds: [] }
    found.rounds.push(value)
    this.#values.set(name, found)
    if (ceiling === undefined) return
    const ratio = this.#ratios.get(name) ?? { of: ceiling.of, rounds: [] }
    ratio.rounds.push(value / ceiling.rate)
    this.#ratios.set(name, ratio)
  }

  /** The figures, in the order in which they came first. */
  figures(): readonly Figure[] {
    return [...this.#values].map(([name, { unit, rounds }]) => {
      const ratio = this.#ratios.get(name)
      const value = spreadOf(rounds)
      const base = { group: this.#group, name, unit, value }
      return ratio === undefined
        ? base
        : { ...base, ratio: { of: ratio.of, ...spreadOf(ratio.rounds) } }
    })
  }
}
