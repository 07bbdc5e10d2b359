/**
 * @module What to do about an error that stops a command: a way on for every code that an operator can do something about.
 */

const LOST_RECORD =
  'if the record is lost: take size and root of the latest checkpoint that somebody else holds, and start with ' +
  '"serve --accept-head SIZE:ROOT" (the second and third line of the checkpoint). The start holds the log against it'

const ENCODED =
  'whatever serves it compresses what it was asked for as it is: switch that off, or give an address without it'

const ADVICE: Readonly<Record<string, string>> = {
  store_locked: 'another process has this log open: stop it first',
  head_record_locked: 'another process has this log open: stop it first',
  store_missing:
    '--data is not the directory that init made, or its database was removed: restore it',
  store_moved:
    'what was acknowledged before lies where the directory was moved to: put it back, then start. If it was removed: restore, ' +
    'then "trustwarden recover"',
  store_open_failed:
    'if no space is left make room, and start again: nothing is lost. If a file is missing or damaged keep the directory and restore',
  journals_not_kept:
    'if the disk is full, free at least so many bytes there, then start again; nothing in the database may go but kept-* ' +
    'directories that a start has named and that you looked into',
  head_record_missing: `--head names where the record lies (default: <data>.head); ${LOST_RECORD}`,
  head_record_corrupt: LOST_RECORD,
  store_behind_record:
    'the data is older than the record, a restored copy perhaps: put the newest back, then "trustwarden recover --data DIR ' +
    '--head DIR --from BACKUP" fetches what a backup has, disclosures included, and "--from MIRROR" what came after it. A log ' +
    'that lost acknowledged entries stays closed',
  archive_incomplete: 'the backup was cut off; the command that made it goes on where it ended',
  archive_redirected: 'redirects are not followed: give that address in place of this one',
  archive_encoded: ENCODED,
  archive_failed:
    'make room, or correct the path, and run the same command again: it goes on from what is there',
  target_exists: 'nothing is overwritten: choose another name, or move what is there away',
  target_is_mount:
    "the data directory is a directory on a disk, not the disk's mount point: give --to a directory below, and serve with " +
    '--data that',
  archive_forked:
    'two histories are signed by one log, or a copy is of another: keep both as they are, and compare them with a head in ' +
    "somebody else's hands",
  source_behind:
    'look for a mirror or backup that has more: first "trustwarden recover --data DIR --head DIR --from BACKUP", which brings ' +
    'disclosures too, then "--from MIRROR". Where none has the entries up to the head record the log stays closed: they were ' +
    'acknowledged, and receipts of them exist',
  policy_missing:
    'give the file by --pinned FILE: a backup has it under pinned/, a running service under /v1/pinned/{digest}',
  store_differs_from_record:
    'data and record are of two histories: restore the data that belongs to the record',
  fold_missing: '"trustwarden rebuild --data DIR" builds what this release adds',
  table_corrupt:
    'keep a copy of the directory; "trustwarden rebuild --data DIR" reads all entries and writes the folds anew if they are ' +
    'whole. If it ends with another error, restore',
  set_digest_mismatch: 'the entries are whole if "trustwarden rebuild --data DIR" says so',
  clock_ahead:
    'look at "date -u", set the clock right; if it is right, start once with "serve --accept-clock"',
  clock_behind:
    'look at "date -u", set the clock right; if it is right, an entry was dated ahead: start once that time has passed. No ' +
    'option takes it back',
  key_file_missing:
    "check the path; --keys names the directory of the service's own keys (default: <data>.keys), people's come from keygen",
  key_passphrase_required: 'give --passphrase-file F or --passphrase-fd N',
  key_passphrase_wrong: 'give the passphrase that the keys were made with',
  key_file_mode: 'make it readable by its owner alone: chmod 600',
  EEXIST: 'nothing is overwritten: choose another name',
  signer_unknown: 'is the key enrolled under this role? --as says which: operator, owner or reader',
  role_forbidden:
    '--as says under which role the key signs: reader, operator or owner; an operator enrols a reader by "trustwarden enroll reader PUB"',
  credential_missing:
    'this log is not open to read: give --key KEY, of an enrolled reader or operator',
  key_unknown:
    'if the log key was rotated give the trust file of now by --trust: "trustwarden trust update --trust T --url URL ' +
    '--out FILE" makes it, and "trustwarden trust show --data DIR" prints it where the log lies',
  answer_unexpected:
    'something before the service may have answered, a load balancer perhaps: does --url name the service?',
  answer_encoded: ENCODED,
  answer_redirected:
    'redirects are not followed: give that address with --url, up to its /.well-known, /logs or /access',
  certificate_untrusted: 'if it is of a private authority give --ca FILE',
  tls_file_missing:
    "check the path; the listener's certificate and its key are not the service's own keys",
  tls_key_mismatch: '--tls-cert and --tls-key name the two files of one pair',
  tls_chain_broken: 'the certificate comes first, then the one that issued it, and so on',
  tls_certificate_expired: 'get a new certificate; while a service runs it takes it by itself',
  EADDRINUSE: 'another process listens there: stop it, or choose another --port',
  EACCES: 'this user may not do that',
}

/** The way on from an error of `code`, or undefined. */
export function adviceFor(code: string): string | undefined {
  return Object.hasOwn(ADVICE, code) ? ADVICE[code] : undefined
}

/** Codes of what cannot be read, and so of exit code 2. */
export const UNREADABLE: ReadonlySet<string> = new Set([
  'ENOENT',
  'key_file_missing',
  'key_file_unreadable',
  'key_file_mode',
  'key_file_malformed',
  'key_unsupported',
  'tls_file_missing',
])
