/**
 * @module One instance of one compiled policy: the only place that touches `@open-policy-agent/opa-wasm`.
 *
 * The library fails open in several ways, each of which has a test: `setData` on a live instance may leave half of the
 * new data or none; bytes that are not an ArrayBuffer are serialised as an object; input that does not parse is no
 * input; anything thrown may leave the instance's stack where it was. So here data is set once, before the first
 * evaluation; bytes are always a whole ArrayBuffer; the caller hands in canonical JSON only; and an instance that has
 * thrown anything is spent.
 *
 * WebAssembly is named by the interfaces below: the types of Node and of ES2023 do not have it.
 */
import * as library from '@open-policy-agent/opa-wasm'
import type { GateReasonCode } from './reasons.ts'

/** What this module needs of the global `WebAssembly` (W3C WebAssembly JavaScript Interface 2.0). */
interface WebAssemblyApi {
  readonly compile: (bytes: Uint8Array) => Promise<PolicyModule>
  readonly Module: {
    readonly imports: (module: PolicyModule) => readonly ImportDescriptor[]
    readonly exports: (module: PolicyModule) => readonly { readonly name: string }[]
  }
}

interface ImportDescriptor {
  readonly module: string
  readonly name: string
  readonly kind: string
}

/** A compiled WebAssembly module; can be handed to a worker. */
export interface PolicyModule {
  readonly __brand?: 'WebAssembly.Module'
}

interface LoadedPolicy {
  readonly minorVersion: unknown
  readonly entrypoints: unknown
  readonly mem: { readonly buffer: ArrayBuffer }
  readonly wasmInstance: { readonly exports: Readonly<Record<string, unknown>> }
  readonly setData: (data: ArrayBuffer) => void
  readonly evaluate: (input: ArrayBuffer, entrypoint: string) => unknown
}

interface OpaLibrary {
  readonly loadPolicySync: (
    module: PolicyModule,
    memory: { readonly initial: number; readonly maximum: number },
  ) => LoadedPolicy
}

const wasmApi: WebAssemblyApi = (globalThis as unknown as { WebAssembly: WebAssemblyApi })
  .WebAssembly
// The library's types name its exports one by one; what Node loads has this one on the default export only.
const { loadPolicySync } = (library as unknown as { default: OpaLibrary }).default

/** What a module of OPA's ABI may import, and nothing else. */
const IMPORTS_PERMITTED: ReadonlySet<string> = new Set([
  'env.memory:memory',
  ...['opa_abort', 'opa_println'].map((name) => `env.${name}:function`),
  ...[0, 1, 2, 3, 4].map((arity) => `env.opa_builtin${arity}:function`),
])

/** The memory that an instance starts with, in pages of 64 KiB. */
const INITIAL_PAGES = 16

/** The one entrypoint that a policy has. */
export const ENTRYPOINT = 'gate/decision'

/** Why a policy cannot be used at all. The message says which rule it breaks. */
export class PolicyRefused extends Error {
  override readonly name = 'PolicyRefused'
}

/** What an evaluation that threw is recorded as. */
export type EvaluationFault = Extract<GateReasonCode, 'gate_error' | 'gate_memory' | 'gate_stack'>

/**
 * Compiles a policy and checks what it imports.
 *
 * @throws {PolicyRefused} If the bytes are no module, or one that imports more than OPA's ABI has.
 */
export async function compilePolicy(wasm: Uint8Array): Promise<PolicyModule> {
  let module: PolicyModule
  try {
    module = await wasmApi.compile(wasm)
  } catch (error) {
    throw new PolicyRefused('the policy is not a WebAssembly module', { cause: error })
  }
  for (const { module: from, name, kind } of wasmApi.Module.imports(module)) {
    if (!IMPORTS_PERMITTED.has(`${from}.${name}:${kind}`)) {
      throw new PolicyRefused(
        `the policy imports ${from}.${name}, which OPA's interface does not have`,
      )
    }
  }
  const exported = new Set(wasmApi.Module.exports(module).map(({ name }) => name))
  for (const name of ['opa_eval', 'builtins', 'entrypoints', 'opa_wasm_abi_version']) {
    if (!exported.has(name)) throw new PolicyRefused(`the policy exports no ${name}`)
  }
  return module
}

