/**
 * @module A profile as text: processor time by thread, by file of the service, and by function.
 *
 * A file of the service is charged with what it calls in the kit, in Node.js and in packages: a hash counts for the
 * file that wanted it. So the table is a budget: its rows add up to the thread. Samples are taken by the wall clock, and
 * count what the thread waited for a core too: only their shares are used, of the processor time that the system counted.
 */
import type { CallNode, CpuProfile, Profiles, ThreadProfile } from './profile.ts'

/** Folders of the service whose files do something for an entry, and not for whoever calls them. */
const STAGES = /\/dist\/((?:http|ledger|store|merkle|identity|gate|revocation|query|cli)\/.*)\.js$/
const FUNCTIONS = 40
const FUNCTIONS_OF_WORKERS = 8
const IDLE = '(idle)'

interface Self {
  readonly name: string
  readonly us: number
}

/** A file as people name it: from dist, or the package, or Node's own. */
function fileOf({ url }: CallNode['callFrame']): string {
  if (url === '') return 'V8'
  const inPackages = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(url)
  if (inPackages !== null) return `${inPackages[1]}/${inPackages[2]}`
  return /\/((?:proofs\/)?dist\/.*)$/.exec(url)?.[1]?.replace(/^dist\//, '') ?? url
}

/** The part that a file belongs to, for a sum. */
function moduleOf(file: string): string {
  if (file.startsWith('node:')) return 'node:*'
  const scoped = file.startsWith('@') ? /^@[^/]+\/[^/]+/.exec(file) : /^[^/]+/.exec(file)
  return scoped?.[0] ?? file
}

function selfTimes({ samples, timeDeltas }: CpuProfile): ReadonlyMap<number, number> {
  const times = new Map<number, number>()
  for (const [at, id] of samples.entries())
    times.set(id, (times.get(id) ?? 0) + (timeDeltas[at + 1] ?? timeDeltas[at] ?? 0))
  return times
}

function sumBy(profile: CpuProfile, nameOf: (node: CallNode) => string): readonly Self[] {
  const times = selfTimes(profile)
  const sums = new Map<string, number>()
  for (const node of profile.nodes) {
    const us = times.get(node.id) ?? 0
    if (us === 0 || node.callFrame.functionName === IDLE) continue
    const name = nameOf(node)
    sums.set(name, (sums.get(name) ?? 0) + us)
  }
  return [...sums].map(([name, us]) => ({ name, us })).toSorted((a, b) => b.us - a.us)
}

/** The nearest file of the service on the stack of each node, or what the stack is made of without one. */
function stagesOf(profile: CpuProfile): (node: CallNode) => string {
  const parents = new Map<number, CallNode>()
  for (const node of profile.nodes)
    for (const child of node.children ?? []) parents.set(child, node)
  return (node) => {
    for (let at: CallNode | undefined = node; at !== undefined; at = parents.get(at.id)) {
      const stage = STAGES.exec(at.callFrame.url)?.[1]
      if (stage !== undefined) return stage
    }
    for (let at: CallNode | undefined = node; at !== undefined; at = parents.get(at.id)) {
      if (at.callFrame.functionName === '(garbage collector)') return 'V8: garbage collector'
      if (at.callFrame.functionName === '(program)') return 'V8 and native code outside JavaScript'
      const module = moduleOf(fileOf(at.callFrame))
      if (module !== 'V8' && module !== 'node:*')
        return `called by no file of the service: ${module}`
    }
    return 'called by no file of the service: node:*'
  }
}

/** Shares `us` out as the samples lie. */
function sharedOut(sums: readonly Self[], us: number): readonly Self[] {
  const sampled = sums.reduce((sum, one) => sum + one.us, 0)
  return sums.map((one) => ({ name: one.name, us: (one.us * us) / sampled }))
}

function rows(sums: readonly Self[], entries: number, most: number): readonly string[] {
  return sums
    .slice(0, most)
    .map(({ name, us }) => `${(us / entries).toFixed(2).padStart(9)}  ${name}`)
}

function functionsOf({ profile }: ThreadProfile): readonly Self[] {
  return sumBy(profile, ({ callFrame }) => {
    const file = fileOf(callFrame)
    const name = callFrame.functionName === '' ? '(anonymous)' : callFrame.functionName
    return file === 'V8' ? name : `${name}  ${file}:${callFrame.lineNumber + 1}`
  })
}

function modulesOf({ profile }: ThreadProfile): readonly Self[] {
  return sumBy(profile, ({ callFrame }) => moduleOf(fileOf(callFrame)))
}

function threadRows({ threads, processorUs }: Profiles, entries: number): readonly string[] {
  let rest = [...processorUs.values()].reduce((sum, us) => sum + us, 0)
  const all = rest
  const sums = new Map<string, { us: number; threads: number }>()
  for (const { thread, module, isMain } of threads) {
    const us = processorUs.get(thread) ?? 0
    const name = isMain ? 'main thread' : module
    const sum = sums.get(name) ?? { us: 0, threads: 0 }
    sums.set(name, { us: sum.us + us, threads: sum.threads + 1 })
    rest -= us
  }
  return [
    ...rows(
      [...sums].map(([name, sum]) => ({ name: `${name} (${sum.threads})`, us: sum.us })),
      entries,
      Infinity,
    ),
    ...rows(
      [{ name: 'threads that run no sampled JavaScript: LevelDB, libuv, V8, policy', us: rest }],
      entries,
      1,
    ),
    ...rows([{ name: 'all', us: all }], entries, 1),
  ]
}

/** Tells the profiles of a load that made so many entries. All figures are µs for one entry. */
export function profileText(title: string, profiles: Profiles, entries: number): string {
  const main = profiles.threads.find(({ isMain }) => isMain)
  if (main === undefined) throw new Error('the main thread has no profile')
  const workers = profiles.threads.filter(({ isMain }) => !isMain)
  const timeOf = ({ thread }: ThreadProfile): number => profiles.processorUs.get(thread) ?? 0
  const mainRows = (sums: readonly Self[], most = Infinity): readonly string[] =>
    rows(sharedOut(sums, timeOf(main)), entries, most)
  return [
    `## ${title}: µs an entry, ${entries} entries`,
    'threads, by the system’s account:',
    ...threadRows(profiles, entries),
    'main thread by file of the service, with what it calls elsewhere:',
    ...mainRows(sumBy(main.profile, stagesOf(main.profile))),
    'main thread by module, itself alone:',
    ...mainRows(modulesOf(main)),
    'main thread by function, itself alone:',
    ...mainRows(functionsOf(main), FUNCTIONS),
    ...workers
      .slice(0, 1)
      .flatMap((worker) => [
        `one ${worker.module} by function, itself alone:`,
        ...rows(sharedOut(functionsOf(worker), timeOf(worker)), entries, FUNCTIONS_OF_WORKERS),
      ]),
  ].join('\n')
}
