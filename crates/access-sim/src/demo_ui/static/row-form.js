// The one-line form that opens under a request: a reason where there is one to give, the command, Run.

import { Refused, act } from './api.js';
import { commandOf } from './commands.js';
import { h } from './dom.js';
import { readRequest } from './teleport-model.js';
import { commandText, promptLine } from './terminal.js';

/** `back()` says where the focus goes when the form closes and its button is gone. */
export function makeRowForm({ id, person, done, failed, back }) {
  const reason = h('input', { type: 'text', autocomplete: 'off', 'aria-label': 'Reason (optional)', placeholder: 'Reason (optional)' });
  const preview = h('code.preview', { 'aria-label': 'The command' });
  const error = h('p.form-error', { role: 'alert', hidden: true });
  const run = h('button.run', { type: 'submit' }, 'Run');
  const cancel = h('button.small.plain', { type: 'button', onclick: () => close(true) }, 'Cancel');
  const element = h('form.row-form', { hidden: true, novalidate: true }, reason, h('div.runline', {}, preview, run, cancel), error);
  let action = null;
  let opener = null;
  let busy = false;

  const body = () => ({
    id,
    ...(action.name === 'review' && { author: person() }),
    ...(action.approve !== null && { approve: action.approve, reason: reason.value.trim() }),
  });

  function refresh() {
    if (action) preview.replaceChildren(promptLine(person()), commandText(commandOf(action.name, body())));
  }

  function open(chosen, button) {
    if (action?.key === chosen.key) {
      close(true);
      return;
    }
    opener?.setAttribute('aria-expanded', 'false');
    action = chosen;
    opener = button;
    opener.setAttribute('aria-expanded', 'true');
    element.dataset.tone = chosen.tone;
    element.hidden = false;
    error.hidden = true;
    reason.hidden = chosen.approve === null;
    refresh();
    (reason.hidden ? run : reason).focus();
  }

  function close(refocus) {
    const target = opener?.isConnected ? opener : back();
    opener?.setAttribute('aria-expanded', 'false');
    action = null;
    opener = null;
    reason.value = '';
    element.hidden = true;
    if (refocus) target.focus();
  }

  async function submit(event) {
    event.preventDefault();
    if (busy || !action) return;
    const [name, asked, who] = [action.name, body(), person()];
    error.hidden = true;
    busy = true;
    try {
      const request = readRequest((await act(name, asked)).request);
      done(name, asked, request, who);
      close(true);
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      error.textContent = problem.message;
      error.hidden = false;
      failed(name, asked, problem.message, who);
    } finally {
      busy = false;
    }
  }

  element.addEventListener('submit', submit);
  element.addEventListener('input', refresh);
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    close(true);
  });

  return {
    element,
    open,
    refresh,
    /** Closes the form if its action is no longer on offer: another user decided, or the viewer changed. */
    keepOnly(keys) {
      if (action && !busy && !keys.includes(action.key)) close(element.contains(document.activeElement));
    },
  };
}
