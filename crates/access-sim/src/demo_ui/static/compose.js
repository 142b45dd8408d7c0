// The request form: a `tsh request create` that is put together by hand, with the command shown as it grows.

import { Refused, act } from './api.js';
import { commandOf } from './commands.js';
import { byId, h, keyed } from './dom.js';
import { readRequest } from './teleport-model.js';
import { commandText, promptLine } from './terminal.js';

const DURATIONS = [['', 'the longest allowed'], ['30m', '30 minutes'], ['1h', '1 hour'], ['4h', '4 hours'], ['8h', '8 hours'], ['24h', '1 day']];

/** `person()` names who acts; `done(action, body, request)` and `failed(action, body, sentence)` write the log. */
export function makeCompose({ person, done, failed }) {
  const form = byId('compose');
  const roles = h('div.choices');
  const reviewers = h('div.choices');
  const otherRole = h('input', { type: 'text', id: 'other-role', autocomplete: 'off', spellcheck: 'false', placeholder: 'for example admin', maxlength: '400' });
  const reason = h('input', { type: 'text', id: 'reason', autocomplete: 'off', placeholder: 'Why is it needed?', 'aria-describedby': 'compose-error' });
  const duration = h('select', { id: 'duration' }, DURATIONS.map(([value, label]) => h('option', { value }, label)));
  const resources = h('textarea', { id: 'resources', rows: 2, spellcheck: 'false', placeholder: '/demo/node/web-01', 'aria-describedby': 'resources-hint' });
  const preview = h('code.preview', { 'aria-label': 'The command' });
  const error = h('p.form-error', { id: 'compose-error', role: 'alert', hidden: true });
  const run = h('button.run', { type: 'submit' }, 'Run');
  let filledInBy = null;

  form.append(
    h('h3', { id: 'compose-title' }, h('span.cmd', { 'aria-hidden': 'true' }, 'tsh request create'), h('span.hidden', {}, 'Request access')),
    h('fieldset.line', {}, h('legend', {}, 'Roles'), roles),
    h('div.line', {}, h('label', { for: 'reason' }, 'Reason'), reason),
    h('details.more', {},
      h('summary', {}, 'More: reviewers, duration, resources, another role'),
      h('fieldset.line', {}, h('legend', {}, 'Reviewers'), reviewers),
      h('div.line', {}, h('label', { for: 'duration' }, 'Duration'), duration),
      h('div.line', {}, h('label', { for: 'resources' }, 'Resources'), h('div.stack', {}, resources, h('small', { id: 'resources-hint' }, 'One per line, as /cluster/kind/name.'))),
      h('div.line', {}, h('label', { for: 'other-role' }, 'Other role'), otherRole),
    ),
    h('div.runline', {}, preview, run),
    error,
  );

  const body = () => ({
    user: person(),
    roles: [...checked(roles), ...words(otherRole.value, /[,\s]+/)],
    reason: reason.value.trim(),
    reviewers: checked(reviewers),
    resources: words(resources.value, /\s*\n\s*/),
    duration: duration.value || null,
  });

  function refresh() {
    preview.replaceChildren(promptLine(person()), commandText(commandOf('request', body())));
  }

  /** Leaves nothing of one request to the next, which may be another user's. */
  function clear() {
    for (const input of form.querySelectorAll('input:checked')) input.checked = false;
    for (const field of [reason, resources, otherRole]) field.value = '';
    duration.selectedIndex = 0;
  }

  function fail(sentence, field) {
    error.textContent = sentence;
    error.hidden = false;
    field?.focus();
  }

  async function submit(event) {
    event.preventDefault();
    const asked = body();
    error.hidden = true;
    if (asked.roles.length === 0 && asked.resources.length === 0) {
      fail('Choose at least one role.', roles.querySelector('input') ?? otherRole);
      return;
    }
    run.disabled = true;
    try {
      const request = readRequest((await act('request', asked)).request);
      done('request', asked, request);
      clear();
      refresh();
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      fail(problem.message, null);
      failed('request', asked, problem.message);
    } finally {
      run.disabled = false;
    }
  }

  form.addEventListener('input', () => {
    error.hidden = true;
    refresh();
  });
  form.addEventListener('submit', submit);

  return {
    /** Draws what this user may ask for; hidden for a user who may ask for nothing. */
    update(users) {
      const me = users.find((user) => user.name === person());
      if (filledInBy !== null && filledInBy !== person()) clear();
      filledInBy = person();
      form.hidden = !me || me.requestable.length === 0;
      if (form.hidden) return;
      options(roles, me.requestable, 'role');
      options(reviewers, users.filter((user) => user.can_review && user.name !== me.name).map((user) => user.name), 'reviewer');
      refresh();
    },
  };
}

function options(parent, values, name) {
  keyed(parent, values, (value) => value, (value) => h('label.choice', {}, h('input', { type: 'checkbox', name, value }), h('span', {}, value)), () => {});
}

function checked(parent) {
  return [...parent.querySelectorAll('input:checked')].map((input) => input.value);
}

function words(text, separator) {
  return text.split(separator).map((word) => word.trim()).filter((word) => word !== '');
}
