/**
 * @module What a power cut leaves of directories, by the trace of a process that worked on them.
 *
 * A file has, for certain, what it had when its last fsync or fdatasync *ended*; of what was written after it any
 * part. A name is there for certain once its directory was synced, or the file itself was (as the journalling file
 * systems of Linux give it); renames and removals after the last sync of the directory may be undone. So a cut takes
 * files back to their synced length (or to a random length from there on), overwritten bytes back to what they were, and
 * names back to the last sync of their directory, or leaves them.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Random } from './random.ts'
import type { Call } from './trace.ts'

/** LevelDB's text log and lock say nothing; copies of journals are not read again. */
const IGNORED = /(?:^|\/)(?:LOG|LOG\.old|LOCK|kept-[^/]*(?:\/.*)?)$/

interface Patch {
  readonly offset: number
  readonly bytes: Buffer
}

interface File {
  /** Bytes that it had before the process began; undefined if the process made it. */
  readonly before: Buffer | undefined
  length: number
  synced: number
  patches: readonly Patch[]
  syncedPatches: readonly Patch[]
}

/** How a cut treats what was not synced. */
export interface CutOptions {
  /** Names go back to the last sync of their directory; else they are as the process left them. */
  readonly undoNames: boolean
  /** Unsynced bytes: all gone, or gone from a random place on. */
  readonly random?: Random
  /** Syncs of these paths do not count, as if they had been left out. */
  readonly ignoreSyncOf?: RegExp
}

/** What a cut took away. */
export interface CutReport {
  readonly bytes: number
  readonly names: number
  /** Syncs that were seen of files and directories. */
  readonly syncs: number
}

const filesUnder = (root: string): readonly string[] =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => join(root, name))
    .filter((path) => lstatSync(path).isFile())

/** Directories before a process works on them, and what is left of them after a cut. */
export class PowerCutDisk {
  readonly #roots: readonly string[]
  readonly #initial = new Map<string, Buffer>()
  #names = new Map<string, File>()
  #durable = new Map<string, File>()
  #syncs = 0

  /** Reads the directories as they are: all of it counts as durable. */
  constructor(roots: readonly string[]) {
    this.#roots = roots
    for (const path of roots.flatMap(filesUnder)) {
      if (!IGNORED.test(path)) this.#initial.set(path, readFileSync(path))
    }
  }

  /** Cuts the power at the end of a trace: changes the directories to what is left. */
  cut(calls: readonly Call[], options: CutOptions): CutReport {
    this.#begin()
    // A sync covers what was written before it began, and counts from when it ended.
    for (const at of calls.keys()) this.#replay(calls, at, options)
    return this.#apply(options)
  }

