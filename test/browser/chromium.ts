/**
 * @module A headless Chromium with a profile of its own, driven by nothing: it opens one page, and writes down every
 * request that its network stack makes.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a test says that skips because there is no browser. */
export const NO_CHROMIUM =
  'there is no Chromium (Debian: apt-get install chromium; elsewhere TRUSTWARDEN_CHROMIUM=<its binary>)'

const FLAGS = [
  '--headless',
  // A sandbox needs privileges that containers lack; the one page that is opened is ours.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const STOP_MS = 10_000

/** The binary that runs here: TRUSTWARDEN_CHROMIUM, or the first that answers. */
export function findChromium(): string | undefined {
  const named = process.env['TRUSTWARDEN_CHROMIUM']
  const candidates = named === undefined ? ['chromium', '/usr/bin/chromium'] : [named]
  return candidates.find((binary) => spawnSync(binary, ['--version']).status === 0)
}

/** A request that the browser made. */
export interface BrowserRequest {
  readonly url: string
  /** Origin that caused it; `not an origin` for what the browser does of its own. */
  readonly initiator: string
}

/** A browser that shows one page. */
export interface Browser {
  /** Rejects, with what the browser said, when it ends before `stop`. */
  readonly ended: Promise<never>
  /** Ends the browser, removes its profile and answers all that it asked the network for. */
  readonly stop: () => Promise<readonly BrowserRequest[]>
}

/** Opens `url` in a browser with an empty profile. */
export function openPage(binary: string, url: string): Browser {
  const home = mkdtempSync(join(tmpdir(), 'trustwarden-chromium-'))
  const netLog = join(home, 'net-log.json')
  const own = [`--user-data-dir=${join(home, 'profile')}`, `--log-net-log=${netLog}`]
  const child = spawn(binary, [...FLAGS, ...own, url], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, HOME: home },
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000)
  })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const ended = exited.then(() => Promise.reject(new Error(`chromium ended: ${said}`)))
  // Whoever awaits it sees the rejection; after `stop` nobody does.
  ended.catch(() => undefined)
  const stop = async (): Promise<readonly BrowserRequest[]> => {
    // It writes the log to its end on SIGTERM.
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exited
    clearTimeout(timer)
    try {
      return existsSync(netLog) ? parseNetLog(readFileSync(netLog, 'utf8')) : []
    } finally {
      // Its helper processes end a little later than the browser, and may still write.
      rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    }
  }
  return { ended, stop }
}

/** Chromium writes one event a line. A log that was cut off has its events all the same. */
function parseNetLog(text: string): readonly BrowserRequest[] {
  const type = /"URL_REQUEST_START_JOB":(\d+)/.exec(text)?.[1]
  const requests: BrowserRequest[] = []
  for (const line of text.split('\n')) {
    if (!line.includes(`"type":${type}}`)) continue
    const event: { readonly params?: Partial<BrowserRequest> } = JSON.parse(
      line.replace(/(,|\]|\]\}|\],)$/, ''),
    )
    const { url, initiator = '' } = event.params ?? {}
    if (url !== undefined) requests.push({ url, initiator })
  }
  return requests
}
