/**
 * @module Runs one vector against the kit: the folder says which check, the input what is checked (vectors/README.md). It
 * throws what the kit throws, and nothing else if the vector has the form of one.
 */
import { fromHex, toHex, utf8Encode } from '../bytes.ts'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import { parseCertificate } from '../certificate.ts'
import { checkDisclosures, disclosableNames } from '../disclosure.ts'
import { decodeEntry, encodeEntry, parseEntryStatement } from '../entry.ts'
import { check } from '../errors.ts'
import { verifyEvidence } from '../evidence.ts'
import { openHead } from '../head.ts'
import {
  canonicalJson,
  jsonArray,
  jsonInteger,
  jsonObject,
  type JsonObject,
  jsonString,
  parseJson,
} from '../json.ts'
import { parseLineage, verifyLineage } from '../lineage.ts'
import { verifyConsistency, verifyInclusion } from '../merkle.ts'
import { openNote, parseVkey } from '../note.ts'
import type { Primitives } from '../primitives.ts'
import { openRange, parseRange } from '../range.ts'
import { verifyRange } from '../range-proof.ts'
import { openReceipt, parseReceipt } from '../receipt.ts'
import { followRotations } from '../rotations.ts'
import { isStrictlyContained, parseScope } from '../scope.ts'
import { MEDIA_COSE, parseStatement, receiveStatement, verifyStatement } from '../statement.ts'
import { followSuccessor } from '../successor.ts'
import { verifySvid } from '../svid.ts'
import { formatTrust, parseTrust, parseTrustAnchor, type Trust } from '../trust.ts'

/** Folders, each with the check of its vectors. */
export const CHECKS: ReadonlyMap<string, (p: Primitives, input: JsonObject) => void> = new Map([
  ['merkle/inclusion', checkInclusion],
  ['merkle/consistency', checkConsistency],
  ['merkle/range', checkRangeProof],
  ['cbor', (_, input) => checkCbor(input)],
  ['json', (_, input) => checkJson(input)],
  ['note', checkNote],
  ['head', checkHead],
  ['statement', checkStatement],
  ['received', (_, input) => checkReceived(input)],
  ['disclosure', checkDisclosure],
  ['entry', (_, input) => checkEntry(input)],
  ['scope', (_, input) => checkScope(input)],
  ['certificate', checkCertificate],
  ['receipt', checkReceipt],
  ['range', checkRange],
  ['lineage', checkLineage],
  ['evidence', checkEvidence],
  ['rotations', checkRotations],
  ['successor', checkSuccessor],
])

/** Runs the vector `input` of a folder. @throws {ProofError} what the kit refuses it with. */
export function checkVector(p: Primitives, folder: string, input: JsonObject): void {
  const run = CHECKS.get(folder)
  check(run !== undefined, 'malformed', `vectors: no folder ${folder}`)
  run(p, input)
}

function checkInclusion(p: Primitives, input: JsonObject): void {
  verifyInclusion(p, {
    leafIndex: jsonInteger(input['leaf_index'], 'leaf_index'),
    treeSize: jsonInteger(input['tree_size'], 'tree_size'),
    leafHash: hex(input, 'leaf_hash'),
    path: hexes(input, 'path'),
    root: hex(input, 'root'),
  })
}

function checkConsistency(p: Primitives, input: JsonObject): void {
  verifyConsistency(p, {
    oldSize: jsonInteger(input['old_size'], 'old_size'),
    newSize: jsonInteger(input['new_size'], 'new_size'),
    oldRoot: hex(input, 'old_root'),
    newRoot: hex(input, 'new_root'),
    path: hexes(input, 'path'),
  })
}

function checkRangeProof(p: Primitives, input: JsonObject): void {
  verifyRange(p, {
    start: jsonInteger(input['start'], 'start'),
    treeSize: jsonInteger(input['tree_size'], 'tree_size'),
    leafHashes: hexes(input, 'leaf_hashes'),
    path: hexes(input, 'path'),
    root: hex(input, 'root'),
  })
}

function checkCbor(input: JsonObject): void {
  const bytes = hex(input, 'bytes')
  const again = encodeCbor(decodeCbor(bytes))
  check(
    toHex(again) === toHex(bytes),
    'not_canonical',
    'cbor: another encoding than the one written',
  )
}

function checkJson(input: JsonObject): void {
  const canonical = toHex(canonicalJson(parseJson(hex(input, 'bytes'))))
  const expected = jsonString(input['canonical'], 'canonical')
  check(canonical === expected, 'not_canonical', 'json: another canonical form')
}

function checkNote(p: Primitives, input: JsonObject): void {
  const keys = texts(input, 'keys').map((vkey) => parseVkey(p, vkey))
  openNote(p, utf8Encode(string(input, 'note')), keys)
}

