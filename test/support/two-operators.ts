/** @module A log whose genesis names two operators, both of whom have to sign, made by the real CLI. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LogDirectory, runCli } from './service.ts'

/** A log and both operators' key files. */
export interface TwoOperators extends LogDirectory {
  readonly operators: readonly [string, string]
}

/** Makes people's keys and the log, in a new temporary directory; `more` are further flags of `init`. */
export function makeTwoOperatorLog(
  origin: string = 'acme.example/logs/agents',
  more: readonly string[] = [],
): TwoOperators {
  const root = mkdtempSync(join(tmpdir(), 'trustwarden-rotate-'))
  const data = join(root, 'log')
  const key = (name: string): string => {
    const path = join(root, `${name}.key`)
    runCli(['keygen', '--out', path, '--plain-key'])
    return path
  }
  const owner = key('owner')
  const operators = [key('one'), key('two')] as const
  const people = [
    '--owner',
    `${owner}.pub`,
    ...operators.flatMap((one) => ['--operator', `${one}.pub`]),
  ]
  const names = ['--origin', origin, '--trust-domain', 'acme.example', '--threshold', '2']
  runCli(['init', '--data', data, ...names, ...people, '--plain-keys', ...more])
  const anchor = readFileSync(join(data, 'trust-anchor'), 'utf8').trim()
  const paths = { root, data, head: `${data}.head`, keys: `${data}.keys`, owner, anchor }
  return { ...paths, operator: operators[0], operators }
}
