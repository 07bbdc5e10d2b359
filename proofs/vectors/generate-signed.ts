/** @module Vectors of notes, statements, disclosures, entries, certificates and receipts. */
import { concatBytes, fromHex, toHex, utf8Decode, utf8Encode } from '../bytes.ts'
import type { JsonObject } from '../json.ts'
import { formatVkey } from '../note.ts'
import { formatReceipt } from '../receipt.ts'
import { MEDIA_COSE, MEDIA_JOSE } from '../statement.ts'
import type { Expect, Row } from './generate-encodings.ts'
import { vectorKey } from './generate-keys.ts'
import { signStatement } from './generate-log.ts'
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

export function noteRows({ log }: Story): readonly Row[] {
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

export function headRows(story: Story): readonly Row[] {
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

export function statementRows(story: Story): readonly Row[] {
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
      'media-unknown',
      'envelope_unsupported',
      'another media type',
      make(right, { media: 'text/plain' }),
    ],
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

export function disclosureRows(): readonly Row[] {
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

export function entryRows({ log }: Story): readonly Row[] {
  const bytes = log.entries[8] ?? new Uint8Array()
  const entry = toHex(bytes)
  const row = (name: string, expect: Expect, description: string, text: string): Row => [
    name,
    expect,
    description,
    { entry: text },
  ]
  const kindHex = toHex(utf8Encode('action'))
  const { log: inCose } = tellStory({ media: MEDIA_COSE })
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
    row('ok-cose', 'ok', 'an action in COSE', toHex(inCose.entries[8] ?? new Uint8Array())),
    row(
      'media-of-other-envelope',
      'malformed',
      'a JWS that is said to be COSE',
      entry.replace(toHex(utf8Encode(MEDIA_JOSE)), toHex(utf8Encode(MEDIA_COSE))),
    ),
    row(
      'media-unknown',
      'malformed',
      'another media type',
      entry.replace(toHex(utf8Encode(MEDIA_JOSE)), toHex(utf8Encode('application/cbor'))),
    ),
    row(
      'type-of-other-kind',
      'malformed',
      'the entry of a decision that says action',
      toHex(log.entries[7] ?? bytes).replace(`68${toHex(utf8Encode('decision'))}`, `66${kindHex}`),
    ),
  ]
}

export function certificateRows(story: Story): readonly Row[] {
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

export function receiptRows(story: Story): readonly Row[] {
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

/** Changes a digit in the middle of the signature. */
function flipDigit(head: string): string {
  const at = head.length - 20
  return `${head.slice(0, at)}${head.charAt(at) === 'A' ? 'B' : 'A'}${head.slice(at + 1)}`
}
