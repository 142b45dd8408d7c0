// Pressing a button on a message: the question that may come first, the click, and the warning if it led to nothing.

import { Refused, actInSlack } from './api.js';
import { askToConfirm } from './dialog.js';
import { drawText } from './rich.js';

/**
 * `viewer()` is the person who looks; `names()` the names for texts; `onClick(person, message, element)` is called as a click leaves,
 * `onWarning()` when the warnings changed.
 */
export function makePress({ viewer, names, onClick, onWarning }) {
  const warnings = new Map();
  const underWay = new Set();
  const keyOf = (person, message) => `${person}/${message.channel}/${message.ts}`;

  async function press(message, element, blockId) {
    const person = viewer();
    const key = keyOf(person.id, message);
    if (underWay.has(key)) return;
    if (element.confirm && !(await askToConfirm(element.confirm, (text) => drawText(text, names())))) return;
    underWay.add(key);
    const had = warnings.delete(key);
    onClick(person, message, element);
    if (had) onWarning();
    try {
      const click = { user: person.id, channel: message.channel, ts: message.ts, action_id: element.action_id, block_id: blockId, confirmed: true };
      const { warning } = await actInSlack('click', click);
      if (warning) warnings.set(key, warning);
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      warnings.set(key, problem.message);
    } finally {
      underWay.delete(key);
      onWarning();
    }
  }

  return {
    /** For `drawMessageBody`: what its buttons do. */
    on: (message) => (element, blockId) => press(message, element, blockId),
    /** What stands under a message for the person who looks; `undefined` if nothing. */
    warning: (message) => warnings.get(keyOf(viewer()?.id, message)),
  };
}
