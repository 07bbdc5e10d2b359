/**
 * @module `trustwarden demo`: the whole story against a real service of its own.
 */
import { type Command, readCall } from './command.ts'
import { runDemo } from './demo.ts'

/** See the module. */
export const demo: Command = {
  usage: 'demo [--directory DIR]',
  summary: 'an owner, an orchestrator, its child and a rogue, told step by step on a fresh log',
  run: async (args, io) => {
    const call = readCall(args, { values: ['directory'] })
    const directory = call.optional('directory')
    return runDemo(directory === undefined ? { io } : { directory, io })
  },
}
