/**
 * @module A verified evidence bundle in words, for a person: which agent did this, who authorized it, how was it or is it
 * stopped; then each check, and what none of them says. Plain text, at most 100 columns but for a word that is longer.
 */
import type {
  EvidenceAction,
  EvidenceDecision,
  EvidenceReport,
  EvidenceRevocation,
  NotProven,
} from './evidence-report.ts'
import { canonicalJson } from './json.ts'
import { utf8Decode } from './bytes.ts'

const COLUMNS = 100

const VERDICTS: Readonly<Record<EvidenceAction['verdict'], string>> = {
  matched: 'The log matched it to an allow of exactly this action.',
  absent: 'NOT AUTHORIZED: the log found no decision for it.',
  mismatched:
    'NOT AUTHORIZED: the decision that it names is of another agent or for another action.',
  denied: 'NOT AUTHORIZED: the decision that it names was no allow.',
  spent: 'NOT AUTHORIZED: an earlier action had used the decision up.',
  revoked: 'NOT AUTHORIZED: the agent, or one above it, was revoked before.',
  late: 'NOT AUTHORIZED: it was logged too long after it was signed, or after the permit, or the certificate had ended.',
  expired: 'NOT AUTHORIZED: it began, by its own word, before or after the life of the permit.',
}

const NOT_PROVEN: Readonly<Record<NotProven, string>> = {
  no_revocation:
    'that nothing more was revoked: a revocation that is not in the bundle leaves no trace in it',
  single_use: 'that no earlier action used the decision',
  policy_active: 'that no other policy was put in force between that one and the decision',
  decision_unique: 'that the log gave this id and this request to no other entry',
  decision_absent: 'that no decision of this id was in the log',
  spent: 'that an earlier action had used the decision: the entry of that action is not here',
  revoked: 'that the agent, or one above it, was revoked: the entry of the revocation is not here',
}

/**
 * Explains a report in plain text.
 *
 * @returns Lines of at most 100 columns, the last one ended.
 */
export function explainEvidence(report: EvidenceReport): string {
  const { head, origin, action } = report
  const title = `Evidence about entry ${action.index} of ${origin} (head of size ${head.size})`
  const kind = report.development ? ['The log says of itself that it is for development.'] : []
  const blocks: readonly (readonly string[])[] = [
    [title, ...kind, ...explainPredecessor(report)],
    ['WHICH AGENT DID THIS', ...bullets(explainAgent(report))],
    ['WHO AUTHORIZED IT', ...bullets(explainAuthority(report))],
    ['HOW WAS IT, OR IS IT, STOPPED', ...bullets(explainStop(report))],
    ['WHAT WAS CHECKED', ...bullets(report.steps.map(explainStep))],
    [
      'RECORDED BY THE LOG, NOT PROVEN HERE',
      ...bullets(report.recordedNotProven.map((word) => NOT_PROVEN[word])),
    ],
    ['WHAT THIS DOES NOT SHOW', ...bullets(report.notShown)],
  ]
  return `${blocks.map((lines) => lines.flatMap(wrap).join('\n')).join('\n\n')}\n`
}

function explainPredecessor({ predecessor }: EvidenceReport): readonly string[] {
  if (predecessor === null) return []
  const { origin, size } = predecessor
  return [
    `The log succeeds ${origin}, which ended at size ${size}: what that log acknowledged above is in neither.`,
  ]
}

function explainAgent({ agent, instance, scope, action }: EvidenceReport): readonly string[] {
  const { resource, outcome, timestamp, disclosed } = action
  const content = Object.entries(disclosed).filter(([name]) => name !== 'salt')
  return [
    `${agent}, as the instance ${instance}: its key signed the event, and the log holds the certificate of that key.`,
    `It says: ${action.action} on ${resource.type} "${resource.id}", ${outcome}, at ${timestamp}. The log took it in at ${time(action.timeMs)}.`,
    ...content.map(([name, value]) => `It disclosed ${name}: ${utf8Decode(canonicalJson(value))}`),
    `Its scope is ${list(scope)}.`,
  ]
}

