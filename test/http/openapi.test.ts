/**
 * Goal: `/openapi.json` describes the routes that there are, and only those. Method: it is compared with the roles table
 * and with what fastify mounted; every reference is followed; real answers are held against its required members.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Route, ROUTES } from '../../src/http/roles.ts'
import { pathOf } from '../../src/http/openapi.ts'
import type { RouteName } from '../../src/http/roles.ts'
import { resultsOf, type TestClient } from '../support/client.ts'
import { type OpenedService, openTestService } from '../support/opened-service.ts'

interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly security: readonly unknown[]
  readonly requestBody?: unknown
  readonly responses: Readonly<Record<string, unknown>>
}
interface Schema {
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, unknown>>
  readonly additionalProperties?: boolean
}
interface Description {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

let opened: OpenedService
let description: Description
let agent: TestClient

beforeAll(async () => {
  opened = await openTestService()
  agent = (await opened.owner.issue('finance/bot/inst-00001')).agent
  const reply = await opened.owner.ask('GET', '/openapi.json')
  description = reply.json() as unknown as Description
})
afterAll(() => opened.close())

describe('openapi.json', () => {
  test('has one operation for each route, and no other', () => {
    const described = Object.entries(description.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(
        ([method, { operationId }]) => `${method} ${path} ${operationId}`,
      ),
    )
    const routes = (Object.entries(ROUTES) as [RouteName, Route][]).map(
      ([name, route]) => `${route.method.toLowerCase()} ${pathOf(name, 'main')} ${name}`,
    )
    expect(described.sort()).toEqual(routes.sort())
    expect(description.openapi).toBe('3.1.0')
  })

  test('describes paths that are mounted', async () => {
    const example: Readonly<Record<string, string>> = {
      '{index}': '0',
      '{id}': 'x',
      '{subject}': 'log',
      '{level}': '0',
      '{tile}': '000.p/1',
    }
    for (const [path, operations] of Object.entries(description.paths)) {
      const url = path.replace(/\{[a-z]+\}/g, (name) => example[name] ?? name)
      for (const method of Object.keys(operations)) {
        const reply = await agent.ask(method.toUpperCase(), url)
        const isProblem = reply.headers['content-type']?.includes('problem') === true
        expect([path, isProblem ? reply.json()['code'] : 'known']).not.toEqual([
          path,
          'route_unknown',
        ])
      }
    }
  })

  test('names every parameter of a path, and asks for a credential exactly where nobody else passes', () => {
    for (const [path, operations] of Object.entries(description.paths)) {
      for (const operation of Object.values(operations)) {
        const inPath = operation.parameters
          .filter((one) => one.in === 'path')
          .map((one) => one.name)
        expect(inPath).toEqual([...path.matchAll(/\{([a-z]+)\}/g)].map((match) => match[1]))
        const route: Route = ROUTES[operation.operationId as RouteName]
        const needsCredential = route.by === 'read' && route.access.none === '-'
        expect([path, operation.security.length > 0]).toEqual([path, needsCredential])
        expect([path, operation.requestBody !== undefined]).toEqual([path, route.method === 'POST'])
      }
    }
  })

  test('has no reference that leads nowhere', () => {
    const references = [...JSON.stringify(description).matchAll(/"\$ref":"([^"]+)"/g)].map(
      (one) => one[1],
    )
    expect(references.length).toBeGreaterThan(5)
    for (const reference of references) {
      const name = reference?.replace('#/components/schemas/', '') ?? ''
      expect(Object.keys(description.components.schemas)).toContain(name)
    }
  })

  test('its schemas hold for real answers', async () => {
    const { Receipt, Result, Problem } = description.components.schemas
    const holds = (schema: Schema | undefined, value: unknown): void => {
      const members = Object.keys(value as object)
      for (const name of schema?.required ?? ['no schema']) expect(members).toContain(name)
      const known = Object.keys(schema?.properties ?? {})
      for (const name of members) expect(known).toContain(name)
    }
    const results = resultsOf(await agent.submit([agent.makeAction(), { statement: 'x' }]))
    for (const result of results) holds(Result, result)
    holds(Receipt, results[0]?.['receipt'])
    holds(Problem, { ...(results[1]?.['problem'] as object) })
    holds(Problem, (await agent.ask('GET', '/nowhere')).json())
    const evaluation = description.paths['/access/v1/evaluation']?.['post']
    const allowed = (await agent.decide()).reply.json()
    const text = JSON.stringify(evaluation)
    for (const name of Object.keys(allowed['context'] as object))
      expect(text).toContain(`"${name}"`)
  })
})
