// Reads the Teleport simulator's state into what the page draws: texts in place of absent values, resources as
// people write them, audit events as names and values.

/** The cluster: `{ cluster, version, users, requests, audit }`. */
export function readCluster(teleport) {
  return {
    cluster: teleport.cluster,
    version: teleport.version,
    users: teleport.users,
    requests: teleport.requests.map(readRequest),
    audit: teleport.audit.map(readEvent),
  };
}

/** One request, as the list and an action's answer hold it; null stays null. */
export function readRequest(request) {
  if (!request) return null;
  return {
    id: request.id,
    user: request.user,
    roles: request.roles,
    resources: (request.resources ?? []).map(resourceName),
    state: request.state,
    reason: request.request_reason ?? '',
    resolve_reason: request.resolve_reason ?? '',
    created: request.created,
    expires: request.expiry,
    access_until: request.access_expiry,
    thresholds: request.thresholds ?? [],
    reviews: request.reviews ?? [],
    suggested_reviewers: request.suggested_reviewers ?? [],
  };
}

function resourceName({ cluster, kind, name, sub_resource: sub }) {
  return `/${cluster}/${kind}/${name}${sub ? `/${sub}` : ''}`;
}

function readEvent(event) {
  const shown = ['user', 'reviewer', 'submitted_by', 'delegator', 'roles', 'proposed_state', 'state', 'reason', 'id'];
  return {
    time: event.time,
    code: event.code,
    event: event.event,
    details: shown
      .map((name) => [name, event[name]])
      .concat(Object.entries(event.annotations ?? {}))
      .map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : value ?? ''])
      .filter(([, value]) => value !== ''),
  };
}