function explainAuthority(report: EvidenceReport): readonly string[] {
  const { owner, chain, action, decision, policy } = report
  const links = chain.map(
    ({ instance, signedBy, scope, index, timeMs }) =>
      `${signedBy} gave ${instance} ${list(scope)}: signed by the key of the giver, entry ${index}, ${time(timeMs)}.`,
  )
  const enrolled = `${owner.principal} stands at the root. It was enrolled in entry ${owner.index} by ${owner.signers.join(' and ')} for agents named ${list(owner.patterns)}.`
  const gate = decision === null ? [] : [explainDecision(decision)]
  const rules =
    policy === null
      ? []
      : [
          `The policy was ${policy.revision} (digest ${policy.digest}), in force since entry ${policy.index} by ${policy.signers.join(' and ')}.`,
        ]
  return [enrolled, ...links, ...gate, ...rules, VERDICTS[action.verdict]]
}

function explainDecision(decision: EvidenceDecision): string {
  const { effect, index, instance, timeMs, reasons, matched, permitExpiresAtMs } = decision
  const why = reasons.length > 0 ? ` for ${list(reasons)}` : ''
  const by = matched.length > 0 ? `, by the rules ${list(matched)}` : ''
  const until = permitExpiresAtMs === null ? '' : `; the permit ended at ${time(permitExpiresAtMs)}`
  return `${instance} asked the gate at ${time(timeMs)} (entry ${index}) and got ${effect}${why}${by}${until}.`
}

function explainStop({
  revocations,
  chain,
  decision,
  instance: self,
}: EvidenceReport): readonly string[] {
  const ends = chain.map(
    ({ instance, notAfterMs, ceilingMs }) =>
      `${instance}: its certificate ends at ${time(notAfterMs)}, and no renewal lives beyond ${time(ceilingMs)}.`,
  )
  const epoch =
    decision === null
      ? []
      : [`When the decision was prepared the log counted ${decision.epoch} revocations in all.`]
  const known =
    revocations.length > 0
      ? revocations.map(explainRevocation)
      : [
          'No revocation is in this bundle. Ask the log, or a later bundle, whether there is one now.',
        ]
  const how = `It is stopped by revoking ${self}, its name, any agent above it, or the owner.`
  return [...known, ...epoch, ...ends, how]
}

function explainRevocation(revocation: EvidenceRevocation): string {
  const { target, by, reason, index, timeMs, beforeAction } = revocation
  const when = beforeAction ? 'before the action' : 'after the action'
  return `${target} was revoked (${reason}) by ${by} at ${time(timeMs)}, entry ${index}, ${when}.`
}

function explainStep({ name, ok, detail, index }: EvidenceReport['steps'][number]): string {
  return `${ok ? 'holds' : 'NOTE '} ${name}${index === null ? '' : ` (entry ${index})`}: ${detail}`
}

function bullets(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  - ${line}`)
}

function list(words: readonly string[]): string {
  return words.length === 0 ? 'nothing' : words.join(', ')
}

function time(ms: number): string {
  // The largest time that a date can hold is below the largest that an entry can.
  return ms > 8.64e15 ? `${ms} ms` : new Date(ms).toISOString()
}

/** Breaks a line at spaces; what follows is indented below its first word. A word that is too long is cut. */
function wrap(line: string): readonly string[] {
  const plain = printable(line)
  const indent = plain.startsWith('  - ') ? '    ' : ''
  const lines: string[] = []
  let rest = plain
  while (rest.length > COLUMNS) {
    const space = rest.lastIndexOf(' ', COLUMNS)
    const cut = space > indent.length ? space : COLUMNS
    lines.push(rest.slice(0, cut))
    rest = indent + rest.slice(cut).trimStart()
  }
  return [...lines, rest]
}

/**
 * Text as a terminal may show it: whoever wrote it, nothing in it moves the cursor or turns other text around.
 *
 * @param lengthMax - Characters after which it is cut, with `…` in the place of the rest; default: none.
 * @returns The same with control and format characters as `\u{…}`.
 */
export function printable(text: string, lengthMax: number = Number.POSITIVE_INFINITY): string {
  const shown = text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${Number(character.codePointAt(0)).toString(16)}}`,
  )
  return shown.length > lengthMax ? `${shown.slice(0, lengthMax)}…` : shown
}
