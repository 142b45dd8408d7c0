// The page's only way to its server: the state, the actions, and the news that something changed.

/** An action that the server refused; `message` is the server's sentence, fit to be shown. */
export class Refused extends Error {}

/** The server is on this machine: an answer that takes longer is not coming. */
const DEADLINE_MS = 10_000;

/** The whole state, as `GET /api/state` returns it. */
async function fetchState() {
  const response = await fetch('/api/state', { cache: 'no-store', signal: AbortSignal.timeout(DEADLINE_MS) });
  if (!response.ok) throw new Error(`/api/state answered ${response.status}`);
  return response.json();
}

/** One action on the Teleport side: `request`, `review`, `state`, `delete` or `expire`. */
export function act(action, body) {
  return post(`/api/teleport/${action}`, body);
}

/** One action on the Slack side: `click`, `submit` or `close`. */
export function actInSlack(action, body) {
  return post(`/api/slack/${action}`, body);
}

async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch {
    throw new Refused('The demo does not answer. Is it still running?');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(answer.error ?? `The demo answered with status ${response.status}.`);
  return answer;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

/**
 * Calls `onState` with the state now and after every change, `onLink('live' | 'lost')` as the connection
 * comes and goes. Reads that overlap are merged: at most one is in flight and one is waiting.
 */
export function follow(onState, onLink) {
  let reading = false;
  let again = false;
  let wait = FIRST_WAIT_MS;

  async function read() {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    try {
      do {
        again = false;
        onState(await fetchState());
      } while (again);
    } finally {
      reading = false;
    }
  }

  function connect() {
    const source = new EventSource('/api/events');
    let over = false;
    const lost = () => {
      if (over) return;
      over = true;
      source.close();
      onLink('lost');
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
    const refresh = () => read().catch(lost);
    source.addEventListener('open', () => {
      wait = FIRST_WAIT_MS;
      onLink('live');
      refresh();
    });
    source.addEventListener('changed', refresh);
    source.addEventListener('error', lost);
  }

  connect();
}
