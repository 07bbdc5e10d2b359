/**
 * @module What the page of kit.test.ts runs: every vector through the kit, then what the page itself saw of the
 * network, then two things that its policy must refuse. It posts one report and decides nothing.
 */
const violations = []
addEventListener('securitypolicyviolation', (event) => {
  violations.push(`${event.effectiveDirective} ${event.blockedURI}`)
})
let lost = false
performance.addEventListener('resourcetimingbufferfull', () => {
  lost = true
})
// By default the browser notes 250 resources and drops the rest.
performance.setResourceTimingBufferSize(10_000)

// Not static: a kit that does not load is to be reported, too.
const load = async () => ({
  kit: await import('@trustwarden/proofs'),
  checkVector: (await import('/proofs/vectors/check.js')).checkVector,
})

/** `ok`, the code of a ProofError, or the text of any other error, which no vector expects. */
function answerOf({ kit, checkVector }, path, bytes) {
  try {
    const vector = kit.jsonObject(kit.parseJson(bytes), path)
    const folder = path.slice(0, path.lastIndexOf('/'))
    checkVector(kit.noblePrimitives, folder, kit.jsonObject(vector.input, path))
    return 'ok'
  } catch (error) {
    return error instanceof kit.ProofError ? error.code : String(error)
  }
}

async function answerAll(loaded, paths) {
  const answers = {}
  for (const path of paths) {
    const response = await fetch(`/vectors/${path}`)
    answers[path] = answerOf(loaded, path, new Uint8Array(await response.arrayBuffer()))
  }
  return answers
}

/** The name of the error that `attempt` ends in. */
async function refusalOf(attempt) {
  try {
    await attempt()
  } catch (error) {
    return error.name
  }
  return 'none'
}

async function report() {
  const { vectors, foreign } = await (await fetch('/task')).json()
  const loaded = await load()
  const answers = await answerAll(loaded, vectors)
  const resources = performance.getEntriesByType('resource').map(({ name }) => name)
  const before = [...violations]
  const reported = new Promise((resolve) => {
    addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
      if (effectiveDirective === 'connect-src') resolve()
    })
    // A policy that refuses nothing reports nothing.
    setTimeout(resolve, 1_000)
  })
  const attempts = {
    evaluate: await refusalOf(() => Reflect.construct(Function, ['return 1'])),
    leave: await refusalOf(() => fetch(foreign)),
  }
  await reported
  return {
    userAgent: navigator.userAgent,
    names: Object.keys(loaded.kit),
    answers,
    resources,
    lost,
    violations: before,
    attempts,
    provoked: violations.slice(before.length),
  }
}

const body = await report().catch((error) => ({ error: String(error) }))
await fetch('/report', { method: 'POST', body: JSON.stringify(body) })
