/**
 * @module The client of one log. It starts from a trust anchor that came from elsewhere, and learns nothing that it
 * trusts from the service: what an answer says is taken out of a receipt that verifies under the anchor, or not at
 * all.
 */
import {
  type CborMap,
  cborText,
  contentDigest,
  type Entry,
  equalBytes,
  followRotations,
  fromBase64url,
  type Genesis,
  type Hash,
  type Head,
  jsonArray,
  type JsonObject,
  jsonObject,
  jsonString,
  matchReceipt,
  type NoteSignature,
  type OpenedReceipt,
  openReceipt,
  openTrustedHead,
  parseEntryStatement,
  parseNote,
  parseReceipt,
  type Primitives,
  type Receipt,
  type Trust,
  trustFor,
  utf8Decode,
  utf8Encode,
} from '@trustwarden/proofs'
import {
  ANSWER_BYTES_MAX,
  BYTES_MAX,
  objectOf,
  problemIn,
  problemOf,
  readResults,
  receiptIn,
} from './answer.ts'
import { type ConnectOptions, openGenesis, readTrust, readUrl } from './connection.ts'
import { inSdkWords, TrustWardenError } from './errors.ts'
import { type Attachments, batchesOf, frame, type Frame } from './frame.ts'
import { Heads } from './heads.ts'
import { createPrimitives } from './primitives.ts'
import {
  type Envelope,
  mediaOf,
  type SignedStatement,
  signRead,
  type StatementSigner,
} from './statement.ts'
import { type HttpAnswer, isRetried, Transport } from './transport.ts'

/** What a single call may be told. */
export interface CallOptions {
  /** Gives up; what was sent may still be registered. */
  readonly signal?: AbortSignal | undefined
}

/** What a read of a path may be told besides. */
export interface ReadOptions extends CallOptions {
  /** Bytes of the answer: one that is longer is not read, but `answer_malformed`. 32 MiB by default. */
  readonly bytesMax?: number
}

/** A statement that is in the log: everything here is out of its receipt, which verified. */
export interface Registered {
  readonly index: number
  readonly kind: string
  /** The result word of FORMAT §6. */
  readonly outcome: string
  /** Ledger time, ms. */
  readonly timeMs: number
  readonly entry: Entry
  readonly receipt: Receipt
  /** Whether the service says that it was registered before, by an earlier attempt. */
  readonly repeated: boolean
  /** Content digest of the statement. */
  readonly digest: Hash
  /** What the service says besides, unverified: a certificate, a permit. */
  readonly answer: JsonObject
}

/** A client of one log: who uses it comes with each call, so agents and people share it. */
export class TrustWarden {
  /** Origin of the log. */
  readonly origin: string
  /** The genesis of the log, of the hash that the trust anchor names. */
  readonly genesis: Genesis
  readonly genesisEntry: Uint8Array
  readonly heads: Heads
  readonly primitives: Primitives
  /** In which envelope agents and people sign through this client. */
  readonly envelope: Envelope
  /** What is trusted: grows with the rotations of the log key, each proven under the key before. */
  #trust: Trust
  /** Whether a head was signed by a key that is not trusted yet, as both sign after a rotation. */
  #isRotated = false
  #notedHead = ''
  readonly #base: URL
  readonly #transport: Transport

  private constructor(parts: {
    readonly base: URL
    readonly transport: Transport
    readonly primitives: Primitives
    readonly heads: Heads
    readonly trust: Trust
    readonly genesis: Genesis
    readonly genesisEntry: Uint8Array
    readonly envelope: Envelope
  }) {
    this.#base = parts.base
    this.#transport = parts.transport
    this.primitives = parts.primitives
    this.heads = parts.heads
    this.#trust = parts.trust
    this.genesis = parts.genesis
    this.genesisEntry = parts.genesisEntry
    this.envelope = parts.envelope
    this.origin = parts.genesis.origin
  }

