/**
 * @module Two projects over one tree: `fast` is `npm test`; `slow` holds the long runs (`*.slow.test.ts`).
 * The kit and the SDK are taken from source, so that coverage and stack traces point at what was written;
 * processes and workers run from `dist/`, which every script builds first.
 *
 * Files of `fast` run side by side, one more than there are cores: those that start the real service wait for processes
 * and disks half of their time (vitest's own default, one fewer, is a single file at a time on two cores). They come
 * first, so that no long one is left for the end. Files of `slow` use all of the machine, and run one by one.
 */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const root = fileURLToPath(new URL('..', import.meta.url))
const alias = {
  '@trustwarden/proofs/cli': `${root}proofs/cli/main.ts`,
  '@trustwarden/proofs': `${root}proofs/index.ts`,
  trustwarden: `${root}src/sdk/index.ts`,
}

/** Whether a file starts processes: it takes many times as long as others, and does not look it by its size. */
const startsProcesses = ({ moduleId }: TestSpecification): boolean =>
  /\/test\/(e2e|cli|sdk|peers|browser)\//.test(moduleId)

/** Vitest's own order, longest known first, with the files that start processes before all others. */
class ProcessesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return [...sorted.filter(startsProcesses), ...sorted.filter((one) => !startsProcesses(one))]
  }
}

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    environment: 'node',
    pool: 'forks',
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: ProcessesFirst },
    projects: [
      {
        root,
        resolve: { alias },
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.slow.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        root,
        resolve: { alias },
        test: {
          name: 'slow',
          include: ['test/**/*.slow.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
    coverage: {
      provider: 'v8',
      include: ['proofs/*.ts'],
      reporter: ['text-summary', 'text'],
      thresholds: { branches: 100 },
    },
  },
})
