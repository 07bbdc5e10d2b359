/**
 * @module What the host and a policy's worker share: two signed 64-bit integers, written by the worker as it goes.
 */

/** Where the place in the batch of the input being evaluated stands; the host sets −1 with each batch. */
export const PROGRESS_PLACE = 0
/** Where it stands since when, in ns of `process.hrtime`. */
export const PROGRESS_SINCE = 1
