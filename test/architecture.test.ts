/**
 * Goal: the tree is the architecture. Method: the table "Who may import whom" of src/README.md is read as data and held
 * against every import, type imports included; and some rules that no type checker knows are held against the sources.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { codeOf, importsOf as importsIn } from './support/source-code.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Source files under folders, as paths from the root. */
function filesOf(...folders: readonly string[]): readonly string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
      .filter((name) => !/(^|\/)(dist|node_modules)\//.test(name))
      .map((name) => `${folder}/${name}`),
  )
}
const SOURCES = filesOf('src', 'proofs')
const PROOFS = SOURCES.filter((file) => /^proofs\/[^/]+$/.test(file))
const TEXTS = new Map(SOURCES.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))

interface Row {
  /** Folders or modules, from the root, without extension. */
  readonly from: readonly string[]
  readonly everything: boolean
  readonly targets: readonly string[]
  readonly packages: readonly { readonly name: string; readonly only: string | undefined }[]
}

const quoted = (cell: string): readonly string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map((one) => one[1] ?? '')

function readTable(): readonly Row[] {
  const readme = readFileSync(join(ROOT, 'src/README.md'), 'utf8')
  const section =
    readme.split('\n## ').find((part) => part.startsWith('Who may import whom\n')) ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  return rows.map((line) => {
    const [from = '', to = '', packages = ''] = line.slice(2, -2).split(' | ')
    return {
      from: quoted(from),
      everything: to === 'everything',
      targets: quoted(to),
      packages: packages.split(';').flatMap((clause) => {
        const only = / in `([^`]+)` alone/.exec(clause)?.[1]
        return quoted(clause.replace(/ in `[^`]+` alone/, '')).map((name) => ({ name, only }))
      }),
    }
  })
}
const TABLE = readTable()

const importsOf = (file: string): readonly string[] => importsIn(TEXTS.get(file) ?? '')
const CODE = new Map([...TEXTS].map(([file, text]) => [file, codeOf(text)]))

const without = (file: string): string => file.replace(/\.ts$/, '')
const isIn = (module: string, place: string): boolean =>
  module === place || module.startsWith(`${place}/`)

/** The row of a file: that with the longest name. */
function rowOf(file: string): { readonly row: Row; readonly place: string } | undefined {
  let best: { readonly row: Row; readonly place: string } | undefined
  for (const row of TABLE)
    for (const place of row.from)
      if (isIn(without(file), place) && place.length > (best?.place.length ?? -1))
        best = { row, place }
  return best
}

function isPackage(specifier: string, name: string): boolean {
  if (name.endsWith('*')) return specifier.startsWith(name.slice(0, -1))
  return specifier === name || specifier.startsWith(`${name}/`)
}

/** What is wrong with one import, or undefined. */
function judge(file: string, specifier: string): string | undefined {
  const found = rowOf(file)
  if (found === undefined) return 'no row of the table'
  const { row, place } = found
  if (specifier.startsWith('.')) {
    const target = without(normalize(join(dirname(file), specifier)))
    const own = row.everything || isIn(target, place)
    return own || row.targets.some((one) => isIn(target, one)) ? undefined : target
  }
  if (specifier.startsWith('node:') && !row.packages.some(({ name }) => name === 'node:*'))
    return specifier
  const permitted = row.packages.some(
    ({ name, only }) =>
      isPackage(specifier, name) && (only === undefined || without(file) === only),
  )
  return permitted ? undefined : specifier
}

