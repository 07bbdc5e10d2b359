/**
 * @module What every command of `trustwarden` has in common: how it is described, how it reads flags, what it prints
 * to, and what its exit codes mean.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util'

/** Exit codes. 0: done, or holds; 1: failed, or does not hold; 2: the call or a file cannot be read. */
export type ExitCode = 0 | 1 | 2

/** Where a command prints: `out` is its result, `err` is for people. */
export interface Io {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Whether `err` is a terminal: progress is drawn there, and questions are asked. */
  readonly isTerminal: boolean
}

/** One command. */
export interface Command {
  readonly usage: string
  readonly summary: string
  /** The whole text of `--help`, where it is more than summary and usage. */
  readonly help?: string
  readonly run: (args: readonly string[], io: Io) => Promise<ExitCode>
}

/** The call is wrong: printed with the usage, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Options = NonNullable<ParseArgsConfig['options']>

/** The flags and operands of a call. */
export interface Call {
  /** @throws UsageError if the flag is missing */
  required(flag: string): string
  optional(flag: string): string | undefined
  all(flag: string): readonly string[]
  has(flag: string): boolean
  readonly operands: readonly string[]
}

/**
 * Reads a call. Flags take a value unless listed in `switches`; those in `repeated` may come more than once, and of no other
 * would anybody know which of two counts.
 *
 * @throws UsageError
 */
export function readCall(
  args: readonly string[],
  flags: {
    readonly values?: readonly string[]
    readonly repeated?: readonly string[]
    readonly switches?: readonly string[]
    readonly operands?: readonly [min: number, max: number]
  },
): Call {
  const options: Options = {}
  for (const name of flags.values ?? []) options[name] = { type: 'string' }
  for (const name of flags.repeated ?? []) options[name] = { type: 'string', multiple: true }
  for (const name of flags.switches ?? []) options[name] = { type: 'boolean' }
  const { values, positionals } = parse(args, options)
  const [min, max] = flags.operands ?? [0, 0]
  if (positionals.length < min || positionals.length > max)
    throw new UsageError(
      max === 0 ? `unexpected "${positionals.join(' ')}"` : `${min} to ${max} operands are needed`,
    )
  const optional = (flag: string) => {
    const value = values[flag]
    return typeof value === 'string' ? value : undefined
  }
  return {
    optional,
    required: (flag) => {
      const value = optional(flag)
      if (value === undefined) throw new UsageError(`--${flag} is missing`)
      return value
    },
    all: (flag) => {
      const value = values[flag]
      return Array.isArray(value) ? value.map(String) : []
    },
    has: (flag) => values[flag] === true,
    operands: positionals,
  }
}

/** The directories of a log as flags, for a command that a hint names: those that lie beside the data are found there. */
export function placeFlags(paths: {
  readonly data: string
  readonly head?: string
  readonly keys?: string
}): string {
  const { data, head = `${data}.head`, keys = `${data}.keys` } = paths
  const flags = [`--data ${data}`]
  if (head !== `${data}.head`) flags.push(`--head ${head}`)
  if (keys !== `${data}.keys`) flags.push(`--keys ${keys}`)
  return flags.join(' ')
}

function parse(args: readonly string[], options: Options) {
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, tokens: true })
    const given = new Set<string>()
    for (const token of parsed.tokens) {
      if (token.kind !== 'option' || options[token.name]?.multiple === true) continue
      if (given.has(token.name)) throw new Error(`--${token.name} is given twice`)
      given.add(token.name)
    }
    return parsed
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'the flags cannot be read')
  }
}
