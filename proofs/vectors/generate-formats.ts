/** @module Vectors of everything below lineages and evidence, put together. */
import type { VectorCase } from './generate-cases.ts'
import {
  CBOR,
  consistencyRows,
  hexRow,
  inclusionRows,
  jsonRows,
  type Row,
  scopeRow,
  SCOPES,
} from './generate-encodings.ts'
import { receivedRows } from './generate-received.ts'
import {
  certificateRows,
  disclosureRows,
  entryRows,
  headRows,
  noteRows,
  receiptRows,
  statementRows,
} from './generate-signed.ts'
import { rangeProofRows, rangeRows } from './generate-range.ts'
import { coseRows } from './generate-statement-cose.ts'
import { tellStory } from './generate-story.ts'

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

/** All of them. */
export function formatCases(): readonly VectorCase[] {
  const story = tellStory()
  return [
    ...cases('merkle/inclusion', 'RFC 9162 §2.1.3.2', inclusionRows()),
    ...cases('merkle/consistency', 'RFC 9162 §2.1.4.2', consistencyRows()),
    ...cases('merkle/range', 'FORMAT §11.4', rangeProofRows()),
    ...cases('cbor', 'FORMAT §1.1; RFC 8949 §4.2.1', CBOR.map(hexRow)),
    ...cases('json', 'FORMAT §1.2; RFC 7493; RFC 8785', jsonRows()),
    ...cases('note', 'C2SP signed-note v1.0.0', noteRows(story)),
    ...cases('head', 'FORMAT §11.1; C2SP tlog-checkpoint', headRows(story)),
    ...cases('statement', 'FORMAT §3', [...statementRows(story), ...coseRows()]),
    ...cases('received', 'FORMAT §3.1', receivedRows()),
    ...cases('disclosure', 'FORMAT §4; RFC 9901 §4.2', disclosureRows()),
    ...cases('entry', 'FORMAT §5, §6', entryRows(story)),
    ...cases('scope', 'FORMAT §7.1', SCOPES.map(scopeRow)),
    ...cases('certificate', 'FORMAT §8; X509-SVID', certificateRows(story)),
    ...cases('receipt', 'FORMAT §11.3', receiptRows(story)),
    ...cases('range', 'FORMAT §11.5', rangeRows(story)),
  ]
}
