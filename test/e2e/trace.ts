/**
 * @module The service under strace: what it really asked of the kernel, in what order. Nothing in the process knows of it.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { RunningService } from '../support/service.ts'

/** What a test says that skips because there is no tracer. */
export const NO_STRACE =
  'strace is not installed, or may not trace here (Debian: apt install strace)'

/** Bytes of each buffer that the trace holds: a slot of the head record has 128. */
const BYTES_SHOWN = 160

const CALLS = [
  'openat,read,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync',
  'rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,io_uring_enter',
].join(',')

/** Whether processes can be traced here. */
export function canTrace(): boolean {
  const { status } = spawnSync('strace', ['-f', '-e', 'trace=none', 'true'], { stdio: 'ignore' })
  return status === 0
}

/** The wrapper for `startService`. `inject` makes calls lie: they do nothing and say that they did. */
export function straceTo(path: string, inject?: string): readonly string[] {
  const lying = inject === undefined ? [] : ['-e', `inject=${inject}:retval=0`]
  const shown = ['-f', '-ttt', '-y', '-xx', '-s', String(BYTES_SHOWN)]
  return ['strace', '--seccomp-bpf', ...shown, '-e', `trace=${CALLS}`, ...lying, '-o', path]
}

/** Kills the traced process, not the tracer, so that the trace is whole; resolves when both have ended. */
export async function killTraced(service: RunningService): Promise<void> {
  const { pid } = service.process
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  const ended = new Promise((resolve) => service.process.once('exit', resolve))
  process.kill(Number(children.split(' ')[0]), 'SIGKILL')
  await ended
}

/** One system call. */
export interface Call {
  readonly name: string
  /** Place in the trace where it began and where it ended; `end` is `Infinity` if the process ended first. */
  readonly begin: number
  readonly end: number
  /** What it returned; NaN if nothing. */
  readonly result: number
  /** Whether the tracer made it lie. */
  readonly injected: boolean
  /** Descriptor of the first argument, and what it stood for. */
  readonly fd: number
  readonly path: string
  /** Strings among the arguments, as bytes. */
  readonly strings: readonly Buffer[]
  /** All arguments as the trace has them. */
  readonly args: string
}

const LINE = /^(\d+)\s+[\d.]+ (.*)$/
const RESUMED = /^<\.\.\. (\w+) resumed>(.*)$/
const BEGUN = /^(\w+)\((.*)$/
const UNFINISHED = ' <unfinished ...>'
const RESULT = /\)\s+= (-?\d+|\?)([^"]*)$/

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')

function callOf(name: string, text: string, begin: number, end: number): Call {
  const result = RESULT.exec(text)
  const args = result === null ? text : text.slice(0, result.index)
  const [, fd = 'NaN', path = ''] = /^(\d+)<((?:\\x[0-9a-f]{2})*)>/.exec(args) ?? []
  const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => unhex(hex))
  return {
    name,
    begin,
    end: result === null ? Number.POSITIVE_INFINITY : end,
    result: Number(result?.[1] ?? Number.NaN),
    injected: (result?.[2] ?? '').includes('INJECTED'),
    fd: Number(fd),
    path: unhex(path).toString(),
    strings,
    args,
  }
}

/** Reads a trace: the calls in the order in which they ended, then those that never did. */
export function readTrace(path: string): readonly Call[] {
  const open = new Map<string, { readonly name: string; readonly text: string; begin: number }>()
  const calls: Call[] = []
  for (const [at, line] of readFileSync(path, 'latin1').split('\n').entries()) {
    const [, pid = '', rest = ''] = LINE.exec(line) ?? []
    const resumed = RESUMED.exec(rest)
    if (resumed !== null) {
      const [, name = '', tail = ''] = resumed
      const head = open.get(pid)
      open.delete(pid)
      if (head !== undefined) calls.push(callOf(name, head.text + tail, head.begin, at))
      continue
    }
    const begun = BEGUN.exec(rest)
    if (begun === null) continue
    const [, name = '', text = ''] = begun
    if (text.endsWith(UNFINISHED)) {
      open.set(pid, { name, text: text.slice(0, -UNFINISHED.length), begin: at })
    } else calls.push(callOf(name, text, at, at))
  }
  for (const { name, text, begin } of open.values())
    calls.push(callOf(name, text, begin, Number.POSITIVE_INFINITY))
  return calls
}
