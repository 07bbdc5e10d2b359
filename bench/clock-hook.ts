/**
 * @module Loaded into a service whose wall clock the bench sets, by `--import`: what an operator's `date --set` would do to
 * it, without doing it to the machine.
 */
const { now } = Date

process.on('message', ({ offsetMs }: { readonly offsetMs: number }) => {
  Date.now = () => now() + offsetMs
})
process.channel?.unref()
