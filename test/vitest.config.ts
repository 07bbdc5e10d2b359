/**
 * @module Two projects over one tree: `fast` is `npm test`; `slow` holds the long runs (`*.slow.test.ts`).
 * The kit and the SDK are taken from source, so that coverage and stack traces point at what was written;
 * processes and workers run from `dist/`, which every script builds first.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('..', import.meta.url))
const alias = {
  '@trustwarden/proofs/cli': `${root}proofs/cli/main.ts`,
  '@trustwarden/proofs': `${root}proofs/index.ts`,
  trustwarden: `${root}src/sdk/index.ts`,
}

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    environment: 'node',
    pool: 'forks',
    projects: [
      {
        root,
        resolve: { alias },
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.slow.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
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
