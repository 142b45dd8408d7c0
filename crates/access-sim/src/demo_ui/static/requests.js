// The list of access requests, and what the person at the terminal can do with each.

import { ADMIN } from './commands.js';
import { byId, h, keyed, revealed, setText } from './dom.js';
import { timeLeft } from './dates.js';
import { makeRowForm } from './row-form.js';

/** Newest first; the row of a request keeps its element, and a half-typed answer, through every change. */
export function makeRequests({ person, done, failed }) {
  const list = byId('requests');
  const empty = byId('requests-empty');
  const rows = new WeakMap();
  let users = [];

  function make(request) {
    const parts = {
      state: h('span.state'),
      user: h('bdi.user'),
      until: h('span.until'),
      roles: h('div.roles'),
      reason: h('p.reason', { dir: 'auto' }),
      progress: h('p.progress'),
      votes: h('p.votes', {}, 'Votes pressed in Slack are counted there; Teleport hears of them when they decide.'),
      reviews: h('ul.reviews'),
      resolution: h('p.resolution', { dir: 'auto' }),
      actions: h('div.row-actions', { role: 'group' }),
    };
    const form = makeRowForm({ id: request.id, person, done, failed, back: () => parts.actions.querySelector('button') ?? list });
    const element = h('li.request', {},
      h('div.request-head', {}, parts.state, h('code.id', { title: request.id }, request.id.slice(0, 8)), parts.user, parts.roles, parts.until),
      parts.reason, parts.progress, parts.votes, parts.reviews, parts.resolution, parts.actions, form.element,
    );
    rows.set(element, { parts, form });
    return element;
  }

  function update(element, request) {
    const { parts, form } = rows.get(element);
    element.dataset.state = request.state;
    setText(parts.state, request.state);
    parts.state.className = `state ${request.state.toLowerCase()}`;
    setText(parts.user, request.user);
    countdown(parts.until, request);
    parts.roles.replaceChildren(...request.roles.map((role) => h('bdi.chip', {}, revealed(role))), ...request.resources.map((name) => h('bdi.chip.resource', {}, revealed(name))));
    fill(parts.reason, request.reason);
    setText(parts.progress, progress(request));
    parts.progress.hidden = parts.progress.textContent === '';
    // Where one vote decides, the two sides never differ.
    parts.votes.hidden = parts.progress.hidden || request.thresholds[0].approve < 2;
    keyed(parts.reviews, request.reviews.map((review, index) => ({ ...review, index })), (review) => String(review.index), drawReview, () => {});
    parts.reviews.hidden = request.reviews.length === 0;
    const saidAlready = request.reviews.some((review) => review.reason === request.resolve_reason);
    fill(parts.resolution, request.resolve_reason && !saidAlready ? `Resolved: ${request.resolve_reason}` : '');
    actions(parts.actions, request, form);
    parts.actions.setAttribute('aria-label', `Request ${request.id.slice(0, 8)} of ${request.user}`);
    form.refresh();
  }

  function actions(group, request, form) {
    const offered = offer(person(), users, request);
    keyed(group, offered, (action) => action.key, (action) =>
      h(`button.small.${action.tone}`, { type: 'button', 'aria-expanded': 'false', onclick: (event) => form.open(action, event.currentTarget) }, action.label), () => {});
    group.hidden = offered.length === 0;
    form.keepOnly(offered.map((action) => action.key));
  }

  return {
    /** Draws this state of the cluster for the person who sits there now. */
    update(teleport) {
      users = teleport.users;
      const newestFirst = [...teleport.requests].sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
      keyed(list, newestFirst, (request) => request.id, make, update);
      empty.hidden = newestFirst.length > 0;
    },
  };
}

/** The actions that this person has on this request. Teleport itself refuses what is not allowed. */
function offer(person, users, request) {
  const pending = request.state === 'PENDING';
  if (person === ADMIN) {
    return [
      ...(pending ? [action('state', true, 'Approve', 'good'), action('state', false, 'Deny', 'bad')] : []),
      action('delete', null, 'Delete', 'plain'),
      action('expire', null, 'Expire now', 'plain'),
    ];
  }
  const me = users.find((user) => user.name === person);
  if (!pending || !me?.can_review || request.user === person) return [];
  return [action('review', true, 'Approve', 'good'), action('review', false, 'Deny', 'bad')];
}

function action(name, approve, label, tone) {
  return { key: `${name}-${approve}`, name, approve, label, tone };
}

function countdown(element, request) {
  const until = Date.parse((request.state === 'PENDING' ? request.expires : request.access_until) ?? request.expires ?? '');
  const shown = ['PENDING', 'APPROVED'].includes(request.state) && !Number.isNaN(until);
  element.hidden = !shown;
  if (!shown) {
    delete element.dataset.until;
    return;
  }
  element.dataset.until = String(until);
  element.title = `${request.state === 'PENDING' ? 'The request expires' : 'The access ends'} ${new Date(until).toLocaleString()}`;
  setText(element, timeLeft(until));
}

function fill(element, text) {
  element.hidden = text === '';
  element.replaceChildren(...revealed(text));
}

/** `1 of 2 approvals in Teleport`: only while pending, and only with a single threshold (several cannot be summed up). */
function progress(request) {
  if (request.state !== 'PENDING' || request.thresholds.length !== 1) return '';
  const [{ approve, deny }] = request.thresholds;
  const count = (state) => request.reviews.filter((review) => review.proposed === state).length;
  const denials = deny > 0 ? ` · ${count('DENIED')} of ${deny} ${deny === 1 ? 'denial' : 'denials'}` : '';
  return `${count('APPROVED')} of ${approve} ${approve === 1 ? 'approval' : 'approvals'}${denials} in Teleport`;
}

function drawReview(review) {
  const approved = review.proposed === 'APPROVED';
  return h('li', {},
    h(`span.verdict.${approved ? 'approved' : 'denied'}`, {}, approved ? '✓ approved' : '✗ denied'),
    ' by ', h('bdi', {}, review.author),
    review.reason && [': ', h('bdi', {}, revealed(review.reason))],
  );
}
