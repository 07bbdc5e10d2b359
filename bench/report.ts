/**
 * @module How a run is told: a table for people, JSON for comparing.
 */
import { availableParallelism, cpus, loadavg } from 'node:os'
import type { Figure, Spread } from './measure.ts'

/** On what it ran. */
export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly node: string
  /** Processes that wanted to run in the minute before (0 where the system does not tell): more than 0 disturbs. */
  readonly busy: number
}

/** One run. */
export interface Run {
  /** `YYYY-MM-DD`. */
  readonly date: string
  readonly quick: boolean
  readonly rounds: number
  readonly machine: Machine
  readonly figures: readonly Figure[]
}

/** Describes this machine. */
export function thisMachine(): Machine {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown'
  return { cores: availableParallelism(), cpu, node: process.version, busy: loadavg()[0] ?? 0 }
}

/** The machine in one line. */
export function machineLine({ cores, cpu, node, busy }: Machine): string {
  const others = `${busy.toFixed(1)} other processes running before`
  return `${cores} cores, ${cpu}, Node ${node}, ${others}`
}

/** Units of which there are no parts. */
const COUNTED: ReadonlySet<string> = new Set(['bytes', 'entries', 'files', 'processes', 'requests'])

function numberText(value: number, unit: string): string {
  const digits = unit === 'ms' ? 2 : value < 100 ? 1 : 0
  const isWhole = COUNTED.has(unit)
  return value.toLocaleString('en-US', {
    minimumFractionDigits: isWhole ? 0 : digits,
    maximumFractionDigits: isWhole ? 0 : digits,
  })
}

function spreadText({ low, high }: Spread, text: (value: number) => string): string {
  return `${text(low)}–${text(high)}`
}

function row({ group, name, unit, value, ratio }: Figure): readonly string[] {
  const text = (one: number): string => numberText(one, unit)
  const share = (one: number): string => one.toFixed(3)
  const single = value.rounds.length === 1
  return [
    `${group}: ${name}`,
    `${text(value.median)} ${unit}`,
    single ? '' : spreadText(value, text),
    ratio === undefined ? '' : share(ratio.median),
    ratio === undefined ? '' : spreadText(ratio, share),
    ratio?.of ?? '',
  ]
}

/** The run as a Markdown table: figure, median, rounds from–to, ratio to its ceiling, the ceiling. */
export function tableOf({ figures }: Run): string {
  const head = ['figure', 'median', 'rounds', 'ratio', 'rounds', 'of']
  const rows = [head, ...figures.map(row)]
  const widths = head.map((_, at) => Math.max(...rows.map((cells) => cells[at]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  const [first, ...rest] = rows.map(line)
  return [first, rule, ...rest].join('\n')
}
