/** @module Bundles of evidence with one bit flipped: in every decoded part, and in the JSON text itself. */
import { fromBase64url, toBase64url, utf8Decode, utf8Encode } from '../../proofs/bytes.ts'
import { flipBit } from './proof-code.ts'

/** One changed bundle. */
export interface Mutant {
  readonly where: string
  readonly bytes: Uint8Array
}

interface Shape {
  head: string
  entries: { entry: string; path: string[] }[]
  disclosures: Record<string, string[]>
}

/** Every `step`-th mutant of a bundle: flips in entries, path nodes, disclosures and the head, then in the text. */
export function* evidenceMutants(bundle: Uint8Array, step = 1): Generator<Mutant> {
  let number = 0
  const due = (): boolean => {
    number += 1
    return number % step === 0
  }
  const parsed = (): Shape => JSON.parse(utf8Decode(bundle)) as Shape
  for (const [where, get, set] of fields(parsed())) {
    const original = get(parsed())
    const bytes = where === 'head' ? utf8Encode(original) : fromBase64url(original)
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      if (!due()) continue
      const flipped = flipBit(bytes, bit)
      const text = where === 'head' ? textOf(flipped) : toBase64url(flipped)
      // A head that is no text cannot stand in JSON at all.
      if (text === undefined) continue
      const shape = parsed()
      set(shape, text)
      yield { where: `${where}, bit ${bit}`, bytes: utf8Encode(JSON.stringify(shape)) }
    }
  }
  for (let bit = 0; bit < bundle.length * 8; bit += 1) {
    if (due()) yield { where: `text, bit ${bit}`, bytes: flipBit(bundle, bit) }
  }
}

type Field = readonly [string, (shape: Shape) => string, (shape: Shape, text: string) => void]

function fields(shape: Shape): readonly Field[] {
  const own = (at: number): ((one: Shape) => Shape['entries'][number]) => {
    return (one) => one.entries[at] ?? { entry: '', path: [] }
  }
  const list: Field[] = [
    [
      'head',
      (one) => one.head,
      (one, text) => {
        one.head = text
      },
    ],
  ]
  for (const [at, { path }] of shape.entries.entries()) {
    list.push([
      `entry ${at}`,
      (one) => own(at)(one).entry,
      (one, text) => {
        own(at)(one).entry = text
      },
    ])
    for (const node of path.keys()) {
      list.push([
        `node ${node} of entry ${at}`,
        (one) => own(at)(one).path[node] ?? '',
        (one, text) => {
          own(at)(one).path[node] = text
        },
      ])
    }
  }
  for (const [index, texts] of Object.entries(shape.disclosures)) {
    for (const at of texts.keys()) {
      list.push([
        `disclosure ${at} of ${index}`,
        (one) => one.disclosures[index]?.[at] ?? '',
        (one, text) => {
          one.disclosures[index]?.splice(at, 1, text)
        },
      ])
    }
  }
  return list
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
