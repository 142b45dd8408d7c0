// Modals that the app opens (views.open): drawn from the view, filled in, submitted; errors stand at their input.
//
// A modal shows only in the window whose click led to it, as in Slack, where it shows only in that client.

import { Refused, actInSlack } from './api.js';
import { drawBlocks } from './blocks.js';
import { openDialog } from './dialog.js';
import { h } from './dom.js';
import { drawText } from './rich.js';

/** A trigger is good for three seconds; a view that comes later belongs to another trigger. */
const OPENS_WITHIN_MS = 4000;

/** `names()` are the names for texts; `onClosed()` is called when the person is back at the messages. */
export function makeModals({ names, onClosed }) {
  let expected = null;
  let shown = null;

  function show(person, view) {
    shown?.dialog.close();
    const form = drawView(person, view);
    shown = { person: person.id, view, ...form };
    form.errors(view.errors);
    form.first?.focus();
  }

  function hide() {
    if (!shown) return;
    shown.dialog.close();
    shown = null;
    onClosed();
  }

  function drawView(person, view) {
    const fields = [];
    const blocks = view.blocks.map((block, index) => {
      if (block.type !== 'input') return drawBlocks([block], names());
      const field = drawInput(block, view, index, names());
      fields.push(field);
      return field.element;
    });
    const alert = h('p.window-alert', { role: 'alert', hidden: true });
    const close = h('button.slack-button', { type: 'button', onclick: cancel }, view.close ?? 'Close');
    const submit = view.submit && h('button.slack-button.primary', { type: 'submit' }, view.submit);
    const form = h('form', { noValidate: true }, h('div.window-body.blocks', {}, blocks), alert, h('div.window-foot', {}, close, submit));
    const dialog = openDialog({ title: view.title, kind: 'view', content: form, onCancel: cancel });
    let busy = false;

    function errors(byBlock) {
      for (const field of fields) field.showError(byBlock[field.block] ?? '');
      fields.find((field) => byBlock[field.block])?.control.focus();
    }

    function warn(sentence) {
      alert.hidden = sentence === '';
      alert.textContent = sentence;
    }

    async function during(action, body) {
      if (busy) return null;
      busy = true;
      warn('');
      dialog.element.setAttribute('aria-busy', 'true');
      try {
        return await actInSlack(action, { user: person.id, view_id: view.id, ...body });
      } catch (problem) {
        if (!(problem instanceof Refused)) throw problem;
        warn(problem.message);
        return null;
      } finally {
        busy = false;
        dialog.element.removeAttribute('aria-busy');
      }
    }

    async function cancel() {
      if (busy) return;
      await during('close', {});
      if (shown?.dialog === dialog) hide();
    }

    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      expect(person, view.id);
      const answer = await during('submit', { values: Object.fromEntries(fields.map((field) => [field.action, field.control.value])) });
      if (!answer) return;
      warn(answer.warning ?? '');
      errors(answer.errors ?? {});
    });
    return { dialog, errors, first: fields[0]?.control };
  }

  function expect(person, except) {
    expected = { person: person.id, known: new Set(person.views.map((view) => view.id)), until: Date.now() + OPENS_WITHIN_MS };
    if (except) expected.known.add(except);
  }

  return {
    /** This window's person clicked something that may open a modal. */
    expect: (person) => expect(person),
    /** Shows, changes and takes away what the state says about the person who looks. */
    update(person) {
      const top = person?.views.at(-1) ?? null;
      if (shown && (shown.person !== person?.id || !top)) hide();
      if (!top) return;
      if (shown?.view.id === top.id) {
        if (shown.view.hash !== top.hash) show(person, top);
        return;
      }
      const isOurs = expected?.person === person.id && !expected.known.has(top.id) && Date.now() < expected.until;
      if (isOurs) {
        expected = null;
        show(person, top);
      } else if (shown) {
        hide();
      }
    },
  };
}

function drawInput(block, view, index, names) {
  const { element } = block;
  const id = `input-${view.id}-${index}`;
  const hint = block.hint && h('p.hint', { id: `${id}-hint` }, drawText(block.hint, names));
  const error = h('p.field-error', { id: `${id}-error`, hidden: true });
  const common = {
    id,
    placeholder: element.placeholder?.text ?? null,
    'aria-required': block.optional === true ? null : 'true',
    'aria-describedby': [hint && hint.id, error.id].filter(Boolean).join(' '),
    autocomplete: 'off',
  };
  const control = element.multiline ? h('textarea', { ...common, rows: 4 }) : h('input', { ...common, type: 'text' });
  control.value = view.values?.[block.block_id]?.[element.action_id]?.value ?? element.initial_value ?? '';
  const supported = element.type === 'plain_text_input';
  return {
    block: block.block_id,
    action: element.action_id,
    control,
    element: h('div.field', {},
      h('label', { for: id }, drawText(block.label, names), block.optional === true && h('span.optional', {}, ' (optional)')),
      supported ? control : h('div.unknown', {}, `This page does not draw the input “${element.type}”; see its JSON.`),
      error,
      hint,
    ),
    showError(sentence) {
      error.hidden = sentence === '';
      error.textContent = sentence;
      control.toggleAttribute('aria-invalid', sentence !== '');
      if (sentence !== '') control.setAttribute('aria-invalid', 'true');
    },
  };
}
