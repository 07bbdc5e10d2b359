/**
 * @module Runs one policy. Whatever goes wrong with it is a denial with a reason of its own, never an error and never
 * an allow (DESIGN §7).
 *
 * One host is one policy with one set of data for its whole life: a change of either is a new host, tried out by its
 * self-test before it replaces the old one.
 */
import { canonicalJson, jsonObject, parseJson, ProofError } from '@trustwarden/proofs'
import { ServiceError } from '../errors.ts'
import { GateInput } from './gate-input.ts'
import { compilePolicy, PolicyRefused } from './opa-gate.ts'
import { POLICY_BYTES_MAX } from './policy-pack.ts'
import { PolicyPool } from './policy-pool.ts'
import type { SelfTest } from './policy-worker.ts'
import { gateDenial } from './reasons.ts'
import type { Verdict } from './reasons.ts'

export type { SelfTest } from './policy-worker.ts'

/** Most self-tests of one policy: every instance runs them all. */
export const SELF_TESTS_MAX = 16
/** The memory of one instance by default, in pages of 64 KiB. */
export const MEMORY_PAGES: number = 256

/** The least that any policy must do: deny a request of which nothing is known. */
export const DENIES_NOTHING_KNOWN: SelfTest = {
  input: new TextEncoder().encode('{}'),
  effect: 'deny',
}

/** What a host runs, and within which limits. */
export interface PolicyHostOptions {
  /** A module of OPA's ABI 1.2 or later with the entrypoint `gate/decision` alone and no builtins of a host. */
  readonly wasm: Uint8Array
  /** I-JSON of one object: the policy's `data`. */
  readonly data: Uint8Array
  /** How many threads evaluate, 1 to 64. */
  readonly workers: number
  /** How long one evaluation may run before it is stopped, in ms. */
  readonly deadlineMs: number
  /** What the policy must answer before it is asked anything else, at most 16. */
  readonly selfTest: readonly SelfTest[]
  /** The memory of one instance, in pages of 64 KiB: 1 to 16,384, 256 (16 MiB) by default. */
  readonly memoryPages?: number
}

/** A policy, loaded and tried out. Holds worker threads until it is closed. */
export class PolicyHost {
  readonly #pool: PolicyPool

  private constructor(pool: PolicyPool) {
    this.#pool = pool
  }

  /**
   * Loads a policy: checks imports, builtins, entrypoints and data, and runs the self-test in every worker.
   *
   * @throws {ServiceError} `policy_invalid`, with the rule that the policy breaks. Nothing is left running then.
   * @throws {RangeError} If `workers`, `deadlineMs` or `memoryPages` is out of its range.
   */
  static async load(options: PolicyHostOptions): Promise<PolicyHost> {
    const { wasm, workers, deadlineMs, selfTest, memoryPages = MEMORY_PAGES } = options
    demandRange('workers', workers, 64)
    demandRange('deadlineMs', deadlineMs, 60_000)
    demandRange('memoryPages', memoryPages, 16_384)
    try {
      if (wasm.length > POLICY_BYTES_MAX) {
        throw new PolicyRefused(`the policy is ${wasm.length} bytes, at most ${POLICY_BYTES_MAX}`)
      }
      checkSelfTest(selfTest)
      const data = canonicalData(options.data)
      const module = await compilePolicy(new Uint8Array(wasm))
      const start = { module, data, memoryPages, selfTest }
      return new PolicyHost(await PolicyPool.start({ workers, deadlineMs, start }))
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown'
      throw new ServiceError('policy_invalid', message, { cause: error })
    }
  }

  /**
   * Evaluates one request. The bytes of the input are the bytes that the policy sees.
   *
   * @returns The policy's verdict, or a denial with one of `GATE_REASONS`. Never rejects.
   */
  evaluate({ fault, bytes }: GateInput): Promise<Verdict> {
    return fault === undefined ? this.#pool.ask(bytes) : Promise.resolve(gateDenial(fault))
  }

  /** Ends the workers. What is being evaluated, and whatever is asked later, is denied with `gate_not_loaded`. */
  async close(): Promise<void> {
    await this.#pool.close()
  }
}

function demandRange(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new RangeError(`${name} is ${value}, must be an integer from 1 to ${max}`)
  }
}

function checkSelfTest(selfTest: readonly SelfTest[]): void {
  if (selfTest.length > SELF_TESTS_MAX) {
    throw new PolicyRefused(`${selfTest.length} self-tests, at most ${SELF_TESTS_MAX}`)
  }
  for (const [at, { input }] of selfTest.entries()) {
    const { fault } = GateInput.read(input)
    if (fault !== undefined) throw new PolicyRefused(`self-test ${at}: ${fault}`)
  }
}

/** What the guest gets: read strictly, and written in the one form that its parser reads as ours does. */
function canonicalData(bytes: Uint8Array): Uint8Array {
  try {
    return canonicalJson(jsonObject(parseJson(bytes, { maxBytes: POLICY_BYTES_MAX }), 'data'))
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    throw new PolicyRefused(`data: ${error.message}`, { cause: error })
  }
}
