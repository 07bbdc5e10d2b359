/**
 * Goal: the kit runs in a browser, as built, with no bundler, under a strict Content-Security-Policy; it answers every
 * vector there as the vector says, and asks nobody but the origin it was loaded from.
 * Method: headless Chromium opens a page of a server on 127.0.0.1 and posts what the kit answered. What a vector expects
 * is read here, not in the page. What was asked of the network is told by three who do not know of each other: the
 * page's resource timing, the server, and the browser's own network log. Afterwards the page tries to evaluate code and
 * to leave, since a policy that refuses nothing would prove nothing.
 */
import * as kit from '@trustwarden/proofs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Browser,
  type BrowserRequest,
  findChromium,
  NO_CHROMIUM,
  openPage,
} from './chromium.ts'
import { type PageReport, type PageServer, servePage } from './page-server.ts'

const chromium = findChromium()

describe.skipIf(chromium === undefined)(
  `the kit in a browser (skipped where ${NO_CHROMIUM})`,
  () => {
    let server: PageServer
    let report: PageReport
    let network: readonly BrowserRequest[]

    beforeAll(async () => {
      server = await servePage()
      const browser: Browser = openPage(chromium ?? '', `${server.origin}/`)
      try {
        report = await Promise.race([server.report, browser.ended])
      } finally {
        network = await browser.stop()
      }
    })
    afterAll(() => server.close())

    const isOwn = (url: string) => url.startsWith(`${server.origin}/`)

    test('is whole: a browser gets every name that Node gets', () => {
      expect(report.userAgent).toContain('Chrome/')
      expect(report.names).toEqual(Object.keys(kit).sort())
      expect(server.missing).toEqual([])
    })

    test('answers every vector as it says', () => {
      expect(server.expected.size).toBeGreaterThan(300)
      expect(report.answers).toEqual(Object.fromEntries(server.expected))
    })

    test('asks only the origin it was loaded from', () => {
      expect(report.lost).toBe(false)
      expect(report.violations).toEqual([])
      expect(report.resources.length).toBeGreaterThan(server.expected.size)
      expect(report.resources.filter((url) => !isOwn(url))).toEqual([])
      expect(server.requested.filter((url) => !isOwn(url))).toEqual([])
      const ofPage = network.filter(({ initiator }) => initiator === server.origin)
      expect(ofPage.map(({ url }) => url).filter((url) => !isOwn(url))).toEqual([])
      // Each of the three saw the same requests, so none of them looked away.
      const seen = new Set(ofPage.map(({ url }) => url))
      expect(report.resources.filter((url) => !seen.has(url))).toEqual([])
      expect([...seen].filter((url) => !server.requested.includes(url))).toEqual([])
    })

    test('runs under a policy that refuses evaluated code and every other origin', () => {
      expect(report.attempts).toEqual({ evaluate: 'EvalError', leave: 'TypeError' })
      expect(report.provoked).toContainEqual(expect.stringMatching(/^script-src.* eval$/))
      expect(report.provoked).toContainEqual(
        expect.stringMatching(/^connect-src http:\/\/localhost:/),
      )
    })
  },
)