  #begin(): void {
    const files = [...this.#initial].map(([path, before]): [string, File] => {
      const { length } = before
      return [path, { before, length, synced: length, patches: [], syncedPatches: [] }]
    })
    this.#names = new Map(files)
    this.#durable = new Map(files)
    this.#syncs = 0
  }

  #isOurs(path: string): boolean {
    const below = (root: string) => path === root || path.startsWith(`${root}/`)
    return this.#roots.some(below) && !IGNORED.test(path)
  }

  #replay(calls: readonly Call[], at: number, options: CutOptions): void {
    const call = calls[at]
    if (call === undefined || !Number.isFinite(call.end) || !(call.result >= 0)) return
    const named = call.strings.map((bytes) => bytes.toString())
    switch (call.name) {
      case 'openat':
        this.#open(named[0] ?? '', call.args)
        break
      case 'write':
        this.#append(call)
        break
      case 'pwrite64':
        this.#patch(call)
        break
      case 'fsync':
      case 'fdatasync':
        if (call.injected || options.ignoreSyncOf?.test(call.path)) break
        this.#sync(call, calls, at)
        break
      case 'rename':
      case 'renameat':
      case 'renameat2':
        this.#rename(named[0] ?? '', named[1] ?? '')
        break
      case 'unlink':
      case 'unlinkat':
        this.#names.delete(named[0] ?? '')
        break
      case 'ftruncate':
      case 'writev':
      case 'pwritev':
      case 'pwritev2':
        if (this.#isOurs(call.path)) throw new Error(`${call.name} of ${call.path} is not modelled`)
        break
      default:
    }
  }

  #open(path: string, args: string): void {
    if (!this.#isOurs(path) || !args.includes('O_CREAT')) return
    if (this.#names.has(path) && !args.includes('O_TRUNC')) return
    const file = { before: undefined, length: 0, synced: 0, patches: [], syncedPatches: [] }
    this.#names.set(path, file)
  }

  #append({ path, result }: Call): void {
    const file = this.#isOurs(path) ? this.#names.get(path) : undefined
    if (file !== undefined) file.length += result
  }

  #patch({ path, args, strings, result }: Call): void {
    const file = this.#isOurs(path) ? this.#names.get(path) : undefined
    if (file === undefined) return
    const [bytes] = strings
    const offset = Number(/(\d+)$/.exec(args)?.[1])
    if (bytes?.length !== result) throw new Error(`the trace does not hold what ${path} was given`)
    if (offset + result > file.length) throw new Error(`${path} grew by pwrite: not modelled`)
    file.patches = [...file.patches, { offset, bytes }]
  }

  #sync({ path, begin }: Call, calls: readonly Call[], at: number): void {
    if (!this.#isOurs(path)) return
    this.#syncs++
    const file = this.#names.get(path)
    if (file === undefined) {
      const inside = (name: string) => dirname(name) === path
      for (const name of [...this.#durable.keys()].filter(inside)) this.#durable.delete(name)
      for (const [name, one] of this.#names) if (inside(name)) this.#durable.set(name, one)
      return
    }
    // What ended after the sync had begun may not be covered by it.
    let late = 0
    let latePatches = 0
    for (let n = at - 1; (calls[n]?.end ?? 0) > begin; n--) {
      const one = calls[n]
      if (one?.path !== path) continue
      if (one.name === 'write') late += one.result
      if (one.name === 'pwrite64') latePatches++
    }
    file.synced = Math.max(file.synced, file.length - late)
    file.syncedPatches = file.patches.slice(0, file.patches.length - latePatches)
    this.#durable.set(path, file)
  }

  #rename(from: string, to: string): void {
    const file = this.#names.get(from)
    if (file === undefined) return
    this.#names.delete(from)
    this.#names.set(to, file)
  }

  #apply({ undoNames, random }: CutOptions): CutReport {
    const left = new Map<string, Buffer>()
    const linked = new Map([...this.#names].map(([path, file]) => [file, path]))
    let bytes = 0
    for (const [path, file] of undoNames ? this.#durable : this.#names) {
      const at = linked.get(file)
      const now = at !== undefined && existsSync(at) ? readFileSync(at) : file.before
      // Made and removed again since the last sync: what it held nobody knows, and its removal stands.
      if (now === undefined) continue
      const content = contentOf(file, now, random)
      bytes += now.length - content.length
      left.set(path, content)
    }
    const there = this.#roots.flatMap(filesUnder).filter((path) => this.#isOurs(path))
    let names = 0
    for (const path of there) {
      if (left.has(path)) continue
      rmSync(path)
      names++
    }
    for (const [path, content] of left) {
      if (!existsSync(path)) names++
      writeFileSync(path, content)
    }
    return { bytes, names, syncs: this.#syncs }
  }
}

function contentOf(file: File, now: Buffer, random: Random | undefined): Buffer {
  const { before, synced, patches, syncedPatches } = file
  if (patches.length > 0) {
    if (before === undefined) throw new Error('a new file was overwritten in place: not modelled')
    const content = Buffer.from(before)
    for (const { offset, bytes } of syncedPatches) bytes.copy(content, offset)
    // A patch that was under way is there up to a random place.
    const torn = patches[syncedPatches.length]
    if (random !== undefined && torn !== undefined)
      torn.bytes.copy(content, torn.offset, 0, random.below(torn.bytes.length + 1))
    return content
  }
  const lost = now.length - synced
  const kept = random === undefined || lost <= 0 ? synced : synced + random.below(lost + 1)
  return now.subarray(0, kept)
}