/** A policy with its data, ready to be asked. Synchronous; holds its memory until it is dropped. */
export class OpaInstance {
  readonly #policy: LoadedPolicy

  /**
   * Instantiates the policy and gives it its data, once.
   *
   * @param data - Canonical JSON of one object, a buffer of its own.
   * @throws {PolicyRefused} If the ABI, the builtins or the entrypoints are not the permitted ones, or the data does
   *   not fit.
   */
  constructor(module: PolicyModule, data: Uint8Array, memoryPages: number) {
    this.#policy = startPolicy(module, data, memoryPages)
    const { minorVersion } = this.#policy
    // Below 1.2 the library evaluates by another path, which keeps memory between evaluations.
    if (typeof minorVersion !== 'number' || minorVersion < 2) {
      throw new PolicyRefused('the policy is of an ABI below 1.2')
    }
    const entrypoints = namesOf(this.#policy.entrypoints)
    if (entrypoints.join() !== ENTRYPOINT) {
      throw new PolicyRefused(
        `the policy has the entrypoints [${entrypoints.join()}], not ${ENTRYPOINT} alone`,
      )
    }
    const builtins = namesOf(readBuiltins(this.#policy))
    if (builtins.length > 0) {
      throw new PolicyRefused(
        `the policy needs the builtins [${builtins.join()}] of a host; none is permitted`,
      )
    }
  }

  /**
   * Evaluates the entrypoint. After anything thrown the instance must not be used again.
   *
   * @param input - Canonical JSON of one object.
   * @returns The result set as OPA gives it.
   */
  evaluate(input: Uint8Array): unknown {
    return this.#policy.evaluate(toArrayBuffer(input), ENTRYPOINT)
  }
}

/** Names what an evaluation threw: strings, plain objects and errors of every kind come out of the library. */
export function classifyFault(thrown: unknown): EvaluationFault {
  const message = describeThrown(thrown)
  if (/call stack/i.test(message)) return 'gate_stack'
  if (
    /opa_malloc|Memory\.grow|out of bounds|offset is out|invalid typed array length/i.test(message)
  ) {
    return 'gate_memory'
  }
  return 'gate_error'
}

/**
 * Starts with little memory and, where a module has more constants than fit, with more. The whole of it at once would
 * always do, but new instances are made after every error, and the collector answers large memories with pauses
 * (measured on 1,000 instances: 2.3 ms each with 256 pages at the start, 0.3 ms with 16).
 */
function startPolicy(module: PolicyModule, data: Uint8Array, memoryPages: number): LoadedPolicy {
  for (let initial = Math.min(INITIAL_PAGES, memoryPages); ; ) {
    try {
      const policy = loadPolicySync(module, { initial, maximum: memoryPages })
      policy.setData(toArrayBuffer(data))
      return policy
    } catch (error) {
      if (initial === memoryPages) {
        throw new PolicyRefused(`the policy does not start: ${describeThrown(error)}`)
      }
      initial = Math.min(initial * 2, memoryPages)
    }
  }
}

function describeThrown(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  if (typeof thrown !== 'object' || thrown === null) return 'unknown'
  const message = (thrown as { readonly message?: unknown }).message
  return typeof message === 'string' ? message : 'unknown'
}

/** The bytes as a buffer of their own: the library takes nothing else for bytes. */
function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  const own = new ArrayBuffer(bytes.length)
  new Uint8Array(own).set(bytes)
  return own
}

function namesOf(map: unknown): readonly string[] {
  return typeof map === 'object' && map !== null ? Object.keys(map).toSorted() : ['?']
}

/** The map of builtins that the module expects of its host. The library reads it too, but does not show it. */
function readBuiltins(policy: LoadedPolicy): unknown {
  const { builtins, opa_json_dump: dump } = policy.wasmInstance.exports
  if (typeof builtins !== 'function' || typeof dump !== 'function') return undefined
  const at = Number(dump(builtins()))
  const memory = new Uint8Array(policy.mem.buffer)
  const end = memory.indexOf(0, at)
  if (end < 0) return undefined
  return JSON.parse(new TextDecoder().decode(memory.subarray(at, end)))
}
