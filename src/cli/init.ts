/**
 * @module `trustwarden init`: makes the service's keys and a log whose genesis names owner and operators.
 */
import { directoryPath } from '../config.ts'
import { encodePublicKey } from '../crypto.ts'
import type { InitReport } from '../init.ts'
import { readPublicKeyFile } from '../keys.ts'
import { type Command, placeFlags, readCall, UsageError } from './command.ts'
import { readNewPassphrase } from './passphrase.ts'
import { readSuccession } from './succession.ts'

function describe(
  report: InitReport,
  operators: number,
  threshold: number,
  passphraseFile: string | undefined,
): string {
  const alone =
    operators === 1
      ? '\nOne operator alone can enrol and change policy. Safer: a second --operator whose key is kept off-line, and\n' +
        '--threshold 1 (either), or three and --threshold 2.'
      : ''
  const plain = passphraseFile === undefined
  const clear = plain
    ? 'NOT encrypted: anyone who reads this directory is the service'
    : 'encrypted'
  return `made the log ${report.origin}, ${report.size} entries under its first head

  data         ${report.data}        entries, tiles, folds: back it up
  head record  ${report.head}   size and root of the last head: keep it on another disk; a restored old copy
               of the data shows itself only against it
  keys         ${report.keys}   the service's keys, ${clear}

operators ${operators}, of whom ${threshold} must sign an enrolment or a policy${alone}

Give this trust anchor to everyone who verifies; whoever has it need not trust this service:

${report.anchor}

Next: trustwarden serve ${placeFlags(report)}${plain ? '' : ` --passphrase-file ${passphraseFile}`}
      trustwarden trust show --data ${report.data} > anchor.txt
`
}

/** What a successor says besides. */
function followed(report: InitReport, lines: readonly string[] | undefined): string {
  if (lines === undefined) return ''
  return `\n${lines.join('\n')}\nTrust file that follows both logs, for everyone who verifies: ${report.trust ?? ''}\n`
}

/** See the module. */
export const init: Command = {
  usage:
    'init --data DIR --origin HOST/logs/NAME --trust-domain TD --owner PUB --operator PUB [--operator PUB …] ' +
    '[--threshold K] [--head DIR] [--keys DIR] [--passphrase-file F | --passphrase-fd N | --plain-keys] ' +
    '[--development] [--succeeds CHECKPOINT --predecessor TRUST [--predecessor-head DIR]] [--json]',
  summary: "make the service's keys and a new log; refuses what exists",
  run: async (args, io) => {
    const call = readCall(args, {
      values: [
        'data',
        'origin',
        'trust-domain',
        'owner',
        'threshold',
        'head',
        'keys',
        'passphrase-file',
        'passphrase-fd',
        'succeeds',
        'predecessor',
        'predecessor-head',
      ],
      repeated: ['operator'],
      switches: ['plain-keys', 'json', 'development'],
    })
    const data = directoryPath(call.required('data'))
    const operators = call.all('operator')
    if (operators.length === 0) throw new UsageError('--operator is missing')
    const given = call.optional('threshold') ?? '1'
    const threshold = /^\d{1,3}$/.test(given) ? Number(given) : 0
    if (threshold < 1 || threshold > operators.length)
      throw new UsageError(`--threshold is not from 1 to ${operators.length}`)
    const origin = call.required('origin')
    const trustDomain = call.required('trust-domain')
    const succession = await readSuccession(call)
    const spki = (path: string) => encodePublicKey(readPublicKeyFile(path)).spki
    const owner = spki(call.required('owner'))
    const passphrase = await readNewPassphrase(call, io, 'plain-keys')
    // Only now: a call that is wrong is told so without the whole service being loaded.
    const { initLog } = await import('../init.ts')
    const report = await initLog({
      data,
      head: call.optional('head') ?? `${data}.head`,
      keys: call.optional('keys') ?? `${data}.keys`,
      origin,
      trustDomain,
      development: call.has('development'),
      owner,
      operators: operators.map(spki),
      threshold,
      passphrase,
      ...(succession === undefined ? {} : { predecessor: succession }),
    })
    const file = passphrase === undefined ? undefined : (call.optional('passphrase-file') ?? 'F')
    if (call.has('json'))
      io.out(
        `${JSON.stringify({ ...report, ...(succession && { lost: succession.lost ?? null }) })}\n`,
      )
    else
      io.out(
        describe(report, operators.length, threshold, file) + followed(report, succession?.lines),
      )
    return 0
  },
}