describe('who may import whom', () => {
  test('the table has a row for every file', () => {
    expect(TABLE.length).toBeGreaterThan(8)
    expect(SOURCES.filter((file) => rowOf(file) === undefined)).toEqual([])
  })

  test('every import of every file is one that the table permits', () => {
    const wrong = SOURCES.flatMap((file) =>
      importsOf(file).flatMap((specifier) => {
        const why = judge(file, specifier)
        return why === undefined ? [] : [`${file} imports ${why}`]
      }),
    )
    expect(wrong).toEqual([])
  })

  test('every row, target and package of the table is still used', () => {
    const used = new Set<string>()
    for (const file of SOURCES) {
      const found = rowOf(file)
      if (found === undefined) continue
      for (const specifier of importsOf(file)) {
        const target = specifier.startsWith('.')
          ? without(normalize(join(dirname(file), specifier)))
          : undefined
        for (const one of found.row.targets)
          if (target !== undefined && isIn(target, one)) used.add(`${found.row.from.join()} ${one}`)
        for (const { name } of found.row.packages)
          if (target === undefined && isPackage(specifier, name))
            used.add(`${found.row.from.join()} ${name}`)
      }
    }
    const listed = TABLE.flatMap((row) =>
      [...row.targets, ...row.packages.map(({ name }) => name)].map(
        (one) => `${row.from.join()} ${one}`,
      ),
    )
    expect(listed.filter((one) => !used.has(one))).toEqual([])
    for (const row of TABLE)
      for (const place of row.from)
        expect([place, SOURCES.some((file) => isIn(without(file), place))]).toEqual([place, true])
  })

  test('the rules of the table see what they are for', () => {
    expect(judge('src/merkle/grow.ts', '../store/store.ts')).toBe('src/store/store')
    expect(judge('src/http/app.ts', '../store/database.ts')).toBe('src/store/database')
    expect(judge('src/gate/decide.ts', '../identity/agents.ts')).toBe('src/identity/agents')
    expect(judge('src/ledger/log.ts', 'level')).toBe('level')
    expect(judge('src/identity/authority.ts', '@peculiar/x509')).toBe('@peculiar/x509')
    expect(judge('src/identity/x509.ts', '@peculiar/x509')).toBeUndefined()
    expect(judge('src/sdk/client.ts', '../crypto.ts')).toBe('src/crypto')
    expect(judge('proofs/entry.ts', 'node:crypto')).toBe('node:crypto')
  })
})

/** Files in which a pattern occurs outside comments and strings. */
function filesWith(pattern: RegExp, files: readonly string[] = SOURCES): readonly string[] {
  return files.filter((file) => pattern.test(CODE.get(file) ?? ''))
}

describe('rules of the sources', () => {
  test('the environment is read by src/config.ts alone', () => {
    // The demo starts the service as a process of its own, and hands on what is no setting.
    const handsOn = 'src/cli/demo-service.ts'
    expect(filesWith(/process\.env/).filter((file) => file !== handsOn)).toEqual(['src/config.ts'])
  })

  test('the clock of the service is read by src/clock.ts alone', () => {
    const service = SOURCES.filter(
      (file) => file.startsWith('src/') && !file.startsWith('src/sdk/'),
    )
    expect(filesWith(/Date\.now|new Date\(\)/, service)).toEqual(['src/clock.ts'])
    // The kit takes every time as an argument.
    expect(filesWith(/Date\.now|new Date\(\)/, PROOFS)).toEqual([])
  })

  test('the arithmetic of the tree has no bitwise operators: sizes are safe integers, beyond 2^31', () => {
    const files = SOURCES.filter(
      (file) => file.startsWith('src/merkle/') || file === 'proofs/merkle.ts',
    )
    expect(files.length).toBeGreaterThan(3)
    // `|` and `&` of types stand between names; what is left of them after a type is taken out computes.
    const found = files.flatMap((file) => {
      const types = (CODE.get(file) ?? '').replace(/\b[\w.[\]<>]+ \| (?:undefined|null)\b/g, 'T')
      const code = types.replace(/\b\w+<[\w\s,[\]]*>/g, 'T').replace(/\b\w+<[\w\s,[\]]*>/g, 'T')
      return [...code.matchAll(/.*(?:<<|>>|\^|~|(?<!&)&(?!&)|(?<!\|)\|(?!\|)).*/g)].map(
        ([line]) => `${file}: ${line.trim()}`,
      )
    })
    expect(found).toEqual([])
  })

  test('there is an index.ts only where a package begins', () => {
    const packages = ['proofs/index.ts', 'src/sdk/index.ts', 'proofs/cli/index.ts']
    const indexes = SOURCES.filter((file) => /(^|\/)index\.ts$/.test(file))
    expect(indexes.filter((file) => !packages.includes(file))).toEqual([])
    expect(indexes).toContain('proofs/index.ts')
  })

  test('every file opens with what it is, and none is named for helping', () => {
    const all = [...SOURCES]
    expect(
      all.filter((file) => !/^(#!.*\n)?\/\*\*\s*(?:\* )?@module/.test(TEXTS.get(file) ?? '')),
    ).toEqual([])
    expect(
      all.filter((file) => /(^|\/)(utils?|common|types|helpers?|misc)(\/|\.ts$)/.test(file)),
    ).toEqual([])
  })

  test('no default exports, no any, no enums', () => {
    expect(filesWith(/export default|: any\b|as any\b|\benum \w+ \{/)).toEqual([])
  })
})
