/**
 * @module How the demo tells its story: numbered steps, plain sentences, colours on a terminal only.
 */
import type { Io } from './command.ts'

/** Tells the story of the demo. */
export interface Teller {
  /** Begins a step; steps are numbered. */
  readonly step: (title: string) => void
  /** A sentence of the step. */
  readonly say: (text: string) => void
  /** A fact, under its name. */
  readonly fact: (name: string, value: string) => void
  /** What went as it should. */
  readonly good: (text: string) => void
  /** What was refused, denied or caught. */
  readonly stopped: (text: string) => void
}

const NAME_WIDTH = 14

/** Makes a teller that writes to `io.out`. */
export function createTeller(io: Io): Teller {
  const isColoured = io.isTerminal && process.stdout.isTTY === true
  const paint = (code: number, text: string) =>
    isColoured ? `\u001b[${code}m${text}\u001b[0m` : text
  let number = 0
  return {
    step: (title) => {
      number += 1
      io.out(`\n${paint(1, `${number}. ${title}`)}\n`)
    },
    say: (text) => io.out(`   ${text}\n`),
    fact: (name, value) => io.out(`   ${paint(2, name.padEnd(NAME_WIDTH))} ${value}\n`),
    good: (text) => io.out(`   ${paint(32, `✓ ${text}`)}\n`),
    stopped: (text) => io.out(`   ${paint(31, `✗ ${text}`)}\n`),
  }
}
