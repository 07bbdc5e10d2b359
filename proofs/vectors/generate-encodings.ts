/** @module Vectors of trees, encodings and scopes: nothing in them is signed. */
import { toHex, utf8Encode } from '../bytes.ts'
import type { ProofErrorCode } from '../errors.ts'
import type { JsonObject } from '../json.ts'
import { leafHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import type { Hash } from '../primitives.ts'
import { consistencyPath, inclusionPath, treeRoot } from './generate-log.ts'

export type Expect = 'ok' | ProofErrorCode

export type Row = readonly [name: string, expect: Expect, description: string, input: JsonObject]

/** The leaves of small trees. */
export const LEAVES: readonly Hash[] = Array.from({ length: 13 }, (_, at) =>
  leafHash(p, Uint8Array.of(at)),
)

export function inclusionRows(): readonly Row[] {
  const input = (index: number, size: number, patch: JsonObject = {}): JsonObject => {
    const leaves = LEAVES.slice(0, size)
    return {
      leaf_index: index,
      tree_size: size,
      leaf_hash: toHex(leaves[index] ?? new Uint8Array(32)),
      path: inclusionPath(leaves, index).map(toHex),
      root: toHex(treeRoot(leaves)),
      ...patch,
    }
  }
  const path = inclusionPath(LEAVES, 5).map(toHex)
  return [
    ...[1, 2, 3, 7, 8, 13].map(
      (size): Row => [
        `ok-last-of-${size}`,
        'ok',
        `the last of ${size} leaves`,
        input(size - 1, size),
      ],
    ),
    ['ok-middle', 'ok', 'leaf 5 of 13', input(5, 13)],
    ['index-of-neighbour', 'inclusion_mismatch', 'leaf 5 at 4', input(5, 13, { leaf_index: 4 })],
    [
      'leaf-flipped',
      'inclusion_mismatch',
      'a bit of the leaf',
      input(5, 13, { leaf_hash: flip(LEAVES[5]) }),
    ],
    [
      'root-flipped',
      'inclusion_mismatch',
      'a bit of the root',
      input(5, 13, { root: flip(treeRoot(LEAVES)) }),
    ],
    [
      'path-reversed',
      'inclusion_mismatch',
      'the path backwards',
      input(5, 13, { path: path.toReversed() }),
    ],
    ['path-short', 'malformed', 'a node less', input(5, 13, { path: path.slice(1) })],
    ['path-long', 'malformed', 'a node more', input(5, 13, { path: [...path, path[0] ?? ''] })],
    [
      'path-node-short',
      'malformed',
      'a node of 31 bytes',
      input(5, 13, { path: path.map((node) => node.slice(2)) }),
    ],
    ['index-is-size', 'malformed', 'an index that is the size', input(5, 13, { leaf_index: 13 })],
    [
      'path-over-limit',
      'too_large',
      '54 nodes',
      input(5, 13, { path: Array.from({ length: 54 }, () => path[0] ?? '') }),
    ],
  ]
}

export function consistencyRows(): readonly Row[] {
  const input = (oldSize: number, newSize: number, patch: JsonObject = {}): JsonObject => ({
    old_size: oldSize,
    new_size: newSize,
    old_root: toHex(treeRoot(LEAVES.slice(0, oldSize))),
    new_root: toHex(treeRoot(LEAVES.slice(0, newSize))),
    path: consistencyPath(LEAVES.slice(0, newSize), oldSize).map(toHex),
    ...patch,
  })
  const path = consistencyPath(LEAVES, 6).map(toHex)
  return [
    ...(
      [
        [1, 2],
        [3, 7],
        [4, 8],
        [6, 13],
        [8, 13],
        [13, 13],
      ] as const
    ).map(
      ([from, to]): Row => [`ok-${from}-to-${to}`, 'ok', `from ${from} to ${to}`, input(from, to)],
    ),
    [
      'old-root-flipped',
      'consistency_mismatch',
      'a bit',
      input(6, 13, { old_root: flip(treeRoot(LEAVES.slice(0, 6))) }),
    ],
    [
      'new-root-flipped',
      'consistency_mismatch',
      'a bit',
      input(6, 13, { new_root: flip(treeRoot(LEAVES)) }),
    ],
    [
      'old-size-of-neighbour',
      'consistency_mismatch',
      'size 5 for 6',
      input(6, 13, { old_size: 5, path: consistencyPath(LEAVES, 5).map(toHex) }),
    ],
    ['path-short', 'malformed', 'a node less', input(6, 13, { path: path.slice(1) })],
    ['path-long', 'malformed', 'a node more', input(6, 13, { path: [...path, path[0] ?? ''] })],
    [
      'equal-sizes-two-roots',
      'root_mismatch',
      'two roots of one size',
      input(13, 13, { old_root: flip(treeRoot(LEAVES)) }),
    ],
    ['equal-sizes-with-path', 'malformed', 'a path between equal sizes', input(13, 13, { path })],
    ['from-empty', 'malformed', 'size 0 shows nothing', input(6, 13, { old_size: 0 })],
    ['shrinking', 'malformed', 'from 13 to 6', input(6, 13, { old_size: 13, new_size: 6 })],
  ]
}

export const CBOR: readonly (readonly [string, Expect, string, string])[] = [
  ['ok-map', 'ok', 'integer keys before text, in order of their bytes', 'a3001903e801f6616180'],
  ['ok-largest-integer', 'ok', '2^53−1', '1b001fffffffffffff'],
  ['ok-negative', 'ok', '−500', '3901f3'],
  ['integer-over-limit', 'too_large', '2^53', '1b0020000000000000'],
  ['head-not-shortest', 'not_canonical', '10 in two bytes', '180a'],
  ['length-not-shortest', 'not_canonical', 'a text of one byte, its length in two', '780161'],
  ['indefinite-array', 'not_canonical', 'an array of no stated length', '9f01ff'],
  ['keys-unsorted', 'not_canonical', 'key 1 before key 0', 'a201000000'],
  ['key-twice', 'malformed', 'key 0 twice', 'a200000001'],
  ['float', 'malformed', 'half a float', 'f93e00'],
  ['tag', 'malformed', 'a tag', 'c11a514b67b0'],
  ['undefined', 'malformed', 'undefined', 'f7'],
  ['key-is-bytes', 'malformed', 'a byte string as key', 'a1410000'],
  ['text-not-utf8', 'malformed', 'a lone continuation byte', '6180'],
  ['bytes-after', 'malformed', 'a byte after the item', '0000'],
  ['truncated', 'malformed', 'an array of two with one', '8201'],
  ['nested-too-deep', 'too_large', '17 arrays', `${'81'.repeat(17)}00`],
]

export function hexRow([name, expect, description, bytes]: (typeof CBOR)[number]): Row {
  return [name, expect, description, { bytes }]
}

export function jsonRows(): readonly Row[] {
  const row = (
    name: string,
    expect: Expect,
    description: string,
    text: string,
    canonical = '',
  ): Row => [
    name,
    expect,
    description,
    { bytes: toHex(utf8Encode(text)), canonical: toHex(utf8Encode(canonical)) },
  ]
  return [
    row(
      'ok-sorted',
      'ok',
      'white space and order',
      ' {"b": 1, "a" : [true,null]} ',
      '{"a":[true,null],"b":1}',
    ),
    row(
      'ok-numbers',
      'ok',
      'numbers as ECMAScript writes them',
      '[1E2,0.000001,1e-7,1.50]',
      '[100,0.000001,1e-7,1.5]',
    ),
    row('ok-escapes', 'ok', 'escapes that are not needed', '"\\u0041\\/\\u20ac"', '"A/€"'),
    row('key-twice', 'malformed', 'a member twice', '{"a":1,"a":1}'),
    row(
      'key-twice-escaped',
      'malformed',
      'a member twice, once with an escape',
      '{"a":1,"\\u0061":1}',
    ),
    row('lone-surrogate', 'malformed', 'half a character', '"\\ud800"'),
    row('integer-over-limit', 'malformed', '2^53', '9007199254740992'),
    row('negative-zero', 'malformed', '−0', '-0'),
    row('leading-zero', 'malformed', '01', '01'),
    row('trailing-comma', 'malformed', 'a comma at the end', '[1,]'),
    row('nan', 'malformed', 'no number', 'NaN'),
    row('two-values', 'malformed', 'a value after the value', '1 1'),
    row('byte-order-mark', 'malformed', 'a mark in front', '\ufeff1'),
    row('nested-too-deep', 'too_large', '33 arrays', `${'['.repeat(33)}${']'.repeat(33)}`),
    ['not-utf8', 'malformed', 'a byte that is no UTF-8', { bytes: '22ff22', canonical: '' }],
  ]
}

export const SCOPES: readonly (readonly [
  string,
  Expect,
  string,
  readonly string[],
  readonly string[],
])[] = [
  [
    'ok-fewer-grants',
    'ok',
    'one grant of two',
    ['read:transactions'],
    ['read:transactions', 'write:reports'],
  ],
  ['ok-below', 'ok', 'a node below a tail', ['read:a/b'], ['read:a/**']],
  ['ok-verb', 'ok', 'one verb of every', ['read:a'], ['*:a']],
  ['ok-empty', 'ok', 'nothing within something', [], ['read:a']],
  ['equal', 'scope_not_contained', 'the same', ['read:a'], ['read:a']],
  ['wider', 'scope_not_contained', 'one grant more', ['read:a', 'read:b'], ['read:a']],
  [
    'equal-as-a-union',
    'scope_not_contained',
    'the node and all below it, in two grants',
    ['read:x', 'read:x/*/**'],
    ['read:x/**'],
  ],
  [
    'prefix-of-text',
    'scope_not_contained',
    'a word that begins alike',
    ['read:accounts'],
    ['read:account/**'],
  ],
  [
    'star-is-one-segment',
    'scope_not_contained',
    'two segments under one star',
    ['read:a/b'],
    ['read:*'],
  ],
  ['out-of-order', 'not_canonical', 'grants out of order', ['write:a', 'read:a'], ['*:**']],
  [
    'covered-by-another',
    'not_canonical',
    'a grant within another',
    ['read:a', 'read:a/**'],
    ['*:**'],
  ],
  ['dimension', 'scope_invalid', 'a dimension', ['pay:invoices;amount=100'], ['*:**']],
  ['capital', 'scope_invalid', 'a capital letter', ['Read:a'], ['*:**']],
  ['no-path', 'scope_invalid', 'no path', ['read'], ['*:**']],
  ['tail-in-the-middle', 'scope_invalid', '** before a segment', ['read:**/a'], ['*:**']],
]

export function scopeRow([name, expect, description, inner, outer]: (typeof SCOPES)[number]): Row {
  return [name, expect, description, { inner, outer }]
}

/** A hash with its first bit flipped, in hex. */
export function flip(hash: Uint8Array = new Uint8Array(32)): string {
  const flipped = new Uint8Array(hash)
  flipped[0] = ((flipped[0] ?? 0) + 128) % 256
  return toHex(flipped)
}
