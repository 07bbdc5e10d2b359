/**
 * @module `trustwarden verify` and `trustwarden explain`: the proof kit's own commands under the service's name.
 */
import { readFileSync } from 'node:fs'
import {
  type CliIo,
  EXIT_FAILS,
  EXIT_HOLDS,
  runExplain,
  runVerify,
  USAGE,
} from '@trustwarden/proofs/cli'
import type { Command, ExitCode, Io } from './command.ts'

type Run = (args: readonly string[], io: CliIo) => number

function command(run: Run, usage: string, summary: string): Command {
  return {
    usage,
    summary,
    help: USAGE,
    run: (args, io) => Promise.resolve(codeOf(run(args, cliIo(io)))),
  }
}

function cliIo(io: Io): CliIo {
  return { ...io, readFile: (path) => new Uint8Array(readFileSync(path)) }
}

function codeOf(code: number): ExitCode {
  return code === EXIT_HOLDS || code === EXIT_FAILS ? code : 2
}

/** See the module. */
export const verify: Command = command(
  runVerify,
  'verify FILE --trust TRUST [--json]',
  'check an evidence bundle, receipt, lineage or .tlog-proof offline',
)

/** See the module. */
export const explain: Command = command(
  runExplain,
  'explain FILE --trust TRUST',
  'say what an evidence bundle shows: which agent, who authorized it, how it is stopped',
)
