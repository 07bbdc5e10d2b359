/**
 * Goal: no alert and no panel waits for a metric that nobody makes, and no metric is made that nobody looks at. Method:
 * the names in both files against what a running service shows, labels included, both ways; PromQL's own parser where
 * it is installed.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeAuthority, writePair } from '../support/tls-files.ts'
import { type OpenedService, openTestService } from '../support/opened-service.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'

const folder = fileURLToPath(new URL('../../src/http/prometheus/', import.meta.url))
const alerts = readFileSync(`${folder}alerts.yml`, 'utf8')
const dashboard = readFileSync(`${folder}dashboard.json`, 'utf8')

let opened: OpenedService
let root: string
/** Names of metrics, and the samples under them. */
let families: ReadonlySet<string>
let samples: string

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'trustwarden-prometheus-'))
  const files = { cert: join(root, 'cert.pem'), key: join(root, 'key.pem') }
  writePair(files, await (await makeAuthority()).issue())
  opened = await openTestService({ flags: { 'tls-cert': files.cert, 'tls-key': files.key } })
  const { agent } = await opened.owner.issue('finance/bot/inst-00001')
  await agent.submit([agent.makeAction(), { statement: 'none' }])
  const { bytes } = await opened.operator.read('/metrics')
  samples = bytes.toString()
  families = new Set([...samples.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name))
})
afterAll(async () => {
  await opened.close()
  rmSync(root, { recursive: true, force: true })
})

/** Every expression of both files. */
function expressions(): readonly string[] {
  const rules = alerts.split(/\n {6}- alert: /).slice(1)
  const ofRules = rules.map((rule) => {
    const [, block, line] = /\n {8}expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)/.exec(rule) ?? []
    return (block ?? line ?? '').replace(/\s+/g, ' ').trim()
  })
  const panels = (JSON.parse(dashboard) as { panels: { targets?: { expr: string }[] }[] }).panels
  const ofPanels = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  return [...ofRules, ...ofPanels]
}

const METRIC = /\b(?:trustwarden|process|nodejs)_[a-z0-9_]+/g
const familyOf = (name: string): string =>
  families.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, '')

describe('alerts and dashboard', () => {
  test('name only metrics that the service makes', () => {
    expect(expressions().length).toBeGreaterThan(40)
    expect(expressions().filter((text) => text === '')).toEqual([])
    const named = expressions().flatMap((text) => [...text.matchAll(METRIC)].map(([name]) => name))
    expect(named.filter((name) => !families.has(familyOf(name)))).toEqual([])
  })

  test('name only labels that their metric has', () => {
    const wrong: string[] = []
    for (const text of expressions()) {
      for (const [, name = '', matchers = ''] of text.matchAll(/\b([a-z_]+)\{([^}]*)\}/g)) {
        const sample = new RegExp(`^${name}(?:\\{([^}]*)\\})? `, 'm').exec(samples)
        for (const [, label = ''] of matchers.matchAll(/([a-z]+)=/g))
          if (label !== 'instance' && !(sample?.[1] ?? '').includes(`${label}="`))
            wrong.push(`${name}: ${label}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('leave out none that it makes of its own', () => {
    const all = expressions().join('\n')
    const own = [...families].filter((name) => name.startsWith('trustwarden_'))
    expect(own.length).toBeGreaterThan(20)
    expect(
      own.filter((name) => !new RegExp(`\\b${name}(?:_bucket|_count|_sum)?\\b`).test(all)),
    ).toEqual([])
  })

  test('say for each alert how bad it is, what it means and what to do', () => {
    const rules = alerts.split(/\n {6}- alert: /).slice(1)
    expect(rules.length).toBeGreaterThan(15)
    for (const rule of rules) {
      expect(rule).toMatch(/^TrustWarden[A-Za-z]+\n/)
      expect(rule).toMatch(/\n {8}labels: \{ severity: (?:critical|warning) \}\n/)
      expect(rule).toMatch(/\n {10}summary: .+\n {10}action: .+/)
    }
    const names = rules.map((rule) => rule.split('\n')[0])
    expect(new Set(names).size).toBe(names.length)
  })

  test('no name of a metric that the service shows is made twice or lacks a help', () => {
    for (const name of families) {
      expect(samples.split(`# TYPE ${name} `)).toHaveLength(2)
      expect(samples).toContain(`# HELP ${name} `)
    }
  })

  test('are rules that promtool takes', (context) => {
    const { status, error, stdout, stderr } = spawnSync('promtool', [
      'check',
      'rules',
      `${folder}alerts.yml`,
    ])
    if (error !== undefined)
      return context.skip('promtool is not installed: apt install prometheus')
    expect([status, stdout.toString() + stderr.toString()]).toEqual([
      0,
      expect.stringContaining('SUCCESS'),
    ])
  })
})
