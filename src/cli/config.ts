/**
 * @module `trustwarden config`: the effective settings and where each comes from; `--check` tries what a start would,
 * without taking the log, and says what it does not try.
 */
import {
  type Config,
  ConfigError,
  type EffectiveSetting,
  effectiveSettings,
  readConfig,
  SETTINGS,
} from '../config.ts'
import { type Finding, NOT_TRIED, preflight } from '../preflight.ts'
import { adviceFor } from './advice.ts'
import { type Command, type ExitCode, type Io, readCall } from './command.ts'

const FLAGS = Object.values(SETTINGS).map((setting) => setting.flag)

const MARK = { ok: '✓', warning: '!', failed: '✗' } as const

function printSettings(settings: readonly EffectiveSetting[], io: Io): void {
  const width = Math.max(...settings.map(({ flag }) => flag.length))
  for (const { flag, value, source } of settings)
    io.out(`${flag.padEnd(width)}  ${value ?? '–'}${value === undefined ? '' : `  (${source})`}\n`)
}

function printFindings(findings: readonly Finding[], io: Io): void {
  io.out('\n')
  for (const { state, what, detail, advice } of findings) {
    io.out(`${MARK[state]} ${what}: ${detail}\n`)
    if (advice !== undefined) io.out(`    ${advice}\n`)
  }
}

/** A check that fails as a start would is followed by what a start would advise. */
function advised(finding: Finding): Finding {
  const advice = finding.advice ?? adviceFor(finding.code ?? '')
  return advice === undefined ? finding : { ...finding, advice }
}

const HOLDS = `
holds, as far as it was tried. Only opening the log tells, and a start may be refused for it:
${NOT_TRIED.map((what) => `  ${what}\n`).join('')}`

/** See the module. */
export const config: Command = {
  usage: `config [--check] [--json] ${FLAGS.map((flag) => `[--${flag} …]`).join(' ')}`,
  summary:
    'show the effective settings and their sources; --check tries what a start would without opening the log',
  run: async (args, io): Promise<ExitCode> => {
    const call = readCall(args, { values: FLAGS, switches: ['check', 'json'] })
    const flags = Object.fromEntries(FLAGS.map((flag) => [flag, call.optional(flag)]))
    const settings = effectiveSettings(flags)
    let effective: Config
    try {
      effective = readConfig(flags)
    } catch (error) {
      if (!call.has('json') || !(error instanceof ConfigError)) throw error
      io.out(`${JSON.stringify({ settings, holds: false, problems: error.problems }, null, 2)}\n`)
      return 2
    }
    const findings = call.has('check') ? (await preflight(effective)).map(advised) : undefined
    const failed = findings?.some(({ state }) => state === 'failed') ?? false
    if (call.has('json')) {
      const checked =
        findings === undefined ? {} : { holds: !failed, findings, notTried: NOT_TRIED }
      io.out(`${JSON.stringify({ settings, ...checked }, null, 2)}\n`)
      return failed ? 1 : 0
    }
    printSettings(settings, io)
    if (findings !== undefined) {
      printFindings(findings, io)
      const failures = findings.filter(({ state }) => state === 'failed').length
      io.out(failed ? `\na start would fail: ${failures} of ${findings.length}\n` : HOLDS)
    }
    return failed ? 1 : 0
  },
}