  /**
   * Connects: reads what the service says of itself and holds it against the trust anchor.
   *
   * @throws TrustWardenError `argument_invalid`; `service_untrusted` if genesis or root certificates are not those
   *   of the anchor; `service_unreachable`; `answer_malformed`; `answer_unexpected`; `receipt_invalid` for a checkpoint
   *   that is not the log's.
   * @see FORMAT §13
   */
  static async connect(options: ConnectOptions): Promise<TrustWarden> {
    const base = readUrl(options.url, options.allowPlaintext ?? false)
    const primitives = createPrimitives()
    const { trust, log } = readTrust(primitives, options)
    const transport = new Transport(options)
    const url = new URL(`${base.href.replace(/\/$/, '')}/.well-known/trustwarden`)
    const answer = await transport.request({ method: 'GET', url, bytesMax: BYTES_MAX.service })
    if (answer.status !== 200) throw problemOf(answer)
    const genesisEntry = inSdkWords('answer_malformed', '/.well-known/trustwarden', () =>
      fromBase64url(jsonString(objectOf(answer.bytes)['genesis'], 'genesis'), 'genesis'),
    )
    const genesis = openGenesis(primitives, log, genesisEntry)
    const heads = new Heads(primitives, options.headIntervalMs ?? 1000)
    const { envelope = 'jws' } = options
    mediaOf(envelope)
    const parts = { base, transport, primitives, heads, trust, genesis, genesisEntry, envelope }
    const client = new TrustWarden(parts)
    await client.checkpoint()
    return client
  }

  /** What this client trusts by now: as given, and every key that it followed since. */
  get trust(): Trust {
    return this.#trust
  }

  /** The organisation's trust domain, from genesis. */
  get trustDomain(): string {
    return this.genesis.trustDomain
  }

