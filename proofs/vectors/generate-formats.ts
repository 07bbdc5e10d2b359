/** @module Vectors of trees, encodings, notes, statements, entries, scopes, certificates and receipts. */
import { concatBytes, fromHex, toHex, utf8Decode, utf8Encode } from '../bytes.ts'
import type { ProofErrorCode } from '../errors.ts'
import type { JsonObject } from '../json.ts'
import { leafHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import { formatVkey } from '../note.ts'
import { formatReceipt } from '../receipt.ts'
import type { VectorCase } from './generate-cases.ts'
import { vectorKey } from './generate-keys.ts'
import { consistencyPath, inclusionPath, signStatement, treeRoot } from './generate-log.ts'
import {
  ACTION_DISCLOSURES,
  CHILD_ID,
  committed,
  disclosed,
  people,
  START_MS,
  type Story,
} from './generate-plot.ts'
import { anchorOf, tellStory } from './generate-story.ts'

type Expect = 'ok' | ProofErrorCode
type Row = readonly [name: string, expect: Expect, description: string, input: JsonObject]

/** All of them. */
export function formatCases(): readonly VectorCase[] {
  const story = tellStory()
  return [
    ...cases('merkle/inclusion', 'RFC 9162 §2.1.3.2', inclusionRows()),
    ...cases('merkle/consistency', 'RFC 9162 §2.1.4.2', consistencyRows()),
    ...cases('cbor', 'FORMAT §1.1; RFC 8949 §4.2.1', CBOR.map(hexRow)),
    ...cases('json', 'FORMAT §1.2; RFC 7493; RFC 8785', jsonRows()),
    ...cases('note', 'C2SP signed-note v1.0.0', noteRows(story)),
    ...cases('head', 'FORMAT §11.1; C2SP tlog-checkpoint', headRows(story)),
    ...cases('statement', 'FORMAT §3', statementRows(story)),
    ...cases('disclosure', 'FORMAT §4; RFC 9901 §4.2', disclosureRows()),
    ...cases('entry', 'FORMAT §5, §6', entryRows(story)),
    ...cases('scope', 'FORMAT §7.1', SCOPES.map(scopeRow)),
    ...cases('certificate', 'FORMAT §8; X509-SVID', certificateRows(story)),
    ...cases('receipt', 'FORMAT §11.3', receiptRows(story)),
  ]
}

function cases(folder: string, specification: string, rows: readonly Row[]): readonly VectorCase[] {
  return rows.map(([name, expect, description, input]) => ({
    folder,
    name,
    description,
    specification,
    input,
    expect,
  }))
}

const LEAVES = Array.from({ length: 13 }, (_, at) => leafHash(p, Uint8Array.of(at)))

function inclusionRows(): readonly Row[] {
  const input = (index: number, size: number, patch: JsonObject = {}): JsonObject => {
    const leaves = LEAVES.slice(0, size)
    return {
      leaf_index: index,
      tree_size: size,
      leaf_hash: toHex(leaves[index] ?? new Uint8Array(32)),
      path: inclusionPath(leaves, index).map(toHex),
      root: toHex(treeRoot(leaves)),
      ...patch,
    }
  }
  const path = inclusionPath(LEAVES, 5).map(toHex)
  return [
    ...[1, 2, 3, 7, 8, 13].map(
      (size): Row => [
        `ok-last-of-${size}`,
        'ok',
        `the last of ${size} leaves`,
        input(size - 1, size),
      ],
    ),
    ['ok-middle', 'ok', 'leaf 5 of 13', input(5, 13)],
    ['index-of-neighbour', 'inclusion_mismatch', 'leaf 5 at 4', input(5, 13, { leaf_index: 4 })],
    [
      'leaf-flipped',
      'inclusion_mismatch',
      'a bit of the leaf',
      input(5, 13, { leaf_hash: flip(LEAVES[5]) }),
    ],
    [
      'root-flipped',
      'inclusion_mismatch',
      'a bit of the root',
      input(5, 13, { root: flip(treeRoot(LEAVES)) }),
    ],
    [
      'path-reversed',
      'inclusion_mismatch',
      'the path backwards',
      input(5, 13, { path: path.toReversed() }),
    ],
    ['path-short', 'malformed', 'a node less', input(5, 13, { path: path.slice(1) })],
    ['path-long', 'malformed', 'a node more', input(5, 13, { path: [...path, path[0] ?? ''] })],
    [
      'path-node-short',
      'malformed',
      'a node of 31 bytes',
      input(5, 13, { path: path.map((node) => node.slice(2)) }),
    ],
    ['index-is-size', 'malformed', 'an index that is the size', input(5, 13, { leaf_index: 13 })],
    [
      'path-over-limit',
      'too_large',
      '54 nodes',
      input(5, 13, { path: Array.from({ length: 54 }, () => path[0] ?? '') }),
    ],
  ]
}

function consistencyRows(): readonly Row[] {
  const input = (oldSize: number, newSize: number, patch: JsonObject = {}): JsonObject => ({
    old_size: oldSize,
    new_size: newSize,
    old_root: toHex(treeRoot(LEAVES.slice(0, oldSize))),
    new_root: toHex(treeRoot(LEAVES.slice(0, newSize))),
    path: consistencyPath(LEAVES.slice(0, newSize), oldSize).map(toHex),
    ...patch,
  })
  const path = consistencyPath(LEAVES, 6).map(toHex)
  return [
    ...(
      [
        [1, 2],
        [3, 7],
        [4, 8],
        [6, 13],
        [8, 13],
        [13, 13],
      ] as const
    ).map(
      ([from, to]): Row => [`ok-${from}-to-${to}`, 'ok', `from ${from} to ${to}`, input(from, to)],
    ),
    [
      'old-root-flipped',
      'consistency_mismatch',
      'a bit',
      input(6, 13, { old_root: flip(treeRoot(LEAVES.slice(0, 6))) }),
    ],
    [
      'new-root-flipped',
      'consistency_mismatch',
      'a bit',
      input(6, 13, { new_root: flip(treeRoot(LEAVES)) }),
    ],
    [
      'old-size-of-neighbour',
      'consistency_mismatch',
      'size 5 for 6',
      input(6, 13, { old_size: 5, path: consistencyPath(LEAVES, 5).map(toHex) }),
    ],
    ['path-short', 'malformed', 'a node less', input(6, 13, { path: path.slice(1) })],
    ['path-long', 'malformed', 'a node more', input(6, 13, { path: [...path, path[0] ?? ''] })],
    [
      'equal-sizes-two-roots',
      'root_mismatch',
      'two roots of one size',
      input(13, 13, { old_root: flip(treeRoot(LEAVES)) }),
    ],
    ['equal-sizes-with-path', 'malformed', 'a path between equal sizes', input(13, 13, { path })],
    ['from-empty', 'malformed', 'size 0 shows nothing', input(6, 13, { old_size: 0 })],
    ['shrinking', 'malformed', 'from 13 to 6', input(6, 13, { old_size: 13, new_size: 6 })],
  ]
}

const CBOR: readonly (readonly [string, Expect, string, string])[] = [
  ['ok-map', 'ok', 'integer keys before text, in order of their bytes', 'a3001903e801f6616180'],
  ['ok-largest-integer', 'ok', '2^53−1', '1b001fffffffffffff'],
  ['ok-negative', 'ok', '−500', '3901f3'],
  ['integer-over-limit', 'too_large', '2^53', '1b0020000000000000'],
  ['head-not-shortest', 'not_canonical', '10 in two bytes', '180a'],
  ['length-not-shortest', 'not_canonical', 'a text of one byte, its length in two', '780161'],
  ['indefinite-array', 'not_canonical', 'an array of no stated length', '9f01ff'],
  ['keys-unsorted', 'not_canonical', 'key 1 before key 0', 'a201000000'],
  ['key-twice', 'malformed', 'key 0 twice', 'a200000001'],
  ['float', 'malformed', 'half a float', 'f93e00'],
  ['tag', 'malformed', 'a tag', 'c11a514b67b0'],
  ['undefined', 'malformed', 'undefined', 'f7'],
  ['key-is-bytes', 'malformed', 'a byte string as key', 'a1410000'],
  ['text-not-utf8', 'malformed', 'a lone continuation byte', '6180'],
  ['bytes-after', 'malformed', 'a byte after the item', '0000'],
  ['truncated', 'malformed', 'an array of two with one', '8201'],
  ['nested-too-deep', 'too_large', '17 arrays', `${'81'.repeat(17)}00`],
]

function hexRow([name, expect, description, bytes]: (typeof CBOR)[number]): Row {
  return [name, expect, description, { bytes }]
}

function jsonRows(): readonly Row[] {
  const row = (
    name: string,
    expect: Expect,
    description: string,
    text: string,
    canonical = '',
  ): Row => [
    name,
    expect,
    description,
    { bytes: toHex(utf8Encode(text)), canonical: toHex(utf8Encode(canonical)) },
  ]
  return [
    row(
      'ok-sorted',
      'ok',
      'white space and order',
      ' {"b": 1, "a" : [true,null]} ',
      '{"a":[true,null],"b":1}',
    ),
    row(
      'ok-numbers',
      'ok',
      'numbers as ECMAScript writes them',
      '[1E2,0.000001,1e-7,1.50]',
      '[100,0.000001,1e-7,1.5]',
    ),
    row('ok-escapes', 'ok', 'escapes that are not needed', '"\\u0041\\/\\u20ac"', '"A/€"'),
    row('key-twice', 'malformed', 'a member twice', '{"a":1,"a":1}'),
    row(
      'key-twice-escaped',
      'malformed',
      'a member twice, once with an escape',
      '{"a":1,"\\u0061":1}',
    ),
    row('lone-surrogate', 'malformed', 'half a character', '"\\ud800"'),
    row('integer-over-limit', 'malformed', '2^53', '9007199254740992'),
    row('negative-zero', 'malformed', '−0', '-0'),
    row('leading-zero', 'malformed', '01', '01'),
    row('trailing-comma', 'malformed', 'a comma at the end', '[1,]'),
    row('nan', 'malformed', 'no number', 'NaN'),
    row('two-values', 'malformed', 'a value after the value', '1 1'),
    row('byte-order-mark', 'malformed', 'a mark in front', '\ufeff1'),
    row('nested-too-deep', 'too_large', '33 arrays', `${'['.repeat(33)}${']'.repeat(33)}`),
    ['not-utf8', 'malformed', 'a byte that is no UTF-8', { bytes: '22ff22', canonical: '' }],
  ]
}

function noteRows({ log }: Story): readonly Row[] {
  const keys = [formatVkey(log.noteKey)]
  const note = log.head()
  const [, line = ''] = note.split('\n\n')
  const other = log.head(people.operator)
  return [
    ['ok', 'ok', 'a note of the key', { note, keys }],
    [
      'ok-unknown-line',
      'ok',
      'a line of an unknown key after it',
      { note: `${note}${other.split('\n\n')[1] ?? ''}`, keys },
    ],
    ['key-unknown', 'key_unknown', 'no line of a trusted key', { note: other, keys }],
    ['no-keys', 'key_unknown', 'nobody is trusted', { note, keys: [] }],
    [
      'text-changed',
      'signature_invalid',
      'another size',
      { note: note.replace('\n10\n', '\n11\n'), keys },
    ],
    [
      'no-empty-line',
      'malformed',
      'text and signature run together',
      { note: note.replace('\n\n', '\n'), keys },
    ],
    [
      'no-final-newline',
      'malformed',
      'the last newline is missing',
      { note: note.slice(0, -1), keys },
    ],
    [
      'hyphen-for-dash',
      'malformed',
      'a hyphen for the em dash',
      { note: note.replace(line, line.replace('—', '-')), keys },
    ],
    [
      'control-character',
      'malformed',
      'a tab in the text',
      { note: note.replace('\n', '\t\n'), keys },
    ],
    [
      'vkey-of-other-id',
      'key_invalid',
      'an id that does not follow from the key',
      { note, keys: keys.map((key) => key.replace(/\+[0-9a-f]{8}\+/, '+00000000+')) },
    ],
  ]
}

function headRows(story: Story): readonly Row[] {
  const { log } = story
  const keys = [formatVkey(log.noteKey)]
  const { origin } = log
  const head = log.head()
  return [
    ['ok', 'ok', 'the head of the story', { head, keys, origin }],
    [
      'origin-other',
      'origin_mismatch',
      'a head of another log',
      { head, keys, origin: 'log.example/logs/other' },
    ],
    [
      'size-leading-zero',
      'not_canonical',
      '010 for 10',
      { head: head.replace('\n10\n', '\n010\n'), keys, origin },
    ],
    [
      'root-short',
      'malformed',
      'a root of 31 bytes',
      {
        head: head.replace(/\n10\n[^\n]*/, `\n10\n${'A'.repeat(40)}AA==`.slice(0, 48)),
        keys,
        origin,
      },
    ],
    [
      'signature-flipped',
      'signature_invalid',
      'another last digit',
      { head: flipDigit(head), keys, origin },
    ],
    [
      'key-of-operator',
      'key_unknown',
      'signed by an operator',
      { head: log.head(people.operator), keys, origin },
    ],
  ]
}

function statementRows(story: Story): readonly Row[] {
  const { origin } = story.log
  const draft = {
    kind: 'operator.clock',
    by: people.operator,
    header: { iss: `operator:${people.operator.kid}`, sub: 'log' },
    payload: { time_ms: START_MS },
    prepared: new Map(),
    outcome: new Map(),
    subjects: [],
    timeMs: START_MS,
  }
  const sign = (header: JsonObject, by = people.operator): string =>
    utf8Decode(signStatement(origin, { ...draft, by, header: { ...draft.header, ...header } }))
  const right = sign({})
  const later = sign({ iat: START_MS / 1000 + 1 })
  const make = (statement: string, patch: JsonObject = {}): JsonObject => ({
    statement,
    media: 'application/jose',
    spki: toHex(people.operator.spki),
    origin,
    type: 'operator.clock',
    ...patch,
  })
  const agent = { iss: CHILD_ID, sub: CHILD_ID }
  const ecdsa = vectorKey('ES256', 'fetcher')
  return [
    ['ok-ed25519', 'ok', 'an operator, Ed25519', make(right)],
    [
      'ok-es256',
      'ok',
      'an instance, ES256, with its counter',
      make(sign({ ...agent, seq: 1 }, ecdsa), { spki: toHex(ecdsa.spki) }),
    ],
    [
      'cose',
      'envelope_unsupported',
      'the envelope that is not read yet',
      make(right, { media: 'application/cose' }),
    ],
    ['media-unknown', 'malformed', 'another media type', make(right, { media: 'text/plain' })],
    [
      'aud-other',
      'audience_mismatch',
      'for another log',
      make(sign({ aud: 'log.example/logs/other' })),
    ],
    [
      'type-other',
      'type_mismatch',
      'of another type',
      make(sign({ typ: 'vnd.trustwarden.erasure' })),
    ],
    [
      'key-other',
      'key_mismatch',
      'another key than kid names',
      make(right, { spki: toHex(people.second.spki) }),
    ],
    ['alg-none', 'algorithm_unsupported', 'no signature', make(sign({ alg: 'none' }))],
    ['alg-of-other-key', 'key_mismatch', 'ES256 said, Ed25519 meant', make(sign({ alg: 'ES256' }))],
    [
      'iss-of-other-key',
      'key_mismatch',
      'iss names another key',
      make(sign({ iss: `operator:${people.second.kid}` })),
    ],
    [
      'payload-changed',
      'signature_invalid',
      'the signature of another time',
      make(`${later.slice(0, later.lastIndexOf('.'))}${right.slice(right.lastIndexOf('.'))}`),
    ],
    ['signature-short', 'malformed', 'two digits less', make(right.slice(0, -2))],
    ['padding', 'malformed', 'base64 padding', make(`${right}==`)],
    ['four-parts', 'malformed', 'a part too many', make(`${right}.AA`)],
    [
      'header-member-unknown',
      'malformed',
      'a member of the header that is not listed',
      make(sign({ crit: [] })),
    ],
    ['iat-missing-for-text', 'claim_invalid', 'iat as text', make(sign({ iat: '1' }))],
    ['seq-of-operator', 'claim_invalid', 'a counter of no instance', make(sign({ seq: 1 }))],
    [
      'seq-missing',
      'claim_missing',
      'an instance without its counter',
      make(sign(agent, ecdsa), { spki: toHex(ecdsa.spki) }),
    ],
    ['jti-with-space', 'claim_invalid', 'a space in jti', make(sign({ jti: 'a b' }))],
  ]
}

function disclosureRows(): readonly Row[] {
  const payload = committed(ACTION_DISCLOSURES)
  const disclosures = [...ACTION_DISCLOSURES]
  const make = (patch: JsonObject): JsonObject => ({
    type: 'action',
    payload,
    disclosures,
    ...patch,
  })
  const digests = payload['_sd']
  const sd = Array.isArray(digests) ? digests.map(String) : []
  const email = disclosed('email', 'a@example.com')
  return [
    ['ok', 'ok', 'salt, properties and details', make({})],
    ['ok-nothing', 'ok', 'nothing committed to', make({ payload: {}, disclosures: [] })],
    [
      'missing',
      'disclosure_missing',
      'one is not there',
      make({ disclosures: disclosures.slice(1) }),
    ],
    [
      'unmatched',
      'disclosure_unmatched',
      'one too many',
      make({ disclosures: [...disclosures, email] }),
    ],
    [
      'twice',
      'disclosure_unmatched',
      'one twice',
      make({ disclosures: [...disclosures, disclosures[0] ?? ''] }),
    ],
    [
      'name-not-permitted',
      'claim_invalid',
      'a name that the type does not list',
      make({ payload: committed([email]), disclosures: [email] }),
    ],
    [
      'clear',
      'clear_detail',
      'details in the clear',
      make({ payload: { ...payload, details: 'x' } }),
    ],
    [
      'digests-unsorted',
      'not_canonical',
      'digests out of order',
      make({ payload: { ...payload, _sd: sd.toReversed() } }),
    ],
    [
      'algorithm-other',
      'claim_invalid',
      'another hash',
      make({ payload: { ...payload, _sd_alg: 'sha-512' } }),
    ],
    ['algorithm-missing', 'claim_missing', 'no _sd_alg', make({ payload: { _sd: sd } })],
  ]
}

function entryRows({ log }: Story): readonly Row[] {
  const bytes = log.entries[8] ?? new Uint8Array()
  const entry = toHex(bytes)
  const row = (name: string, expect: Expect, description: string, text: string): Row => [
    name,
    expect,
    description,
    { entry: text },
  ]
  const kindHex = toHex(utf8Encode('action'))
  return [
    ...log.entries.map(
      (one, at): Row => row(`ok-${at}`, 'ok', `entry ${at} of the story`, toHex(one)),
    ),
    row('version-other', 'version_unknown', 'version 2', entry.replace(/^a80001/, 'a80002')),
    row(
      'key-unknown',
      'malformed',
      'a ninth key',
      toHex(concatBytes(fromHex('a9'), bytes.subarray(1), fromHex('0800'))),
    ),
    row('bytes-after', 'malformed', 'a byte after the map', `${entry}00`),
    row(
      'kind-with-capital',
      'malformed',
      'Action',
      entry.replace(`66${kindHex}`, `66${toHex(utf8Encode('Action'))}`),
    ),
    row(
      'ok-kind-unknown',
      'ok',
      'a kind that nobody knows: what all entries share holds',
      entry.replace(`66${kindHex}`, `66${toHex(utf8Encode('motion'))}`),
    ),
    row(
      'type-of-other-kind',
      'malformed',
      'the entry of a decision that says action',
      toHex(log.entries[7] ?? bytes).replace(`68${toHex(utf8Encode('decision'))}`, `66${kindHex}`),
    ),
  ]
}

const SCOPES: readonly (readonly [string, Expect, string, readonly string[], readonly string[]])[] =
  [
    [
      'ok-fewer-grants',
      'ok',
      'one grant of two',
      ['read:transactions'],
      ['read:transactions', 'write:reports'],
    ],
    ['ok-below', 'ok', 'a node below a tail', ['read:a/b'], ['read:a/**']],
    ['ok-verb', 'ok', 'one verb of every', ['read:a'], ['*:a']],
    ['ok-empty', 'ok', 'nothing within something', [], ['read:a']],
    ['equal', 'scope_not_contained', 'the same', ['read:a'], ['read:a']],
    ['wider', 'scope_not_contained', 'one grant more', ['read:a', 'read:b'], ['read:a']],
    [
      'equal-as-a-union',
      'scope_not_contained',
      'the node and all below it, in two grants',
      ['read:x', 'read:x/*/**'],
      ['read:x/**'],
    ],
    [
      'prefix-of-text',
      'scope_not_contained',
      'a word that begins alike',
      ['read:accounts'],
      ['read:account/**'],
    ],
    [
      'star-is-one-segment',
      'scope_not_contained',
      'two segments under one star',
      ['read:a/b'],
      ['read:*'],
    ],
    ['out-of-order', 'not_canonical', 'grants out of order', ['write:a', 'read:a'], ['*:**']],
    [
      'covered-by-another',
      'not_canonical',
      'a grant within another',
      ['read:a', 'read:a/**'],
      ['*:**'],
    ],
    ['dimension', 'scope_invalid', 'a dimension', ['pay:invoices;amount=100'], ['*:**']],
    ['capital', 'scope_invalid', 'a capital letter', ['Read:a'], ['*:**']],
    ['no-path', 'scope_invalid', 'no path', ['read'], ['*:**']],
    ['tail-in-the-middle', 'scope_invalid', '** before a segment', ['read:**/a'], ['*:**']],
  ]

function scopeRow([name, expect, description, inner, outer]: (typeof SCOPES)[number]): Row {
  return [name, expect, description, { inner, outer }]
}

function certificateRows(story: Story): readonly Row[] {
  const roots = [toHex(story.rootCertificate)]
  const der = (told: Story): string => toHex(told.records.get('child')?.der ?? new Uint8Array())
  const tweaked = (certificate: Parameters<typeof tellStory>[0]): string =>
    der(tellStory(certificate))
  const make = (certificate: string, at_ms: number = START_MS + 60_000): JsonObject => ({
    certificate,
    roots,
    at_ms,
  })
  const right = der(story)
  return [
    ['ok', 'ok', 'the certificate of the fetcher', make(right)],
    ['expired', 'certificate_expired', 'two hours later', make(right, START_MS + 7_200_000)],
    ['not-yet-valid', 'certificate_expired', 'an hour before', make(right, START_MS - 3_600_000)],
    [
      'root-unknown',
      'certificate_untrusted',
      'signed by somebody else',
      make(tweaked({ certificate: { child: { issuerKey: people.mallory } } })),
    ],
    [
      'authority-as-agent',
      'certificate_invalid',
      'a root as a leaf',
      make(toHex(story.rootCertificate)),
    ],
    [
      'no-path',
      'spiffe_id_invalid',
      'an id that is none',
      make(tweaked({ certificate: { child: { uri: 'https://example.com/a' } } })),
    ],
    ['truncated', 'certificate_invalid', 'a byte less', make(right.slice(0, -2))],
  ]
}

function receiptRows(story: Story): readonly Row[] {
  const trust = anchorOf(story)
  const receipt = story.log.receipt(8)
  const text = utf8Decode(formatReceipt(receipt))
  const other = tellStory({ origin: 'log.example/logs/other' })
  const make = (one: string): JsonObject => ({ trust, receipt: one })
  const formatted = (patch: Partial<typeof receipt>): string =>
    utf8Decode(formatReceipt({ ...receipt, ...patch }))
  return [
    ['ok', 'ok', 'the receipt of the action', make(text)],
    ['index-other', 'malformed', 'the path of another index', make(formatted({ index: 7 }))],
    [
      'entry-changed',
      'inclusion_mismatch',
      'another entry',
      make(formatted({ entry: story.log.entries[7] ?? receipt.entry })),
    ],
    [
      'head-of-other-log',
      'origin_mismatch',
      'a head of a log that is not trusted',
      make(formatted({ head: other.log.head() })),
    ],
    [
      'head-by-other-key',
      'key_unknown',
      'a head that an operator signed',
      make(formatted({ head: story.log.head(people.operator) })),
    ],
    [
      'head-with-extension',
      'malformed',
      'a head with an extension line',
      make(formatted({ head: story.log.head(story.log.key, ['more']) })),
    ],
    ['format-other', 'version_unknown', 'version 2', make(text.replace('receipt/1', 'receipt/2'))],
    [
      'member-unknown',
      'malformed',
      'a member that is not listed',
      make(text.replace('{', '{"note":1,')),
    ],
  ]
}

function flip(hash: Uint8Array = new Uint8Array(32)): string {
  const flipped = new Uint8Array(hash)
  flipped[0] = ((flipped[0] ?? 0) + 128) % 256
  return toHex(flipped)
}

/** Changes a digit in the middle of the signature. */
function flipDigit(head: string): string {
  const at = head.length - 20
  return `${head.slice(0, at)}${head.charAt(at) === 'A' ? 'B' : 'A'}${head.slice(at + 1)}`
}
