/**
 * @module What overload looks like from outside: the answer to a request that there is no room for, as cheap as it can
 * be made, and what is counted and logged of it.
 */
import type { Metrics } from './metrics.ts'
import type { Handle, Refused } from './intake.ts'
import { Intake } from './intake.ts'
import { requestIdOf } from './logging.ts'
import { pathOf } from './openapi.ts'
import type { HttpParts } from './parts.ts'
import { problem, retryAfterS } from './problem.ts'
import { ROUTES, type RouteName } from './roles.ts'

/** How often the log says that requests were refused, while they are. */
const LINE_MS = 1000

const DOCUMENT = problem('overloaded', 'more is under way than is done in time; nothing was read')
/** All but the request's own id. */
const BODY_START = `${JSON.stringify(DOCUMENT).slice(0, -1)},"request_id":`
const HEADERS: readonly string[] = [
  'content-type',
  'application/problem+json',
  'retry-after',
  String(retryAfterS('overloaded')),
  'cache-control',
  'no-store',
]

/** Makes the intake of a service: what goes on from it goes to `handle`. */
export function createIntake(
  parts: HttpParts,
  handle: Handle,
  warn: (line: object, message: string) => void,
): Intake {
  const { log, logName, metrics } = parts
  const names = (Object.keys(ROUTES) as RouteName[]).filter(
    (name) => ROUTES[name].method === 'POST',
  )
  const routes = new Map(names.map((name) => [pathOf(name, logName), name]))
  let refused = 0
  const sayLater = (): void => {
    setTimeout(() => {
      warn({ refused, code: DOCUMENT.code }, 'refused, for want of room')
      refused = 0
    }, LINE_MS).unref()
  }
  return new Intake({
    handle,
    urgentTypes: log.urgentTypes,
    hasTimeFor: (bytes) => log.hasTimeFor(bytes),
    isStopped: () => parts.stopped() !== undefined,
    refuse: (one) => {
      refuse(one)
      log.turnAway(one.isUrgent ? 'urgent' : 'normal')
      observe(metrics, routes.get(one.request.url ?? ''), one)
      if (refused++ === 0) sayLater()
    },
  })
}

function refuse({ request, response }: Refused): void {
  const id = requestIdOf(request.headers['x-request-id'])
  const body = `${BODY_START}${JSON.stringify(id)}}`
  // RFC 9110 §6.6.1: an error of the server needs none.
  response.sendDate = false
  response.writeHead(DOCUMENT.status, [
    ...HEADERS,
    'x-request-id',
    id,
    'content-length',
    String(Buffer.byteLength(body)),
  ])
  response.end(body)
}

function observe(
  { refusals, requests }: Metrics,
  route: RouteName | undefined,
  { sinceMs }: Refused,
): void {
  refusals.inc({ code: DOCUMENT.code })
  if (route === undefined) return
  const seconds = (performance.now() - sinceMs) / 1000
  requests.observe({ route, status: String(DOCUMENT.status) }, seconds)
}
