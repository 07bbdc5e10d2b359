/**
 * Goal: the documents say what the code does. Method: the tables of the README and FORMAT.md are compared with the
 * tables that the code is made of, both ways; every command and file that the README names exists.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { KINDS, PROOF_ERRORS } from '../proofs/index.ts'
import { SETTINGS } from '../src/config.ts'
import { ROLES, ROUTES } from '../src/http/roles.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8')

/** First cells of the rows of the table after `heading`, without their backquotes. */
function firstCells(text: string, heading: string): readonly string[] {
  const [, after = ''] = text.split(heading)
  const lines = after.split('\n')
  const start = lines.findIndex((line) => line.startsWith('|---'))
  const end = lines.findIndex((line, at) => at > start && !line.startsWith('|'))
  return lines
    .slice(start + 1, end)
    .map((line) => (line.split('|')[1] ?? '').trim().replaceAll('`', ''))
}

test('the README lists every setting with its variable and default', () => {
  const text = read('README.md')
  const flags = Object.values(SETTINGS).map((setting) => `--${setting.flag}`)
  expect(firstCells(text, '### Settings')).toEqual(flags)
  for (const setting of Object.values(SETTINGS)) {
    const byDefault = 'default' in setting ? `\`${setting.default}\`` : ''
    const row = `| \`--${setting.flag}\` | \`${setting.env}\` | ${byDefault} | ${setting.help} |`
    expect(text).toContain(row)
  }
})

test('FORMAT.md lists every error code of the kit with its meaning', () => {
  const text = read('proofs/FORMAT.md')
  expect(firstCells(text, '## 14. Error codes')).toEqual(Object.keys(PROOF_ERRORS))
  for (const [code, meaning] of Object.entries(PROOF_ERRORS))
    expect(text).toContain(`| \`${code}\` | ${meaning} |`)
})

test('FORMAT.md has one row for every kind that is written', () => {
  expect(firstCells(read('proofs/FORMAT.md'), '## 6. Kinds')).toEqual([...KINDS.keys()])
})

test('every path that the README names is there', () => {
  const paths = [...read('README.md').matchAll(/\]\(([a-z][^)#:]*)/g)].map(
    (match) => match[1] ?? '',
  )
  expect(paths.length).toBeGreaterThan(4)
  expect(paths.filter((path) => !existsSync(`${root}${path}`))).toEqual([])
})

test('every command that the README names is one', () => {
  const named = [...read('README.md').matchAll(/trustwarden ([a-z]+) (?=-|show|spiffe)/g)]
  const commands = new Set(named.map((match) => match[1] ?? ''))
  const source = read('src/cli/main.ts')
  expect(commands.size).toBeGreaterThan(3)
  for (const command of commands) expect(source).toMatch(new RegExp(`^  ${command}: async`, 'm'))
})

test('src/README.md lists every route with its method, its roles and what it answers', () => {
  const text = read('src/README.md')
  const [, after = ''] = text.split('## Routes\n')
  const table = after.split('\n').filter((line) => line.startsWith('| `'))
  const roles = (access: Readonly<Record<string, string>>): string => {
    if (access['none'] !== '-') return 'anybody'
    const allowed = ROLES.filter((role) => access[role] !== '-')
    return allowed.map((role) => (access[role] === 'own' ? `${role} (own)` : role)).join(', ')
  }
  const rows = Object.values(ROUTES).map(
    ({ method, path, by, access, summary }) =>
      `| \`${method} ${path}\` | ${by === 'statement' ? 'signer: ' : ''}${roles(access)} | ${summary} |`,
  )
  expect(table.slice(0, rows.length)).toEqual(rows)
})

test('the table of commands in the README is the whole of them', () => {
  const listed = firstCells(read('README.md'), 'Exit codes: 0').flatMap((cell) =>
    cell.split(', ').map((command) => command.split(' ')[0] ?? ''),
  )
  const source = read('src/cli/main.ts')
  const commands = [...source.matchAll(/^ {2}([a-z]+): async/gm)].map((match) => match[1])
  expect(new Set(listed)).toEqual(new Set(commands))
})
