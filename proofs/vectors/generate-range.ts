/** @module Vectors of range proofs, and of ranges as files. */
import { toHex, utf8Decode } from '../bytes.ts'
import type { JsonObject } from '../json.ts'
import { leafHash } from '../merkle.ts'
import { noblePrimitives as p } from '../noble.ts'
import { formatRange, type Range } from '../range.ts'
import { RANGE_PATH_MAX } from '../range-proof.ts'
import { flip, LEAVES, type Row } from './generate-encodings.ts'
import { rangePath, treeRoot } from './generate-log.ts'
import { OWNER, people, type Story } from './generate-plot.ts'
import { anchorOf, tellStory } from './generate-story.ts'

const TENTH = toHex(LEAVES[10] ?? new Uint8Array())

export function rangeProofRows(): readonly Row[] {
  const input = (start: number, end: number, size: number, patch: JsonObject = {}): JsonObject => {
    const leaves = LEAVES.slice(0, size)
    return {
      start,
      tree_size: size,
      leaf_hashes: leaves.slice(start, end).map(toHex),
      path: rangePath(leaves, start, end).map(toHex),
      root: toHex(treeRoot(leaves)),
      ...patch,
    }
  }
  const leaves = LEAVES.slice(3, 10).map(toHex)
  const path = rangePath(LEAVES, 3, 10).map(toHex)
  const changed = (patch: JsonObject): JsonObject => input(3, 10, 13, patch)
  return [
    ...(
      [
        [0, 1, 1, 'the one leaf of a tree'],
        [5, 6, 13, 'one leaf: its inclusion proof'],
        [0, 13, 13, 'the whole tree: no node'],
        [0, 5, 13, 'the beginning'],
        [3, 10, 13, 'across the middle'],
        [4, 8, 13, 'a subtree: its subtree consistency proof'],
        [8, 13, 13, 'the subtree at the end'],
        [7, 9, 13, 'one leaf on either side of the middle'],
      ] as const
    ).map(
      ([start, end, size, description]): Row => [
        `ok-${start}-to-${end}-of-${size}`,
        'ok',
        description,
        input(start, end, size),
      ],
    ),
    [
      'first-left-out',
      'malformed',
      'leaves 4 to 10 from 3 on',
      changed({ leaf_hashes: leaves.slice(1) }),
    ],
    ['last-left-out', 'malformed', 'leaves 3 to 9', changed({ leaf_hashes: leaves.slice(0, -1) })],
    [
      'one-left-out',
      'inclusion_mismatch',
      'leaf 5 left out, leaf 10 in its place at the end',
      changed({ leaf_hashes: [...leaves.toSpliced(2, 1), TENTH] }),
    ],
    [
      'one-added',
      'inclusion_mismatch',
      'leaf 10 too',
      changed({ leaf_hashes: [...leaves, TENTH] }),
    ],
    [
      'two-swapped',
      'inclusion_mismatch',
      'backwards',
      changed({ leaf_hashes: leaves.toReversed() }),
    ],
    ['start-of-neighbour', 'inclusion_mismatch', 'from 2 on', changed({ start: 2 })],
    [
      'leaf-flipped',
      'inclusion_mismatch',
      'a bit of leaf 6',
      changed({ leaf_hashes: leaves.with(3, flip(LEAVES[6])) }),
    ],
    [
      'root-flipped',
      'inclusion_mismatch',
      'a bit of the root',
      changed({ root: flip(treeRoot(LEAVES)) }),
    ],
    [
      'path-flipped',
      'inclusion_mismatch',
      'a bit of a node',
      changed({ path: path.with(1, flip(rangePath(LEAVES, 3, 10)[1])) }),
    ],
    [
      'path-reversed',
      'inclusion_mismatch',
      'the path backwards',
      changed({ path: path.toReversed() }),
    ],
    ['path-short', 'malformed', 'a node less', changed({ path: path.slice(1) })],
    ['path-long', 'malformed', 'a node more', changed({ path: [...path, path[0] ?? ''] })],
    [
      'path-node-short',
      'malformed',
      'nodes of 31 bytes',
      changed({ path: path.map((node) => node.slice(2)) }),
    ],
    [
      'path-of-whole',
      'malformed',
      'a node beside the whole tree',
      input(0, 13, 13, { path: [path[0] ?? ''] }),
    ],
    [
      'path-over-limit',
      'too_large',
      '105 nodes',
      changed({ path: Array.from({ length: RANGE_PATH_MAX + 1 }, () => path[0] ?? '') }),
    ],
    [
      'leaf-short',
      'malformed',
      'a leaf of 31 bytes',
      changed({ leaf_hashes: leaves.map((leaf) => leaf.slice(2)) }),
    ],
    ['empty', 'malformed', 'no leaf shows nothing', changed({ leaf_hashes: [] })],
    ['beyond-size', 'malformed', 'leaves behind the last', changed({ tree_size: 9 })],
    ['size-other', 'malformed', 'a size of another shape', changed({ tree_size: 17 })],
  ]
}

export function rangeRows(story: Story): readonly Row[] {
  const trust = anchorOf(story)
  const { log } = story
  const range = log.range(1, 4)
  const text = utf8Decode(formatRange(range))
  const make = (one: string, by = trust): JsonObject => ({ trust: by, range: one })
  const formatted = (patch: Partial<Range>): JsonObject =>
    make(utf8Decode(formatRange({ ...range, ...patch })))
  const other = tellStory({ origin: 'log.example/logs/other' })
  const told = (tweaks: Parameters<typeof tellStory>[0]): JsonObject => {
    const twisted = tellStory(tweaks)
    return make(utf8Decode(formatRange(twisted.log.range(1, 4))), anchorOf(twisted))
  }
  const skipping = [
    [OWNER, 0, null],
    ['log', 2, [1, leafHash(p, log.entries[1] ?? new Uint8Array(0))]],
  ]
  return [
    ['ok', 'ok', 'entries 1 to 3 of 10', make(text)],
    ['ok-first', 'ok', 'genesis and what follows', make(utf8Decode(formatRange(log.range(0, 2))))],
    [
      'entry-left-out',
      'malformed',
      'the first entry left out',
      formatted({ entries: range.entries.slice(1) }),
    ],
    [
      'entry-exchanged',
      'inclusion_mismatch',
      'entry 9 for entry 3',
      formatted({ entries: range.entries.with(2, log.entries[9] ?? new Uint8Array(0)) }),
    ],
    [
      'entries-swapped',
      'inclusion_mismatch',
      'backwards',
      formatted({ entries: range.entries.toReversed() }),
    ],
    ['start-other', 'malformed', 'from another index on', formatted({ start: 2 })],
    [
      'head-of-other-log',
      'origin_mismatch',
      'a head of a log that is not trusted',
      formatted({ head: other.log.head() }),
    ],
    [
      'head-by-other-key',
      'key_unknown',
      'a head that an operator signed',
      formatted({ head: log.head(people.operator) }),
    ],
    ['time-back', 'outcome_mismatch', 'ledger time goes back', told({ delay: { owner: -60_000 } })],
    [
      'link-skips',
      'chain_mismatch',
      'a link that leaves out an entry of its chain that is there',
      told({ draft: { owner: { links: skipping } } }),
    ],
    [
      'entries-none',
      'malformed',
      'no entry',
      make(text.replace(/"entries":\[[^\]]*\]/, '"entries":[]')),
    ],
    ['format-other', 'version_unknown', 'version 2', make(text.replace('range/1', 'range/2'))],
    [
      'member-unknown',
      'malformed',
      'a member that is not listed',
      make(text.replace('{', '{"note":1,')),
    ],
  ]
}
