/**
 * @module What the system says of another process (Linux, proc(5)): processor time, memory, open files.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/** Processor time of each thread of a process so far, in µs, by its number. Empty where there is no proc(5). */
export function threadTimes(pid: number): ReadonlyMap<number, number> {
  const root = `/proc/${pid}/task`
  let threads: readonly string[] = []
  try {
    threads = readdirSync(root)
  } catch {
    return new Map()
  }
  const times = threads.flatMap((thread): readonly (readonly [number, number])[] => {
    const ns = readText(join(root, thread, 'schedstat'))?.split(' ')[0]
    return ns === undefined ? [] : [[Number(thread), Number(ns) / 1000]]
  })
  return new Map(times)
}

/** Linux counts processor time of whole processes in hundredths of a second (proc(5), USER_HZ). */
const TICK_US = 10_000
/** Leading fields of /proc/<pid>/stat up to the state are cut off; user and system time then are these. */
const [UTIME, STIME] = [11, 12]

/** Processor time of a process in µs, all threads it ever had, or undefined where there is no proc(5). */
export function processorUs(pid: number): number | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[UTIME]) + Number(fields[STIME])) * TICK_US
}

/** Memory of a process that is in RAM, in MiB: now, and at most so far. Zeros where there is no proc(5). */
export function memoryMib(pid: number): { readonly now: number; readonly most: number } {
  const status = readText(`/proc/${pid}/status`) ?? ''
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024
  return { now: field('VmRSS'), most: field('VmHWM') }
}

/** Open files of a process, sockets included. */
export function openFiles(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}
