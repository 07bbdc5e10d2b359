/**
 * @module Reads what a policy returned. Strict and total: whatever is not exactly the agreed document is a denial.
 *
 * Imports nothing that runs: the policy's worker loads it.
 */
import { gateDenial } from './reasons.ts'
import type { Verdict } from './reasons.ts'

/** Most reasons and most matched rules that one result may give. */
export const RESULT_NAMES_MAX = 256
/** Most obligations of one result. */
export const OBLIGATIONS_MAX = 16
/** Longest result as JSON, in UTF-8 bytes: an entry must hold it beside a whole statement (FORMAT §1.4). */
export const RESULT_BYTES_MAX = 16_384

const FIELDS: readonly string[] = ['effect', 'matched', 'obligations', 'reasons']
/** FORMAT §10.3: names stand in the log in the clear, for ever. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/
const EFFECTS: ReadonlySet<unknown> = new Set(['allow', 'deny', 'require_approval'])

/**
 * Turns the result set of one evaluation into a verdict.
 *
 * The set must hold exactly one `{result}`, and that exactly effect, reasons, matched and obligations. OPA gives sets
 * in the order of its hashes, so names are sorted here and repeated ones dropped.
 *
 * @returns The verdict; a denial with `gate_result_count`, `gate_result_shape`, `gate_result_limit` or
 *   `gate_allow_with_reasons` where the policy did not keep to the interface.
 */
export function readVerdict(resultSet: unknown): Verdict {
  if (!Array.isArray(resultSet) || resultSet.length !== 1) return gateDenial('gate_result_count')
  const result: unknown = isRecord(resultSet[0]) ? resultSet[0]['result'] : undefined
  if (!isRecord(result) || Object.keys(result).length !== FIELDS.length) {
    return gateDenial('gate_result_shape')
  }
  if (!FIELDS.every((name) => Object.hasOwn(result, name))) return gateDenial('gate_result_shape')
  const { effect, reasons, matched, obligations } = result
  if (!isEffect(effect) || !isNames(reasons) || !isNames(matched) || !isNames(obligations)) {
    return gateDenial('gate_result_shape')
  }
  const tooMany =
    reasons.length > RESULT_NAMES_MAX ||
    matched.length > RESULT_NAMES_MAX ||
    obligations.length > OBLIGATIONS_MAX ||
    // Names are ASCII: each character is a byte.
    JSON.stringify(result).length > RESULT_BYTES_MAX
  if (tooMany) return gateDenial('gate_result_limit')
  if (effect === 'allow' && reasons.length > 0) return gateDenial('gate_allow_with_reasons')
  // Without a name nobody could say what is to be approved, nor whether it was.
  if (effect === 'require_approval' && reasons.length === 0) return gateDenial('gate_result_shape')
  return {
    effect,
    reasons: sorted(reasons),
    matched: sorted(matched),
    obligations: sorted(obligations),
    reproducible: true,
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isEffect(value: unknown): value is Verdict['effect'] {
  return EFFECTS.has(value)
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isName)
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value) && !value.startsWith('gate_')
}

function sorted(names: readonly string[]): readonly string[] {
  return names.length < 2 ? names : [...new Set(names)].toSorted()
}
