#!/usr/bin/env node
/**
 * @module `trustwarden`: finds the command, prints what it says, ends with its exit code. Each command is loaded only
 * when it is called, so that `verify` needs neither database nor policy engine.
 */
import { ProofError } from '@trustwarden/proofs'
import { ConfigError } from '../config.ts'
import { errnoOf } from '../errno.ts'
import { adviceFor, UNREADABLE } from './advice.ts'
import { type Command, type ExitCode, type Io, UsageError } from './command.ts'

type Load = () => Promise<Command>

const COMMANDS: Readonly<Record<string, Load>> = {
  keygen: async () => (await import('./keygen.ts')).keygen,
  init: async () => (await import('./init.ts')).init,
  config: async () => (await import('./config.ts')).config,
  serve: async () => (await import('./serve.ts')).serve,
  dev: async () => (await import('./serve.ts')).dev,
  demo: async () => (await import('./demo-command.ts')).demo,
  keys: async () => (await import('./keys.ts')).keys,
  trust: async () => (await import('./trust.ts')).trust,
  verify: async () => (await import('./verify.ts')).verify,
  explain: async () => (await import('./verify.ts')).explain,
  backup: async () => (await import('./backup.ts')).backup,
  mirror: async () => (await import('./backup.ts')).mirror,
  restore: async () => (await import('./restore.ts')).restore,
  recover: async () => (await import('./restore.ts')).recover,
  audit: async () => (await import('./audit.ts')).audit,
  rebuild: async () => (await import('./audit.ts')).rebuild,
  enroll: async () => (await import('./people.ts')).enroll,
  revoke: async () => (await import('./people.ts')).revoke,
  erase: async () => (await import('./people.ts')).erase,
  policy: async () => (await import('./people.ts')).policy,
  clock: async () => (await import('./people.ts')).clock,
  entry: async () => (await import('./people.ts')).entry,
  entries: async () => (await import('./entries.ts')).entries,
  evidence: async () => (await import('./people.ts')).evidence,
  range: async () => (await import('./people.ts')).range,
}

async function help(io: Io): Promise<void> {
  io.out('trustwarden COMMAND\n\n')
  for (const [name, load] of Object.entries(COMMANDS))
    io.out(`  ${name.padEnd(9)} ${(await load()).summary}\n`)
  io.out(
    '\n"trustwarden COMMAND --help" shows its flags. Exit codes: 0 done or holds, 1 failed or does not\n',
  )
  io.out('hold, 2 the call or a file cannot be read.\n')
}

/** What an error says to whoever called; one without a code is a defect and shows its stack. */
function explainError(error: unknown): string {
  if (error instanceof ConfigError) return `settings:\n  ${error.problems.join('\n  ')}`
  if (!(error instanceof Error)) return 'unknown error'
  const code = errnoOf(error)
  if (code !== undefined) {
    const advice = adviceFor(code)
    // Node's own messages begin with the code already.
    const text = error.message.startsWith(code) ? error.message : `${code}: ${error.message}`
    return `${text}${advice === undefined ? '' : `\n${advice}`}`
  }
  return error.name === 'DirectoryError' ? error.message : (error.stack ?? error.message)
}

/** 2 for what cannot be read, 1 for what was read and failed. */
function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof ConfigError || error instanceof ProofError) return 2
  return UNREADABLE.has(errnoOf(error) ?? '') ? 2 : 1
}

async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  const [name, ...args] = argv
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    await help(io)
    return name === undefined ? 2 : 0
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load === undefined) {
    io.err(`there is no command "${name}"; "trustwarden help" lists them\n`)
    return 2
  }
  const command = await load()
  if (args.includes('--help') || args.includes('-h')) {
    io.out(command.help ?? `${command.summary}\n\nusage: trustwarden ${command.usage}\n`)
    return 0
  }
  try {
    return await command.run(args, io)
  } catch (error) {
    if (error instanceof UsageError) {
      io.err(`${error.message}\nusage: trustwarden ${command.usage}\n`)
      return 2
    }
    io.err(`${explainError(error)}\n`)
    return exitCodeOf(error)
  }
}

// A reader that goes away (`trustwarden help | head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

process.exitCode = await main(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
})
