/**
 * @module The OpenAPI 3.1 description, made from the same tables that the routes, roles and errors are made from.
 */
import { type JsonObject, type JsonValue, MEDIA_JOSE, RANGE_PATH_MAX } from '@trustwarden/proofs'
import { ERRORS } from '../errors.ts'
import { BODY_MEDIA, REQUEST_BYTES_MAX, REQUEST_STATEMENTS_MAX, STATEMENT_MEDIA } from './body.ts'
import { type Role, ROLES, ROUTES, type Route, type RouteName } from './roles.ts'

const text = { type: 'string' } as const
const base64url = { type: 'string', pattern: '^[A-Za-z0-9_-]*$' } as const
const integer = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const

const emptied = {
  const: true,
  description: 'There if an unprotected header came with the statement: the log does not keep it',
} as const

const SCHEMAS = {
  Submitted: {
    type: 'object',
    required: ['statement'],
    additionalProperties: false,
    properties: {
      statement: {
        ...text,
        description: 'Compact JWS, or a COSE_Sign1 in base64url, in CBOR as bytes (FORMAT §3)',
        maxLength: 43_691,
      },
      media: { enum: STATEMENT_MEDIA, default: MEDIA_JOSE, description: 'The envelope' },
      disclosures: { type: 'array', maxItems: 16, items: base64url, description: 'FORMAT §4' },
      attachments: {
        type: 'array',
        maxItems: 1,
        items: base64url,
        description: 'Pinned: a policy',
      },
      csr: { ...base64url, description: 'PKCS#10 request, DER (agents only)' },
    },
  },
  Receipt: {
    type: 'object',
    required: ['format', 'index', 'entry', 'path', 'head'],
    properties: {
      format: { const: 'trustwarden-receipt/1' },
      index: integer,
      entry: base64url,
      path: { type: 'array', items: base64url },
      head: { ...text, description: 'C2SP signed note' },
    },
  },
  Result: {
    type: 'object',
    required: ['status'],
    properties: {
      status: { enum: ['registered', 'refused'] },
      index: integer,
      kind: text,
      outcome: { ...text, description: 'The result word of FORMAT §6' },
      repeated: { type: 'boolean' },
      unprotected_emptied: emptied,
      receipt: { oneOf: [{ $ref: '#/components/schemas/Receipt' }, integer] },
      answer: { type: 'object' },
      problem: { $ref: '#/components/schemas/Problem' },
    },
  },
  Problem: {
    type: 'object',
    required: ['type', 'title', 'status', 'code', 'detail'],
    properties: {
      type: text,
      title: text,
      status: { type: 'integer' },
      code: { enum: Object.keys(ERRORS) },
      detail: text,
      request_id: text,
    },
  },
} as const

const ANSWERS: Partial<Record<RouteName, JsonValue>> = {
  range: {
    type: 'object',
    required: ['start', 'end', 'size', 'path'],
    properties: {
      start: integer,
      end: integer,
      size: integer,
      path: {
        type: 'array',
        maxItems: RANGE_PATH_MAX,
        items: base64url,
        description: 'FORMAT §11.6',
      },
    },
  },
  statements: {
    type: 'object',
    required: ['results'],
    properties: {
      results: { type: 'array', items: { $ref: '#/components/schemas/Result' } },
      receipts: {
        type: 'object',
        description:
          'Where it was asked for: the receipts as one set (FORMAT §11.6), in which the receipt of a result is its place',
      },
    },
  },
  agents: {
    type: 'object',
    required: ['instance', 'index', 'certificate', 'ca', 'receipt', 'lineage'],
    properties: {
      instance: text,
      index: integer,
      certificate: base64url,
      ca: { type: 'array', items: base64url },
      receipt: { $ref: '#/components/schemas/Receipt' },
      lineage: { type: 'object' },
      repeated: { type: 'boolean' },
      unprotected_emptied: emptied,
    },
  },
  chain: {
    type: 'object',
    required: ['subject', 'length', 'newest'],
    properties: { subject: text, length: integer, newest: integer },
  },
  evaluation: {
    type: 'object',
    required: ['decision'],
    properties: {
      decision: { type: 'boolean' },
      context: {
        type: 'object',
        properties: {
          decision_id: text,
          effect: { enum: ['allow', 'deny', 'require_approval'] },
          reasons: { type: 'array', items: text },
          permit: { ...text, description: 'JWS, at most 30 s of life (FORMAT §10.6)' },
          obligations: { type: 'array', description: 'What the policy asks of whoever enforces' },
          repeated: { type: 'boolean' },
          index: integer,
          unprotected_emptied: emptied,
          receipt: { $ref: '#/components/schemas/Receipt' },
        },
      },
    },
  },
}

