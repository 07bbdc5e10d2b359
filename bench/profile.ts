/**
 * @module Where the service's processor time goes: its threads by the system's account, and samples of each thread
 * that runs JavaScript, between two moments that the bench chooses.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadTimes } from './processor.ts'

/** A node of the call tree, as V8 writes it. */
export interface CallNode {
  readonly id: number
  readonly callFrame: {
    readonly functionName: string
    readonly url: string
    readonly lineNumber: number
  }
  readonly children?: readonly number[]
}

/** A `.cpuprofile`. */
export interface CpuProfile {
  readonly nodes: readonly CallNode[]
  readonly samples: readonly number[]
  /** In µs, each before the sample of its place. */
  readonly timeDeltas: readonly number[]
}

/** The samples of one thread. */
export interface ThreadProfile {
  /** As the kernel numbers it. */
  readonly thread: number
  /** The file that the thread runs. */
  readonly module: string
  readonly isMain: boolean
  readonly profile: CpuProfile
}

/** What was seen between start and stop. */
export interface Profiles {
  readonly threads: readonly ThreadProfile[]
  /** Processor time in µs of each of the process's threads, by its number. */
  readonly processorUs: ReadonlyMap<number, number>
}

/** Profiles a service that was started with `profile-hook` in it. */
export class Profiler {
  readonly #child: ChildProcess
  #before: ReadonlyMap<number, number> = new Map()

  constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Starts sampling. */
  async start(): Promise<void> {
    await this.#tell({ start: true })
    this.#before = threadTimes(this.#child.pid ?? 0)
  }

  /** Ends sampling. */
  async stop(): Promise<Profiles> {
    const after = threadTimes(this.#child.pid ?? 0)
    const processorUs = new Map(
      [...after].map(([thread, us]) => [thread, us - (this.#before.get(thread) ?? 0)]),
    )
    return { threads: await this.#tell({ stop: true }), processorUs }
  }

  #tell(call: object): Promise<readonly ThreadProfile[]> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the service ended while it was profiled'))
      this.#child.once('exit', ended)
      this.#child.once('message', (profiles) => {
        this.#child.removeListener('exit', ended)
        resolve(profiles as readonly ThreadProfile[])
      })
      this.#child.send(call)
    })
  }
}

/** Writes the samples as files that a browser's developer tools open. @returns their names */
export function keepProfiles(
  folder: string,
  name: string,
  { threads }: Profiles,
): readonly string[] {
  mkdirSync(folder, { recursive: true })
  return threads.map(({ module, thread, profile }) => {
    const file = join(folder, `${name}-${module.replace(/\.js$/, '')}-${thread}.cpuprofile`)
    writeFileSync(file, JSON.stringify(profile))
    return file
  })
}
