/**
 * @module Loaded into a service that is profiled, by `--import`, in each of its threads that inherits the flag: samples
 * the thread between two orders, so that a profile holds the load alone and nothing of start, preparation or stop.
 */
import { readlinkSync } from 'node:fs'
import { Session } from 'node:inspector'
import { basename } from 'node:path'
import { BroadcastChannel, isMainThread } from 'node:worker_threads'
import type { CpuProfile, ThreadProfile } from './profile.ts'

type Call = { readonly start: true } | { readonly stop: true }
type Said = { readonly joined: number } | { readonly profile: ThreadProfile } | Call

const SAMPLE_US = 200
/** A worker in a long computation answers late, and one that ended never. */
const WAIT_MS = 5_000

const session = new Session()
session.connect()
// On a worker's own thread the link names that thread, as the kernel counts it.
const thread = Number(basename(readlinkSync('/proc/thread-self')))
const module = basename(process.argv[1] ?? '')

function start(): void {
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
  session.post('Profiler.start')
}

function stop(): ThreadProfile {
  let profile: CpuProfile | undefined
  // The session of a thread with itself answers before post returns.
  session.post('Profiler.stop', (error, answer) => {
    if (error !== null) throw error
    profile = answer.profile as CpuProfile
  })
  if (profile === undefined) throw new Error('the profiler did not answer')
  return { thread, module, isMain: isMainThread, profile }
}

const channel = new BroadcastChannel('trustwarden-bench-profile')

const saidIn = (event: unknown): Said => (event as { readonly data: Said }).data

function serveMain(): void {
  const workers = new Set<number>()
  let profiles: ThreadProfile[] = []
  channel.onmessage = (event) => {
    const said = saidIn(event)
    if ('joined' in said) workers.add(said.joined)
    else if ('profile' in said) profiles.push(said.profile)
  }
  const collect = async (): Promise<void> => {
    profiles = [stop()]
    channel.postMessage({ stop: true } satisfies Said)
    const until = performance.now() + WAIT_MS
    while (profiles.length <= workers.size && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 10))
    process.send?.(profiles)
  }
  process.on('message', (call: Call) => {
    if ('stop' in call) return void collect()
    channel.postMessage(call satisfies Said)
    start()
    return process.send?.([])
  })
  process.channel?.unref()
}

function serveWorker(): void {
  channel.onmessage = (event) => {
    const said = saidIn(event)
    if ('start' in said) start()
    else if ('stop' in said) channel.postMessage({ profile: stop() } satisfies Said)
  }
  channel.postMessage({ joined: thread } satisfies Said)
}

if (isMainThread) serveMain()
else serveWorker()
channel.unref()
