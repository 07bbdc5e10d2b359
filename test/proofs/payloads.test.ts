/**
 * Goal: a payload of each type is read with exactly the members that FORMAT §6, §9.1, §10.1 and §10.7 list, and what it
 * says twice agrees. Method: one right statement of each type; every member taken away, given another type, and one
 * added; each rule broken once, by name; digests against bytes written by hand; arbitrary members.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openActionEvent, parseActionEvent } from '../../proofs/action.ts'
import {
  parseErasure,
  parseMemberEnroll,
  parseOperatorClock,
  parseOperatorEnroll,
  parseOwnerEnroll,
  parsePolicyActivate,
  parseRevoke,
} from '../../proofs/administration.ts'
import {
  concatBytes,
  fromBase64url,
  fromHex,
  toBase64url,
  toHex,
  utf8Encode,
} from '../../proofs/bytes.ts'
import { encodeCbor } from '../../proofs/cbor.ts'
import {
  actionDigest,
  decodeDecisionPrepared,
  type DecisionPrepared,
  encodeDecisionPrepared,
  findSaltDisclosure,
  inputCommitment,
  isDecisionFresh,
  openDecisionRequest,
  parseDecisionRequest,
  policyInput,
} from '../../proofs/decision.ts'
import { parsePolicyPack } from '../../proofs/policy-pack.ts'
import { ed25519Spki } from '../../proofs/key.ts'
import { parseKeyRotate, rotationInput } from '../../proofs/key-rotation.ts'
import { vectorKey } from '../../proofs/vectors/generate-keys.ts'
import { parseDelegation } from '../../proofs/delegation.ts'
import { parseGenesis } from '../../proofs/genesis.ts'
import { noblePrimitives as p } from '../../proofs/noble.ts'
import { formatVkey, type NoteKey } from '../../proofs/note.ts'
import type { Statement } from '../../proofs/statement.ts'
import { logSigner } from '../support/note-signer.ts'
import {
  authority,
  CA,
  ACTION,
  ACTION_DIGEST,
  ACTION_EVENT,
  child,
  CHILD_RECORD,
  DECISION,
  DISCLOSURES,
  ERASURE,
  fresh,
  GENESIS,
  KEY_ROTATE,
  log,
  MEMBER_ENROLL,
  operator,
  OPERATOR,
  OPERATOR_CLOCK,
  OPERATOR_ENROLL,
  owner,
  OWNER,
  OWNER_ENROLL,
  parent,
  permitKey,
  POLICY_ACTIVATE,
  RESOURCE,
  REVOKE,
  ROOT_RECORD,
  SALT,
  type Sample,
  sampled,
  service,
  SERVICE,
  time,
} from '../support/payloads.ts'
import { codeOf } from '../support/proof-code.ts'
import {
  CHILD,
  CHILD_NAME,
  commitmentsTo,
  digestOf,
  disclosure,
  type JsonRecord,
  ORIGIN,
  PARENT,
  type Signer,
} from '../support/statement-signer.ts'

type Parse = (statement: Statement) => unknown
type Broken = readonly [string, JsonRecord, JsonRecord, string, Signer?]

const TYPES: readonly (readonly [string, Sample, Parse])[] = [
  ['genesis', GENESIS, (one) => parseGenesis(p, one)],
  ['operator.enroll', OPERATOR_ENROLL, (one) => parseOperatorEnroll(p, one)],
  ['owner.enroll', OWNER_ENROLL, (one) => parseOwnerEnroll(p, one)],
  ['member.enroll', MEMBER_ENROLL, (one) => parseMemberEnroll(p, one)],
  ['policy.activate', POLICY_ACTIVATE, parsePolicyActivate],
  ['key.rotate', KEY_ROTATE, (one) => parseKeyRotate(p, one)],
  ['operator.clock', OPERATOR_CLOCK, parseOperatorClock],
  ['agent.revoke', REVOKE, parseRevoke],
  ['erasure', ERASURE, parseErasure],
  ['agent.issue, depth 0', ROOT_RECORD, parseDelegation],
  ['agent.issue, depth 1', CHILD_RECORD, parseDelegation],
  ['decision', DECISION, parseDecisionRequest],
  ['action', ACTION_EVENT, parseActionEvent],
]

const spki = (by: Signer): string => toBase64url(by.spki)

describe.each(TYPES)('%s', (_, sample, parse) => {
  test('is read', () => expect(codeOf(() => parse(sampled(sample)))).toBe('accepted'))

  test.each(Object.keys(sample.payload))('needs %s', (name) => {
    expect(codeOf(() => parse(sampled(sample, { [name]: undefined })))).toBe('claim_missing')
  })

  test.each(Object.keys(sample.payload))('refuses another type of %s', (name) => {
    // An object with a member that nothing lists is refused wherever it stands.
    const other = { [name]: { unlisted: true } }
    expect(codeOf(() => parse(sampled(sample, other)))).toMatch(/^claim_(invalid|missing)$/)
  })

  test('refuses a member that is not listed', () => {
    expect(codeOf(() => parse(sampled(sample, { unlisted: 1 })))).toBe('malformed')
  })

  test('refuses another type of statement', () => {
    const header = { typ: 'vnd.trustwarden.other' }
    expect(codeOf(() => parse(sampled(sample, {}, header)))).toBe('type_mismatch')
  })

  test('refuses a signer of a role that may not', () => {
    const header = { iss: `reader:${fresh.kid}`, kid: fresh.kid, alg: fresh.alg, seq: undefined }
    expect(codeOf(() => parse(sampled(sample, {}, header, fresh)))).toBe('claim_invalid')
  })

  test('refuses another sub', () => {
    const header = { sub: 'something' }
    expect(codeOf(() => parse(sampled(sample, {}, header)))).toBe('claim_invalid')
  })

  test('refuses arbitrary members with a code', () => {
    const name = fc.constantFrom(...Object.keys(sample.payload))
    fc.assert(
      fc.property(name, fc.jsonValue(), (member, value) => {
        expect(typeof codeOf(() => parse(sampled(sample, { [member]: value })))).toBe('string')
      }),
    )
  })
})

function refuses(sample: Sample, parse: Parse, cases: readonly Broken[]): void {
  const all = cases.map(([name, ...rest]) => ({ name, rest }))
  test.each(all)('$name', ({ rest: [payload, header, code, by] }) => {
    expect(codeOf(() => parse(sampled(sample, payload, header, by)))).toBe(code)
  })
}

describe('key.rotate', () => {
  const other = logSigner(ORIGIN, 22)
  refuses(KEY_ROTATE, (one) => parseKeyRotate(p, one), [
    ['another key of the service', { key: 'heartbeat' }, {}, 'claim_invalid'],
    ['another new key', { new: formatVkey(other.key) }, {}, 'signature_invalid'],
    ['another old key', { old: formatVkey(other.key) }, {}, 'signature_invalid'],
    ['another size', { until: 5001 }, {}, 'signature_invalid'],
    ['signatures swapped', swapped(), {}, 'signature_invalid'],
    [
      'a signature of 63 bytes',
      { old_signature: toBase64url(new Uint8Array(63)) },
      {},
      'claim_invalid',
    ],
    ['for another log', {}, { aud: 'other.example/logs/main' }, 'origin_mismatch'],
    [
      'a cosigner',
      { new: formatVkey({ ...other.key, ...time.key, name: ORIGIN }) },
      {},
      'key_invalid',
    ],
  ])

  function swapped(): JsonRecord {
    const { old_signature: a, new_signature: b } = KEY_ROTATE.payload
    return { old_signature: b, new_signature: a }
  }

  test('what both keys sign is no text: no signature of a head is one of a rotation', () => {
    const { old, new: next, until } = parseKeyRotate(p, sampled(KEY_ROTATE))
    const input = rotationInput({ old, new: next, until })
    // RFC 8949: an array of 5; then a text of 24 bytes.
    expect([...input.subarray(0, 3)]).toEqual([0x85, 0x78, 24])
    expect(toHex(input)).toContain(toHex(utf8Encode('trustwarden/key.rotate/1')))
    expect(() => new TextDecoder('utf-8', { fatal: true }).decode(input)).toThrow(TypeError)
  })
})

describe('genesis', () => {
  const keys = GENESIS.payload['keys'] as JsonRecord
  const uriName = `8614${toHex(utf8Encode('spiffe://example.com'))}`
  const elsewhere = 'other.example/logs/main'
  const foreign = formatVkey(logSigner(elsewhere, 1).key)
  const predecessor = { origin: elsewhere, size: 5, root: digestOf(7) }
  const pem = toBase64url
  const renewed = authority('ca', { notAfterMs: 1_900_000_000_000 })
  const withId = (uri: string) => authority('ca', { uri })
  // A subjectAltName with a DNS name only: the tag of the name is the one byte that differs.
  const nameless = fromHex(toHex(CA).replace(uriName, uriName.replace(/^86/, '82')))
  const ownedBy = ({ spki: key }: { readonly spki: Uint8Array }) => ({
    key: toBase64url(key),
    patterns: ['a'],
  })
  const ofNote = ({ publicKey }: NoteKey) => toBase64url(ed25519Spki(publicKey))
  refuses(GENESIS, (one) => parseGenesis(p, one), [
    ['another format', { format: 2 }, {}, 'version_unknown'],
    ['other rules', { rules: 2 }, {}, 'version_unknown'],
    ['addressed to another log', {}, { aud: elsewhere }, 'origin_mismatch'],
    ['another origin', { origin: elsewhere }, {}, 'origin_mismatch'],
    ['trust domain with a path', { trust_domain: 'a/b' }, {}, 'spiffe_id_invalid'],
    [
      'not signed by its service key',
      { keys: { ...keys, service: spki(fresh) } },
      {},
      'key_mismatch',
    ],
    ['log key of another log', { keys: { ...keys, log: foreign } }, {}, 'origin_mismatch'],
    [
      'log key a cosigner',
      { keys: { ...keys, log: formatVkey({ ...time.key }) } },
      {},
      'origin_mismatch',
    ],
    [
      'time key a log key',
      { keys: { ...keys, time: formatVkey(log.key) } },
      {},
      'algorithm_unsupported',
    ],
    ['vkey malformed', { keys: { ...keys, log: 'x' } }, {}, 'malformed'],
    ['permit key P-256', { keys: { ...keys, permit: spki(fresh) } }, {}, 'algorithm_unsupported'],
    ['a key that is none', { keys: { ...keys, heartbeat: 'AQID' } }, {}, 'key_invalid'],
    ['no ca', { ca: [] }, {}, 'claim_invalid'],
    ['empty certificate', { ca: [''] }, {}, 'claim_invalid'],
    ['certificate over 16 KiB', { ca: [toBase64url(new Uint8Array(16_385))] }, {}, 'claim_invalid'],
    ['certificate twice', { ca: [pem(CA), pem(CA)] }, {}, 'claim_invalid'],
    ['two certificates', { ca: [pem(CA), pem(authority('next'))] }, {}, 'accepted'],
    ['two certificates of one key', { ca: [pem(CA), pem(renewed)] }, {}, 'claim_invalid'],
    ['no certificate', { ca: ['AQID'] }, {}, 'certificate_invalid'],
    [
      'a leaf as ca',
      { ca: [pem(authority('a', { isAuthority: false }))] },
      {},
      'certificate_invalid',
    ],
    ['a ca without an id', { ca: [pem(nameless)] }, {}, 'certificate_invalid'],
    [
      'a ca with a path',
      { ca: [pem(withId('spiffe://example.com/ca'))] },
      {},
      'certificate_invalid',
    ],
    [
      'a ca of another domain',
      { ca: [pem(withId('spiffe://b.example'))] },
      {},
      'certificate_untrusted',
    ],
    [
      'a ca of another scheme',
      { ca: [pem(withId('https://example.com'))] },
      {},
      'spiffe_id_invalid',
    ],
    ['operator also an owner', { operators: [spki(owner)] }, {}, 'claim_invalid'],
    ['operator also the service', { operators: [spki(service)] }, {}, 'claim_invalid'],
    ['owner also heartbeat', { owners: [ownedBy(fresh)] }, {}, 'claim_invalid'],
    ['owner also a ca', { owners: [ownedBy(vectorKey('ES256', 'ca'))] }, {}, 'claim_invalid'],
    [
      'permit key also heartbeat',
      { keys: { ...keys, heartbeat: spki(permitKey) } },
      {},
      'claim_invalid',
    ],
    [
      'permit key also the log key',
      { keys: { ...keys, permit: ofNote(log.key) } },
      {},
      'claim_invalid',
    ],
    [
      'heartbeat also the time key',
      { keys: { ...keys, heartbeat: ofNote(time.key) } },
      {},
      'claim_invalid',
    ],
    ['no operator', { operators: [] }, {}, 'claim_invalid'],
    ['threshold 0', { threshold: 0 }, {}, 'claim_invalid'],
    ['threshold 2 of 1', { threshold: 2 }, {}, 'claim_invalid'],
    ['no owner', { owners: [] }, {}, 'accepted'],
    ['a predecessor', { predecessor }, {}, 'accepted'],
    [
      'itself as predecessor',
      { predecessor: { ...predecessor, origin: ORIGIN } },
      {},
      'claim_invalid',
    ],
    [
      'owner twice',
      {
        owners: [
          { key: spki(owner), patterns: ['a'] },
          { key: spki(owner), patterns: ['b'] },
        ],
      },
      {},
      'claim_invalid',
    ],
    [
      'owner without a pattern',
      { owners: [{ key: spki(owner), patterns: [] }] },
      {},
      'claim_invalid',
    ],
    [
      'owner with 64 patterns',
      { owners: [{ key: spki(owner), patterns: sortedNames(64) }] },
      {},
      'accepted',
    ],
    [
      'owner with 65 patterns',
      { owners: [{ key: spki(owner), patterns: sortedNames(65) }] },
      {},
      'too_large',
    ],
    ['predecessor', { predecessor }, {}, 'accepted'],
    [
      'predecessor without a root',
      { predecessor: { ...predecessor, root: null } },
      {},
      'claim_invalid',
    ],
    ['development a number', { development: 1 }, {}, 'claim_invalid'],
  ])

  test('log key of another type', () => {
    const vkey = formatVkey(log.key)
    // Type 0x04 under the origin's name: the id follows from name, type and key.
    const key = { ...time.key, name: ORIGIN }
    const digest = p.sha256(concatBytes(utf8Encode(`${ORIGIN}\n`), Uint8Array.of(4), key.publicKey))
    const renamed = formatVkey({ ...key, keyId: digest.subarray(0, 4) })
    expect(renamed).not.toBe(vkey)
    const call = () => parseGenesis(p, sampled(GENESIS, { keys: { ...keys, log: renamed } }))
    expect(codeOf(call)).toBe('algorithm_unsupported')
  })

  test('says what it was given', () => {
    expect(parseGenesis(p, sampled(GENESIS, { predecessor }))).toMatchObject({
      origin: ORIGIN,
      trustDomain: 'example.com',
      development: false,
      keys: { log: log.key, time: time.key, service: service.spki, permit: permitKey.spki },
      ca: [CA],
      operators: [operator.spki],
      threshold: 1,
      owners: [{ key: owner.spki, patterns: [{ text: '**' }] }],
      policy: fromBase64url(digestOf(1)),
      predecessor: { size: 5, root: fromBase64url(digestOf(7)) },
    })
  })
})

describe('enrolments', () => {
  const byService = { iss: SERVICE, kid: service.kid }
  const details = disclosure('details', 'Ada')
  refuses(OPERATOR_ENROLL, (one) => parseOperatorEnroll(p, one), [
    ['operator by the service', {}, byService, 'accepted', service],
    ['operator under another key', { key: spki(child) }, {}, 'claim_invalid'],
    ['operator that discloses', commitmentsTo(details), {}, 'malformed'],
  ])
  refuses(OWNER_ENROLL, (one) => parseOwnerEnroll(p, one), [
    ['owner by the service', {}, byService, 'accepted', service],
    ['owner under another key', { key: spki(child) }, {}, 'claim_invalid'],
    ['owner that discloses', commitmentsTo(details), {}, 'accepted'],
    ['owner with clear details', { details: 'Ada' }, {}, 'clear_detail'],
    ['owner with one of _sd and _sd_alg', { _sd_alg: 'sha-256' }, {}, 'claim_missing'],
    ['owner without a pattern', { patterns: [] }, {}, 'claim_invalid'],
    ['owner with a wrong pattern', { patterns: ['A'] }, {}, 'claim_invalid'],
    ['owner with 64 patterns', { patterns: sortedNames(64) }, {}, 'accepted'],
    ['owner with 65 patterns', { patterns: sortedNames(65) }, {}, 'too_large'],
    ['owner with a pattern twice', { patterns: ['a', 'a'] }, {}, 'claim_invalid'],
  ])
  refuses(MEMBER_ENROLL, (one) => parseMemberEnroll(p, one), [
    ['member by the service', {}, byService, 'claim_invalid', service],
    ['member of another role', { role: 'approver' }, {}, 'claim_invalid'],
    ['member under another key', { key: spki(child) }, {}, 'claim_invalid'],
  ])

  test('say what they were given', () => {
    const { key, kid } = { key: fresh.spki, kid: fresh.kid }
    expect(parseOperatorEnroll(p, sampled(OPERATOR_ENROLL))).toEqual({ key, kid })
    const disclosing = sampled(OWNER_ENROLL, commitmentsTo(details))
    const commitments = commitmentsTo(details)['_sd']
    expect(parseOwnerEnroll(p, disclosing)).toMatchObject({ key, kid, commitments })
    const member = parseMemberEnroll(p, sampled(MEMBER_ENROLL))
    expect(member).toEqual({ role: 'reader', key, kid, commitments: [] })
  })
})

describe('policy, clock, revocation, erasure', () => {
  refuses(POLICY_ACTIVATE, parsePolicyActivate, [
    ['no revision', { revision: '' }, {}, 'claim_invalid'],
    ['revision of 129', { revision: 'x'.repeat(129) }, {}, 'claim_invalid'],
    ['short digest', { policy: 'AQID' }, {}, 'claim_invalid'],
  ])
  refuses(OPERATOR_CLOCK, parseOperatorClock, [['negative', { time_ms: -1 }, {}, 'claim_invalid']])
  refuses(REVOKE, parseRevoke, [
    ['by an operator', {}, { iss: OPERATOR, kid: operator.kid }, 'accepted', operator],
    [
      'by an ancestor',
      {},
      { iss: PARENT, kid: parent.kid, alg: 'ES256', seq: 1 },
      'accepted',
      parent,
    ],
    ['a name', { target: `agent:${CHILD_NAME}` }, { sub: `agent:${CHILD_NAME}` }, 'accepted'],
    ['an owner', { target: OWNER }, { sub: OWNER }, 'accepted'],
    ['the log', { target: 'log' }, { sub: 'log' }, 'claim_invalid'],
    ['the policy', { target: 'policy' }, { sub: 'policy' }, 'claim_invalid'],
    ['no subject', { target: CHILD }, {}, 'claim_invalid'],
    ['another reason', { reason: 'because' }, {}, 'claim_invalid'],
    ['clear details', { details: 1 }, {}, 'clear_detail'],
  ])
  refuses(ERASURE, parseErasure, [
    ['by an owner', {}, { iss: OWNER, kid: owner.kid }, 'accepted', owner],
    ['nothing', { entries: [] }, {}, 'claim_invalid'],
    ['100 entries', { entries: Array.from({ length: 100 }, (_, at) => at) }, {}, 'accepted'],
    ['101 entries', { entries: Array.from({ length: 101 }, (_, at) => at) }, {}, 'too_large'],
    ['descending', { entries: [5, 3] }, {}, 'not_canonical'],
    ['twice', { entries: [3, 3] }, {}, 'claim_invalid'],
    ['negative', { entries: [-1] }, {}, 'claim_invalid'],
    ['another reason', { reason: 'because' }, {}, 'claim_invalid'],
  ])

  test('say what they were given', () => {
    const policy = parsePolicyActivate(sampled(POLICY_ACTIVATE))
    expect(policy).toEqual({ policy: fromBase64url(digestOf(2)), revision: 'r1' })
    expect(parseOperatorClock(sampled(OPERATOR_CLOCK))).toEqual({ timeMs: 1_800_000_000_000 })
    const revoke = parseRevoke(sampled(REVOKE))
    expect(revoke).toMatchObject({ target: { kind: 'inst' }, reason: 'compromised' })
    expect(parseErasure(sampled(ERASURE))).toEqual({ entries: [3, 5], reason: 'retention' })
  })
})

describe('delegation', () => {
  const given = CHILD_RECORD.payload
  const childOf = given['child'] as JsonRecord
  const parentOf = given['parent'] as JsonRecord
  refuses(CHILD_RECORD, parseDelegation, [
    ['no parent', { parent: null }, {}, 'delegation_invalid'],
    ['no authorization', { authorization: null }, {}, 'delegation_invalid'],
    ['depth 0', { depth: 0 }, {}, 'delegation_invalid'],
    [
      'signed by another instance',
      {},
      { iss: 'spiffe://example.com/finance/inst-ccccc' },
      'delegation_invalid',
    ],
    [
      'signed by the owner',
      {},
      { iss: OWNER, kid: owner.kid, seq: undefined },
      'delegation_invalid',
      owner,
    ],
    ["signed with another key than the parent's", {}, { kid: fresh.kid }, 'key_mismatch', fresh],
    [
      'child an agent name',
      { child: { ...childOf, instance: CHILD_NAME } },
      {},
      'spiffe_id_invalid',
    ],
    ['child without a csr', { child: { ...childOf, csr: null } }, {}, 'claim_invalid'],
    ['child of another key form', { child: { ...childOf, key: 'x' } }, {}, 'claim_invalid'],
    ['parent without a record', { parent: { ...parentOf, record: null } }, {}, 'claim_invalid'],
    ['owner an operator', { owner: OPERATOR }, {}, 'claim_invalid'],
    ['scope empty', { scope: [] }, {}, 'accepted'],
    ['scope not sorted', { scope: ['write:a', 'read:a'] }, {}, 'not_canonical'],
    ['scope with a grant twice', { scope: ['read:a', 'read:a'] }, {}, 'claim_invalid'],
    ['scope with a grant covered', { scope: ['read:a', 'read:a/**'] }, {}, 'not_canonical'],
    ['scope with a dimension', { scope: ['read:a;amount=5'] }, {}, 'scope_invalid'],
    ['may_create of another form', { may_create: ['A'] }, {}, 'claim_invalid'],
    ['may_create no list', { may_create: 'a' }, {}, 'claim_invalid'],
    ['may_create of 64', { may_create: sortedNames(64) }, {}, 'accepted'],
    ['may_create of 65', { may_create: sortedNames(65) }, {}, 'too_large'],
    [
      'a breach of §9.2 that the form does not show',
      { ttl: 1, max_depth: 99, ceiling: 0 },
      {},
      'accepted',
    ],
  ])
  refuses(ROOT_RECORD, parseDelegation, [
    ['depth 0 with an authorization', { authorization: digestOf(1) }, {}, 'delegation_invalid'],
    ['depth 0 of another owner', { owner: `owner:${fresh.kid}` }, {}, 'delegation_invalid'],
    ['depth 1 without a parent', { depth: 1 }, {}, 'delegation_invalid'],
  ])

  test('says what it was given', () => {
    expect(parseDelegation(sampled(CHILD_RECORD))).toMatchObject({
      trustDomain: 'example.com',
      parent: { instance: { id: PARENT }, kid: parent.kid, record: fromBase64url(digestOf(4)) },
      child: { instance: { id: CHILD }, kid: child.kid, csr: fromBase64url(digestOf(3)) },
      owner: OWNER,
      authorization: fromBase64url(digestOf(4)),
      scope: { texts: ['read:reports/*', 'write:reports/drafts/**'] },
      depth: 1,
      maxDepth: 2,
      mayCreate: [],
      size: 7,
      ttl: 3600,
      ceiling: 1_800_086_400,
    })
    const root = parseDelegation(sampled(ROOT_RECORD))
    expect(root).toMatchObject({ parent: null, authorization: null, depth: 0 })
    expect(root.mayCreate.map(({ text }) => text)).toEqual(['finance/**'])
  })
})

const [saltDisclosure = '', propertiesDisclosure = ''] = DISCLOSURES

describe('decision request', () => {
  const context = disclosure('context', { ip: '::1' })
  refuses(DECISION, parseDecisionRequest, [
    [
      'subject.id another instance',
      { subject: { type: 'agent', id: PARENT } },
      {},
      'claim_invalid',
    ],
    ['subject.type user', { subject: { type: 'user', id: CHILD } }, {}, 'claim_invalid'],
    ['action with a wildcard', { action: { name: 'read:*' } }, {}, 'scope_invalid'],
    [
      'action with properties in the clear',
      { action: { name: ACTION, properties: {} } },
      {},
      'malformed',
    ],
    ['empty resource id', { resource: { ...RESOURCE, id: '' } }, {}, 'claim_invalid'],
    ['resource id of 512', { resource: { ...RESOURCE, id: '€'.repeat(512) } }, {}, 'accepted'],
    [
      'resource id with a line break',
      { resource: { ...RESOURCE, id: 'a\nb' } },
      {},
      'claim_invalid',
    ],
    [
      'resource type with a C1 control',
      { resource: { ...RESOURCE, type: '\u0085' } },
      {},
      'claim_invalid',
    ],
    ['resource id of 513', { resource: { ...RESOURCE, id: 'x'.repeat(513) } }, {}, 'claim_invalid'],
    ['context in the clear', { context: {} }, {}, 'clear_detail'],
    ['nothing disclosed', { _sd: undefined, _sd_alg: undefined }, {}, 'claim_missing'],
  ])

  const open = (given: readonly string[], payload: JsonRecord = {}) => {
    const statement = sampled(DECISION, { ...commitmentsTo(...given), ...payload })
    return openDecisionRequest(p, statement, given)
  }
  const properties = (value: unknown) => disclosure('action_properties', value as null)
  test.each([
    ['good', DISCLOSURES, 'accepted'],
    ['with a context', [...DISCLOSURES, context], 'accepted'],
    ['without the salt', [propertiesDisclosure], 'disclosure_missing'],
    ['salt of 15 bytes', [disclosure('salt', 'AAAAAAAAAAAAAAAAAAAA')], 'claim_invalid'],
    ['salt no text', [disclosure('salt', 1)], 'claim_invalid'],
    [
      'properties that the digest is not over',
      [saltDisclosure, properties({ mode: 'part' })],
      'claim_invalid',
    ],
    ['without the properties that the digest is over', [saltDisclosure], 'claim_invalid'],
    ['properties an array', [saltDisclosure, properties([])], 'claim_invalid'],
    ['properties null', [saltDisclosure, properties(null)], 'claim_invalid'],
    ['context text', [...DISCLOSURES, disclosure('context', 'x')], 'claim_invalid'],
    [
      'details, which it does not disclose',
      [...DISCLOSURES, disclosure('details', 1)],
      'claim_invalid',
    ],
  ])('opened: %s', (_, given, code) => {
    expect(codeOf(() => open(given))).toBe(code)
  })

  test('opened: says what it was given', () => {
    expect(open([...DISCLOSURES, context])).toMatchObject({
      instance: CHILD,
      action: ACTION,
      resource: RESOURCE,
      actionDigest: fromBase64url(ACTION_DIGEST),
      salt: SALT,
      saltDisclosure,
      actionProperties: { mode: 'full' },
      resourceProperties: {},
      context: { ip: '::1' },
    })
  })
})

describe('action event', () => {
  refuses(ACTION_EVENT, parseActionEvent, [
    ['event_id not the jti', { event_id: 'event-2' }, {}, 'claim_invalid'],
    ['identity of another instance', { agent_identity: PARENT }, {}, 'claim_invalid'],
    ['another name', { agent_id: 'spiffe://example.com/finance' }, {}, 'claim_invalid'],
    ['parent a name', { parent_agent_id: CHILD_NAME }, {}, 'spiffe_id_invalid'],
    ['no parent', { parent_agent_id: null }, {}, 'accepted'],
    ['action with a wildcard', { action: '*:a' }, {}, 'scope_invalid'],
    ['another outcome', { outcome: 'maybe' }, {}, 'claim_invalid'],
    ['authorized by an operator', { authorized_by: OPERATOR }, {}, 'claim_invalid'],
    ['decision id of 15 bytes', { decision: 'AAAAAAAAAAAAAAAAAAAA' }, {}, 'claim_invalid'],
    ['decision without a digest', { action_digest: null }, {}, 'claim_invalid'],
    ['digest without a decision', { decision: null }, {}, 'claim_invalid'],
    [
      'neither',
      { decision: null, action_digest: null, _sd: undefined, _sd_alg: undefined },
      {},
      'accepted',
    ],
    ['digest and nothing disclosed', { _sd: undefined, _sd_alg: undefined }, {}, 'claim_missing'],
    ['clear details', { details: 'x' }, {}, 'clear_detail'],
  ])

  test.each([
    ['2026-11-23T06:30:00Z', 'accepted'],
    ['2026-11-23T23:59:59.1Z', 'accepted'],
    ['2026-11-23T23:59:59.999Z', 'accepted'],
    ['2026-11-23T23:59:59.1234Z', 'claim_invalid'],
    ['2024-02-29T00:00:00Z', 'accepted'],
    ['2026-02-29T00:00:00Z', 'claim_invalid'],
    ['2026-13-01T00:00:00Z', 'claim_invalid'],
    ['2026-11-23T24:00:00Z', 'claim_invalid'],
    ['2026-11-23T06:30:60Z', 'claim_invalid'],
    ['2026-11-23T06:30:00', 'claim_invalid'],
    ['2026-11-23T06:30:00.Z', 'claim_invalid'],
    ['2026-11-23T06:30:00+00:00', 'claim_invalid'],
    ['2026-11-23t06:30:00z', 'claim_invalid'],
    ['2026-11-23 06:30:00Z', 'claim_invalid'],
    ['', 'claim_invalid'],
  ])('timestamp %j', (timestamp, code) => {
    expect(codeOf(() => parseActionEvent(sampled(ACTION_EVENT, { timestamp })))).toBe(code)
  })

  const open = (given: readonly string[], payload: JsonRecord = {}) => {
    const none = { _sd: undefined, _sd_alg: undefined }
    const statement = sampled(ACTION_EVENT, { ...none, ...commitmentsTo(...given), ...payload })
    return openActionEvent(p, statement, given)
  }
  const withoutDecision = { decision: null, action_digest: null }
  const details = disclosure('details', ['anything'])
  test.each([
    ['good', DISCLOSURES, {}, 'accepted'],
    ['without the salt', [details], {}, 'disclosure_missing'],
    [
      'another salt',
      [disclosure('salt', 'AAAAAAAAAAAAAAAAAAAAAA'), propertiesDisclosure],
      {},
      'claim_invalid',
    ],
    ['another action', DISCLOSURES, { action: 'read:reports/2025' }, 'claim_invalid'],
    ['no decision', [], withoutDecision, 'accepted'],
    ['no decision, a wrong salt', [disclosure('salt', 1)], withoutDecision, 'claim_invalid'],
    [
      'context, which it does not disclose',
      [...DISCLOSURES, disclosure('context', {})],
      {},
      'claim_invalid',
    ],
  ])('opened: %s', (_, given, payload, code) => {
    expect(codeOf(() => open(given, payload))).toBe(code)
  })

  test('opened: says what it was given', () => {
    expect(open([...DISCLOSURES, details])).toMatchObject({
      eventId: 'event-1',
      agentId: CHILD_NAME,
      agentIdentity: CHILD,
      parentAgentId: PARENT,
      timestamp: '2026-11-23T06:30:00.123Z',
      timestampMs: Date.UTC(2026, 10, 23, 6, 30, 0, 123),
      outcome: 'success',
      authorizedBy: OWNER,
      decision: { actionDigest: fromBase64url(ACTION_DIGEST) },
      details: ['anything'],
      salt: SALT,
      actionProperties: { mode: 'full' },
    })
    const bare = open([], withoutDecision)
    expect(bare).toMatchObject({ decision: null, salt: undefined, details: undefined })
    expect(open([saltDisclosure], withoutDecision).salt).toEqual(SALT)
  })
})

describe('digests', () => {
  const instance = CHILD
  const commitment = { salt: SALT, instance, action: ACTION, resource: RESOURCE }

  test('the action digest is over the bytes of FORMAT §10.2', () => {
    const properties = utf8Encode('{"action":{},"resource":{"a":1,"b":2}}')
    const text = (value: string) => {
      const bytes = utf8Encode(value)
      return concatBytes(
        bytes.length < 24 ? Uint8Array.of(0x60 + bytes.length) : Uint8Array.of(0x78, bytes.length),
        bytes,
      )
    }
    const expected = concatBytes(
      Uint8Array.of(0x87),
      text('trustwarden/action/1'),
      Uint8Array.of(0x50),
      SALT,
      text(instance),
      text(ACTION),
      text(RESOURCE.type),
      text(RESOURCE.id),
      Uint8Array.of(0x58, properties.length),
      properties,
    )
    const given = { ...commitment, resourceProperties: { b: 2, a: 1 } }
    expect(actionDigest(p, given)).toEqual(p.sha256(expected))
  })

  test('the input commitment is over the bytes of FORMAT §10.3', () => {
    const input = policyInput({
      agent: { identity: CHILD_NAME, instance, owner: OWNER, depth: 1 },
      chain: [
        { instance: PARENT, scope: ['read:**'] },
        { instance, scope: [ACTION] },
      ],
      action: ACTION,
      actionProperties: { y: 2 },
      resource: RESOURCE,
      resourceProperties: { z: 1 },
      context: {},
      nowMs: 5,
      stateSize: 6,
    })
    expect(new TextDecoder().decode(input)).toBe(
      `{"action":"${ACTION}","action_properties":{"y":2},"agent":{"depth":1,"identity":"${CHILD_NAME}","instance":"${CHILD}",` +
        `"owner":"${OWNER}","verified_by":"agent_signature"},"approvals":[],"chain":[{"instance":"${PARENT}",` +
        `"scope":["read:**"]},{"instance":"${CHILD}","scope":["${ACTION}"]}],"context":{},"now_ms":5,` +
        `"resource":{"id":"${RESOURCE.id}","properties":{"z":1},"type":"file"},"state_size":6}`,
    )
    const label = 'trustwarden/input/1'
    const expected = p.sha256(encodeCbor([label, utf8Encode(saltDisclosure), input]))
    expect(inputCommitment(p, findSaltDisclosure(DISCLOSURES.toReversed()), input)).toEqual(
      expected,
    )
    expect(codeOf(() => findSaltDisclosure([propertiesDisclosure]))).toBe('disclosure_missing')
  })

  test('a salt is 16 bytes', () => {
    const salt = SALT.subarray(1)
    expect(codeOf(() => actionDigest(p, { ...commitment, salt }))).toBe('claim_invalid')
  })
})

describe('prepared decision', () => {
  const prepared: DecisionPrepared = {
    size: 9,
    decisionId: toBase64url(SALT),
    policy: new Uint8Array(32),
    nowMs: 1,
    inputCommitment: new Uint8Array(32),
    epoch: 0,
    verdict: {
      effect: 'require_approval',
      reasons: ['r'],
      matched: ['m'],
      obligations: ['2-people', 'redact.iban'],
    },
    reproducible: true,
    policyIndex: 3,
  }
  const map = encodeDecisionPrepared(prepared)

  test('comes back', () => expect(decodeDecisionPrepared(map)).toEqual(prepared))

  const verdict = (...parts: (string | readonly string[] | Uint8Array)[]) => [[6, parts]] as const
  test.each([
    ['one key more', [[9, 1]], 'malformed'],
    ['policy index text', [[8, '1']], 'malformed'],
    ['id of another length', [[1, 'AAAA']], 'claim_invalid'],
    ['short policy digest', [[2, new Uint8Array(31)]], 'malformed'],
    ['reproducible a number', [[7, 1]], 'malformed'],
    ['another effect', verdict('maybe', [], [], []), 'malformed'],
    ['three parts', verdict('allow', [], []), 'malformed'],
    ['obligations JSON', verdict('allow', [], [], utf8Encode('[]')), 'malformed'],
    ['obligations text', verdict('allow', [], [], 'a'), 'malformed'],
    ['an obligation no name', verdict('allow', [], [], ['Redact']), 'malformed'],
    ['reasons no array', verdict('allow', 'r', [], []), 'malformed'],
    ['an empty reason', verdict('deny', [''], [], []), 'malformed'],
    ['a reason with a space', verdict('deny', ['a b'], [], []), 'malformed'],
    ['a reason with a line break', verdict('deny', ['a\n'], [], []), 'malformed'],
    ['a match that begins with a dot', verdict('deny', [], ['.a'], []), 'malformed'],
    ['a reason of 129', verdict('deny', ['x'.repeat(129)], [], []), 'malformed'],
    ['a reason of 128', verdict('deny', ['0'.repeat(128)], ['a._-9'], []), 'accepted'],
    ['reasons not sorted', verdict('deny', ['b', 'a'], [], []), 'not_canonical'],
    ['a match twice', verdict('deny', [], ['a', 'a'], []), 'not_canonical'],
    ['obligations not sorted', verdict('allow', [], [], ['b', 'a']), 'not_canonical'],
    ['256 reasons', verdict('deny', sortedNames(256), [], []), 'accepted'],
    ['257 reasons', verdict('deny', sortedNames(257), [], []), 'too_large'],
    ['256 matches', verdict('deny', [], sortedNames(256), []), 'accepted'],
    ['257 matches', verdict('deny', [], sortedNames(257), []), 'too_large'],
    ['16 obligations', verdict('allow', [], [], sortedNames(16)), 'accepted'],
    ['17 obligations', verdict('allow', [], [], sortedNames(17)), 'too_large'],
    ['allow', verdict('allow', [], [], []), 'accepted'],
    ['deny', verdict('deny', ['r'], [], []), 'accepted'],
  ] as const)('%s', (_, patch, code) => {
    const broken = new Map([...map, ...patch])
    expect(codeOf(() => decodeDecisionPrepared(broken))).toBe(code)
  })
})

test.each([
  ['now', {}, 5, true],
  ['60 s later', {}, 60_005, true],
  ['later than 60 s', {}, 60_006, false],
  ['before the policy ran', {}, 4, false],
  ['under a policy of the size it was prepared at', { policyIndex: 9 }, 5, false],
  ['under a policy just below it', { policyIndex: 8 }, 5, true],
])('a decision may be registered: %s', (_, patch, timeMs, expected) => {
  const prepared = { size: 9, nowMs: 5, policyIndex: 3, ...patch } as DecisionPrepared
  expect(isDecisionFresh(prepared, timeMs)).toBe(expected)
})

describe('policy pack', () => {
  const wasm = Uint8Array.of(0, 0x61, 0x73, 0x6d)
  const pack = new Map<number, number | string | Uint8Array>([
    [0, 1],
    [1, wasm],
    [2, utf8Encode('{"roles":{}}')],
    [3, 'r1'],
  ])

  test('is read', () => {
    const read = parsePolicyPack(encodeCbor(pack))
    expect(read).toEqual({ wasm, data: utf8Encode('{"roles":{}}'), revision: 'r1' })
  })

  test.each([
    ['another version', [[0, 2]], 'version_unknown'],
    ['one key more', [[4, 2]], 'malformed'],
    ['wasm text', [[1, 'x']], 'malformed'],
    ['data no JSON', [[2, wasm]], 'malformed'],
    ['revision bytes', [[3, wasm]], 'malformed'],
    ['over 4 MiB', [[1, new Uint8Array(4_194_304)]], 'too_large'],
    ['near 4 MiB', [[1, new Uint8Array(4_194_000)]], 'accepted'],
  ] as const)('%s', (_, patch, code) => {
    expect(codeOf(() => parsePolicyPack(encodeCbor(new Map([...pack, ...patch]))))).toBe(code)
  })

  test('no map', () => expect(codeOf(() => parsePolicyPack(encodeCbor([])))).toBe('malformed'))
})

/** `n100`, `n101`, …: sorted, each a name and a name pattern. */
function sortedNames(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `n${at + 100}`)
}