  /**
   * Reads the log's latest checkpoint, verifies it and holds it against every head seen before.
   *
   * @returns The note as it travels, and what it says.
   * @throws TrustWardenError `receipt_invalid`, `log_forked`, and as every request.
   */
  async checkpoint(options: CallOptions = {}): Promise<{ note: string; head: Head }> {
    const answer = await this.#get('/checkpoint', undefined, {
      ...options,
      bytesMax: BYTES_MAX.checkpoint,
    })
    const note = inSdkWords('receipt_invalid', 'checkpoint', () => {
      const text = utf8Decode(answer.bytes, 'checkpoint')
      this.#noteSigners(text)
      return text
    })
    await this.#followIfRotated(options)
    const opened = inSdkWords('receipt_invalid', 'checkpoint', () => {
      return { note, head: openTrustedHead(this.primitives, this.trust, note) }
    })
    if (opened.head.origin !== this.origin)
      throw new TrustWardenError('receipt_invalid', 'checkpoint: of another log')
    this.heads.observe(opened.head)
    return opened
  }

  /**
   * Follows the rotations of the log key that the service proves, each under the key before it.
   *
   * @returns What is trusted from now on.
   * @throws TrustWardenError `receipt_invalid` for a proof that does not hold, and as every request.
   * @see FORMAT §13.3
   */
  async followRotations(options: CallOptions = {}): Promise<Trust> {
    const { bytes } = await this.#get('/v1/rotations', undefined, {
      ...options,
      bytesMax: BYTES_MAX.rotations,
    })
    this.#trust = inSdkWords('receipt_invalid', 'rotations', () =>
      followRotations(this.primitives, bytes, this.#trust),
    )
    this.#isRotated = false
    return this.#trust
  }

  /** Connects the heads seen so far by consistency proofs, now. @throws TrustWardenError `log_forked`, as a read */
  async confirmHeads(
    signer: StatementSigner | undefined,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#confirm(signer, options, true)
  }

  /**
   * Registers one statement at `/v1/statements`, `/v1/agents` or the evaluation endpoint.
   *
   * @throws TrustWardenError the service's code for a refusal, with its receipt where it is recorded;
   *   `receipt_invalid`; `receipt_mismatch`; `log_forked`; and as every request.
   */
  async submit(
    route: 'statements' | 'agents' | 'evaluation',
    signed: SignedStatement,
    options: CallOptions & Attachments = {},
  ): Promise<Registered> {
    if (route === 'statements') {
      const [result] = await this.submitMany([signed], options)
      if (result instanceof TrustWardenError) throw result
      if (result === undefined) throw new TrustWardenError('answer_malformed', 'no result')
      return result
    }
    await this.#confirm(signed.signer, options, false)
    const path = route === 'agents' ? this.#logPath('/v1/agents') : '/access/v1/evaluation'
    const answer = await this.#post(path, frame(signed, options), options)
    if (answer.status !== 200 && answer.status !== 201) throw this.#refusal(answer, signed)
    return inSdkWords('answer_malformed', path, () => {
      const body = objectOf(answer.bytes)
      const context = route === 'agents' ? body : jsonObject(body['context'], 'context')
      return this.#registered(signed, context, body)
    })
  }

  /**
   * Registers statements, as few requests as their size permits; those that meet "not now" are sent again as they are.
   *
   * @returns For each, in order, its entry or why there is none.
   * @throws TrustWardenError where whole requests fail; what earlier requests registered stays registered, and a retry
   *   of the same statements finds it.
   */
  async submitMany(
    statements: readonly SignedStatement[],
    options: CallOptions & Attachments = {},
  ): Promise<readonly (Registered | TrustWardenError)[]> {
    const [first] = statements
    if (first === undefined) return []
    await this.#confirm(first.signer, options, false)
    const results = new Map<SignedStatement, Registered | TrustWardenError>()
    const frames = statements.map((signed) => ({ signed, json: frame(signed, options) }))
    for (let attempt = 1, rest: readonly Frame[] = frames; rest.length > 0; attempt++) {
      for (const batch of batchesOf(rest)) await this.#submitBatch(batch, results, options)
      rest = rest.filter(({ signed }) => {
        const result = results.get(signed)
        return result instanceof TrustWardenError && isRetried(result.status ?? 0)
      })
      if (attempt >= this.#transport.attempts) break
      if (rest.length > 0) await this.#transport.pause(attempt, null, options.signal)
    }
    return statements.map(
      (signed) => results.get(signed) ?? new TrustWardenError('answer_malformed', 'no result'),
    )
  }

  /**
   * Reads something that needs a role, by a signed request (FORMAT §3.5).
   *
   * @param signer - `undefined` where anyone may read.
   * @param path - Under the log, such as `/v1/entries/7`.
   */
  async read(
    signer: StatementSigner | undefined,
    path: string,
    options: ReadOptions = {},
  ): Promise<JsonObject> {
    const answer = await this.#get(path, signer, options)
    return inSdkWords('answer_malformed', path, () => objectOf(answer.bytes))
  }

  /** Reads bytes under the log that need a role, such as an entry bundle. */
  async readBytes(
    signer: StatementSigner | undefined,
    path: string,
    options: ReadOptions = {},
  ): Promise<Uint8Array> {
    return (await this.#get(path, signer, options)).bytes
  }

  /**
   * Opens a receipt under the trust anchor, and holds its head against every head seen before.
   *
   * @throws TrustWardenError `receipt_invalid`, `log_forked`.
   */
  open(receipt: Receipt): OpenedReceipt {
    inSdkWords('receipt_invalid', 'receipt', () => this.#noteSigners(receipt.head))
    const opened = inSdkWords('receipt_invalid', 'receipt', () =>
      openReceipt(this.primitives, receipt, this.trust),
    )
    if (opened.head.origin !== this.origin)
      throw new TrustWardenError('receipt_invalid', 'receipt: of another log')
    this.heads.observe(opened.head)
    return opened
  }

  /** Remembers that a head has a signature in the log's name by a key that is not known yet. */
  #noteSigners(note: string): void {
    // The receipts of one answer share a head.
    if (note === this.#notedHead) return
    this.#notedHead = note
    const known = trustFor(this.#trust, this.origin).keys.map(({ key }) => key)
    const isUnknown = ({ name, keyId }: NoteSignature) =>
      name === this.origin && !known.some((key) => equalBytes(key.keyId, keyId))
    this.#isRotated ||= parseNote(utf8Encode(note)).signatures.some(isUnknown)
  }

  /** Learns the new key while the old one still signs. Whether that went well shows when the next head is opened. */
  async #followIfRotated(options: CallOptions): Promise<void> {
    if (!this.#isRotated) return
    this.#isRotated = false
    await this.followRotations(options).catch(() => undefined)
  }

  async #confirm(
    signer: StatementSigner | undefined,
    options: CallOptions,
    force: boolean,
  ): Promise<void> {
    await this.#followIfRotated(options)
    await this.heads.confirm(async (from, to) => {
      const path = `/v1/proofs/consistency?from=${from}&to=${to}`
      const answer = await this.read(signer, path, { ...options, bytesMax: BYTES_MAX.proof })
      return inSdkWords('answer_malformed', path, () =>
        jsonArray(answer['path'], 'path').map((hash) => fromBase64url(jsonString(hash, 'path'))),
      )
    }, force)
  }

  #registered(signed: SignedStatement, said: JsonObject, answer: JsonObject): Registered {
    const receipt = inSdkWords('receipt_invalid', 'receipt', () =>
      parseReceipt(jsonObject(said['receipt'], 'receipt')),
    )
    const opened = this.open(receipt)
    const { statement, signer } = signed
    inSdkWords('receipt_mismatch', 'receipt', () => {
      const { kind } = opened.entry
      // Bytes that we signed ourselves need no second look at their signature.
      if (equalBytes(opened.entry.statement, statement.bytes)) parseEntryStatement(opened.entry)
      else matchReceipt(this.primitives, opened, statement, signer.key.spki)
      const refused = kind === 'agent.refuse' && statement.header.type === 'agent.issue'
      if (kind !== statement.header.type && !refused)
        throw new TrustWardenError('receipt_mismatch', `receipt: entry of kind ${kind}`)
    })
    return {
      index: opened.index,
      kind: opened.entry.kind,
      outcome: outcomeWord(opened.entry.outcome),
      timeMs: opened.entry.timeMs,
      entry: opened.entry,
      receipt,
      repeated: said['repeated'] === true,
      digest: contentDigest(this.primitives, statement),
      answer,
    }
  }

  /** A refusal, with its receipt verified where the service says that it is recorded. */
  #refusal(answer: HttpAnswer, signed: SignedStatement): TrustWardenError {
    const error = problemOf(answer)
    const receipt = receiptIn(answer.bytes)
    if (receipt === undefined) return error
    const registered = this.#registered(signed, { receipt }, {})
    if (registered.kind !== 'agent.refuse' || registered.outcome !== error.code)
      return new TrustWardenError(
        'receipt_mismatch',
        `refused with ${error.code}, but the log recorded ${registered.outcome}`,
        { status: answer.status },
      )
    const { status, message } = error
    return new TrustWardenError(error.code, message, { status, receipt: registered.receipt })
  }

  async #submitBatch(
    batch: readonly Frame[],
    results: Map<SignedStatement, Registered | TrustWardenError>,
    options: CallOptions,
  ): Promise<void> {
    const path = this.#logPath('/v1/statements')
    const body = `{"statements":[${batch.map(({ json }) => json).join(',')}],"receipts":"shared"}`
    const answer = await this.#post(path, body, options)
    if (answer.status !== 200) throw problemOf(answer)
    const list = inSdkWords('answer_malformed', path, () => {
      const statements = batch.map(({ signed }) => signed.statement.bytes)
      return readResults(objectOf(answer.bytes), statements)
    })
    for (const [at, { signed }] of batch.entries()) {
      const result = list[at] ?? {}
      if (result['status'] === 'refused') {
        results.set(signed, problemIn(result['problem']))
      } else {
        results.set(signed, this.#registered(signed, result, result))
      }
    }
  }

  #logPath(path: string): string {
    return `/logs/${this.origin.slice(this.origin.lastIndexOf('/') + 1)}${path}`
  }

  #url(path: string): URL {
    return new URL(`${this.#base.href.replace(/\/$/, '')}${path}`)
  }

  async #get(
    path: string,
    signer: StatementSigner | undefined,
    { signal, bytesMax = ANSWER_BYTES_MAX }: ReadOptions,
  ): Promise<HttpAnswer> {
    this.heads.assertWhole()
    const url = this.#url(this.#logPath(path))
    const answer = await this.#transport.request({
      method: 'GET',
      url,
      bytesMax,
      signal,
      ...(signer === undefined
        ? {}
        : { authorization: () => signRead(signer, this.origin, url.pathname + url.search) }),
    })
    if (answer.status !== 200) throw problemOf(answer)
    return answer
  }

  async #post(path: string, body: string, { signal }: CallOptions): Promise<HttpAnswer> {
    this.heads.assertWhole()
    const url = this.#url(path)
    const bytesMax = ANSWER_BYTES_MAX
    return this.#transport.request({ method: 'POST', url, body, bytesMax, signal })
  }
}

/** The result word of an outcome (FORMAT §6). */
export function outcomeWord(outcome: CborMap): string {
  return cborText(outcome.get(0), 'outcome')
}