const REQUESTS: Partial<Record<RouteName, JsonValue>> = {
  statements: {
    oneOf: [
      {
        type: 'object',
        required: ['statements'],
        additionalProperties: false,
        properties: {
          statements: {
            type: 'array',
            minItems: 1,
            maxItems: REQUEST_STATEMENTS_MAX,
            items: { $ref: '#/components/schemas/Submitted' },
          },
          receipts: { enum: ['shared'], description: 'The receipts as one set (FORMAT §11.6)' },
        },
      },
      { $ref: '#/components/schemas/Submitted' },
    ],
  },
  agents: { $ref: '#/components/schemas/Submitted' },
  evaluation: { $ref: '#/components/schemas/Submitted' },
}

const QUERIES: Partial<Record<RouteName, readonly string[]>> = {
  inclusion: ['index', 'size'],
  consistency: ['from', 'to'],
  supplement: ['size'],
  erasures: ['from'],
  range: ['start', 'end', 'size'],
}

const MEDIA: Partial<Record<RouteName, string>> = {
  checkpoint: 'text/plain',
  hashTile: 'application/octet-stream',
  entryBundle: 'application/octet-stream',
  supplement: 'application/cbor',
  pinned: 'application/octet-stream',
  metrics: 'text/plain',
}

/** A body that is a statement with nothing beside it. */
const ALONE: JsonObject = {
  schema: { description: 'One statement as it is, with nothing beside it (FORMAT §3.1)' },
}

/** Path of a route with the log's prefix filled in. */
export function pathOf(route: RouteName, logName: string): string {
  return ROUTES[route].path.replace('{log}', `/logs/${logName}`)
}

function operation(name: RouteName, route: Route, path: string): JsonObject {
  const inPath = [...path.matchAll(/\{([a-z]+)\}/g)].map((match) => ({
    name: match[1] ?? '',
    in: 'path',
    required: true,
    schema: text,
  }))
  const inQuery = (QUERIES[name] ?? []).map((query) => ({
    name: query,
    in: 'query',
    required: true,
    schema: integer,
  }))
  const request = REQUESTS[name]
  const roles = ROLES.filter((role: Role) => route.access[role] !== '-')
  return {
    operationId: name,
    summary: route.summary,
    description: `Roles: ${roles.join(', ')}.`,
    parameters: [...inPath, ...inQuery],
    ...(request === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            description: `At most ${REQUEST_BYTES_MAX} bytes.`,
            content: Object.fromEntries([
              ...BODY_MEDIA.map((media) => [media, { schema: request }]),
              ...STATEMENT_MEDIA.map((media) => [media, ALONE]),
            ]),
          },
        }),
    security: route.by === 'read' && route.access.none === '-' ? [{ credential: [] }] : [],
    responses: {
      '200': {
        description: 'Done',
        content: Object.fromEntries(
          (MEDIA[name] === undefined ? BODY_MEDIA : [MEDIA[name]]).map((media) => [
            media,
            { schema: ANSWERS[name] ?? { type: 'object' } },
          ]),
        ),
      },
      default: {
        description: 'Refused (RFC 9457)',
        content: {
          'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
        },
      },
    },
  }
}

/** The description of this server. */
export function openapi(logName: string, version: string): JsonObject {
  const paths: Record<string, Record<string, JsonObject>> = {}
  for (const [name, route] of Object.entries(ROUTES) as [RouteName, Route][]) {
    const path = pathOf(name, logName)
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(name, route, path) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'TrustWarden',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: SCHEMAS,
      securitySchemes: {
        credential: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: '"TrustWarden <JWS over method, path, aud and iat>" (FORMAT §3.5)',
        },
      },
    },
  }
}
