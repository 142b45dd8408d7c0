// A window above the page: it holds the focus while it is open and gives it back when it closes.

import { h } from './dom.js';

let made = 0;

/**
 * Opens a window with a title. `onCancel` is called for Escape; without it Escape closes. Answers with
 * `{ element, close }`; `close` may be called twice.
 */
export function openDialog({ title, kind, content, onCancel }) {
  made += 1;
  const heading = h('h3', { id: `dialog-${made}` }, title);
  const element = h(`dialog.window.${kind}`, { 'aria-labelledby': heading.id }, heading, content);
  let over = false;
  const close = () => {
    over = true;
    if (element.open) element.close();
    element.remove();
  };
  element.addEventListener('cancel', (event) => {
    event.preventDefault();
    (onCancel ?? close)();
  });
  // A browser closes it without asking when Escape is pressed again and again.
  element.addEventListener('close', () => over || (onCancel ?? close)());
  document.body.append(element);
  element.showModal();
  return { element, close };
}

/** Asks what a button's `confirm` object asks; answers whether to go on. */
export function askToConfirm({ title, text, confirm, deny, style }, drawText) {
  return new Promise((resolve) => {
    const answer = (yes) => {
      dialog.close();
      resolve(yes);
    };
    const tone = style === 'danger' ? '.danger' : '.primary';
    const no = h('button.slack-button', { type: 'button', onclick: () => answer(false) }, drawText(deny ?? plain('Cancel')));
    const dialog = openDialog({
      title: drawText(title ?? plain('Are you sure?')),
      kind: 'confirm',
      content: [
        h('div.window-body', {}, drawText(text ?? plain(''))),
        h('div.window-foot', {}, no, h(`button.slack-button${tone}`, { type: 'button', onclick: () => answer(true) }, drawText(confirm ?? plain('Yes')))),
      ],
      onCancel: () => answer(false),
    });
    // What undoes nothing comes first: Enter pressed twice by habit must not approve.
    no.focus();
  });
}

function plain(text) {
  return { type: 'plain_text', text };
}