function checkHead(p: Primitives, input: JsonObject): void {
  const keys = texts(input, 'keys').map((vkey) => parseVkey(p, vkey))
  openHead(p, utf8Encode(string(input, 'head')), keys, string(input, 'origin'))
}

function checkStatement(p: Primitives, input: JsonObject): void {
  const media = string(input, 'media')
  const read = media === MEDIA_COSE ? hex : string
  const statement = parseStatement(read(input, 'statement'), media)
  const spki = hex(input, 'spki')
  const [origin, type] = [string(input, 'origin'), string(input, 'type')]
  verifyStatement(p, statement, { spki, origin, type })
}

function checkReceived(input: JsonObject): void {
  const { statement } = receiveStatement(hex(input, 'statement'), string(input, 'media'))
  const isStored = toHex(statement.bytes) === string(input, 'stored')
  check(isStored, 'not_canonical', 'received: kept in another form')
}

function checkDisclosure(p: Primitives, input: JsonObject): void {
  const payload = jsonObject(input['payload'], 'payload')
  const names = disclosableNames(string(input, 'type'))
  checkDisclosures(p, payload, texts(input, 'disclosures'), names)
}

function checkEntry(input: JsonObject): void {
  const bytes = hex(input, 'entry')
  const entry = decodeEntry(bytes)
  parseEntryStatement(entry)
  check(toHex(encodeEntry(entry)) === toHex(bytes), 'not_canonical', 'entry: another encoding')
}

function checkScope(input: JsonObject): void {
  const inner = parseScope(texts(input, 'inner'))
  const outer = parseScope(texts(input, 'outer'))
  const strict = isStrictlyContained(inner, outer)
  check(strict, 'scope_not_contained', 'inner: not strictly contained in outer')
}

function checkCertificate(p: Primitives, input: JsonObject): void {
  const roots = hexes(input, 'roots').map(parseCertificate)
  const leaf = parseCertificate(hex(input, 'certificate'))
  verifySvid(p, leaf, roots, jsonInteger(input['at_ms'], 'at_ms'))
}

function checkReceipt(p: Primitives, input: JsonObject): void {
  const trust = parseTrust(p, utf8Encode(string(input, 'trust')))
  openReceipt(p, parseReceipt(utf8Encode(string(input, 'receipt'))), trust)
}

function checkRange(p: Primitives, input: JsonObject): void {
  const trust = parseTrust(p, utf8Encode(string(input, 'trust')))
  openRange(p, parseRange(utf8Encode(string(input, 'range'))), trust)
}

function checkLineage(p: Primitives, input: JsonObject): void {
  const owner = jsonObject(input['owner'], 'owner')
  verifyLineage(p, {
    certificate: hex(input, 'certificate'),
    lineage: parseLineage(utf8Encode(string(input, 'lineage'))),
    trust: parseTrust(p, utf8Encode(string(input, 'trust'))),
    origin: string(input, 'origin'),
    trustDomain: string(input, 'trust_domain'),
    roots: hexes(input, 'roots'),
    owner: { key: hex(owner, 'key'), patterns: texts(owner, 'patterns') },
    atMs: jsonInteger(input['at_ms'], 'at_ms'),
  })
}

function checkEvidence(p: Primitives, input: JsonObject): void {
  const trust = parseTrust(p, utf8Encode(string(input, 'trust')))
  const report = verifyEvidence(p, utf8Encode(string(input, 'evidence')), trust)
  const verdict = string(input, 'verdict')
  // No code of the kit: a bundle that is accepted with another verdict must not pass for one that is refused.
  if (report.action.verdict !== verdict)
    throw new Error(`verdict ${report.action.verdict}, not ${verdict}`)
}

function checkRotations(p: Primitives, input: JsonObject): void {
  const trust = parseTrust(p, utf8Encode(string(input, 'trust')))
  expectTrust(p, input, followRotations(p, utf8Encode(string(input, 'rotations')), trust))
}

function checkSuccessor(p: Primitives, input: JsonObject): void {
  const trust = parseTrust(p, utf8Encode(string(input, 'trust')))
  const anchor = parseTrustAnchor(p, string(input, 'anchor'))
  expectTrust(p, input, followSuccessor(p, trust, anchor, hex(input, 'genesis')))
}

function expectTrust(p: Primitives, input: JsonObject, followed: Trust): void {
  const text = formatTrust(p, followed)
  if (text !== string(input, 'followed')) throw new Error(`followed to ${text}`)
}

function string(input: JsonObject, name: string): string {
  return jsonString(input[name], name)
}

function texts(input: JsonObject, name: string): readonly string[] {
  return jsonArray(input[name], name).map((one) => jsonString(one, name))
}

function hex(input: JsonObject, name: string): Uint8Array {
  return fromHex(string(input, name), name)
}

function hexes(input: JsonObject, name: string): readonly Uint8Array[] {
  return texts(input, name).map((text) => fromHex(text, name))
}
