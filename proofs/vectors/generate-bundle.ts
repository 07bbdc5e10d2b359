/** @module Bundles of evidence about a story, and bundles that were written otherwise. */
import { toBase64url, utf8Decode } from '../bytes.ts'
import type { ProofErrorCode } from '../errors.ts'
import { noblePrimitives } from '../noble.ts'
import { NOTE_ED25519, noteKey, type NoteKey } from '../note.ts'
import { seeded, vectorKey, type VectorKey } from './generate-keys.ts'
import type { StepName, Story, StoryTweaks } from './generate-plot.ts'
import { bundleOf, NEEDED, tellStory } from './generate-story.ts'

export const WRONG: string = toBase64url(seeded('wrong'))

export type Bundle = Record<string, unknown> & {
  action: number
  head: string
  entries: { index: number; entry: string; path: string[] }[]
  disclosures: Record<string, string[]>
}

export interface Made {
  readonly story: Story
  readonly text: string
}

export type Row = readonly [
  name: string,
  expect: 'ok' | ProofErrorCode,
  description: string,
  made: Made,
  trust?: string | undefined,
  verdict?: string,
]

/** A story and its bundle: the steps that a bundle needs, without some, and more entries. */
export function make(
  tweaks: StoryTweaks = {},
  without: readonly StepName[] = [],
  more: readonly (number | StepName)[] = [],
): Made {
  const story = tellStory(tweaks)
  const steps = NEEDED.filter((step) => !without.includes(step))
  const indexes = more.flatMap((one) =>
    typeof one === 'number' ? one : (story.indexes.get(one) ?? []),
  )
  return { story, text: utf8Decode(bundleOf(story, steps, indexes)) }
}

/** A bundle that was written otherwise. */
export function edit({ story, text }: Made, change: (bundle: Bundle) => unknown): Made {
  const bundle = JSON.parse(text) as Bundle
  change(bundle)
  return { story, text: JSON.stringify(bundle) }
}

/** A key that says that it is one, and signs as another. */
export function signedBy(named: VectorKey, signing: VectorKey): VectorKey {
  return { ...named, sign: signing.sign }
}

/** Another key of the same log. */
export function otherKey({ log }: Story): NoteKey {
  return noteKey(
    noblePrimitives,
    log.origin,
    NOTE_ED25519,
    vectorKey('EdDSA', 'other log').publicKey,
  )
}
