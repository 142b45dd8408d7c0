// Draws a message's Block Kit blocks. What it does not know it shows as its type, never guesses.
//
// What a button does is its owner's business: `press(element, blockId)`; without it buttons are dead. Pictures are
// not fetched (the page loads nothing from elsewhere): their description stands in their place.

import { h } from './dom.js';
import { safeHref } from './mrkdwn.js';
import { drawRich, drawText } from './rich.js';

/** The body of a message: its blocks, else its text. */
export function drawMessageBody(message, names, press = null) {
  const blocks = Array.isArray(message.blocks) ? message.blocks : [];
  if (blocks.length === 0) {
    const text = { type: message.markup === false ? 'plain_text' : 'mrkdwn', text: message.text, verbatim: message.verbatim === true };
    return h('div.blocks', {}, h('div.section', {}, h('div', {}, drawText(text, names))));
  }
  return h('div.blocks', {}, drawBlocks(blocks, names, press));
}

/** Blocks of a message or a modal. */
export function drawBlocks(blocks, names, press = null) {
  return blocks.map((block) => drawBlock(block ?? {}, names, press));
}

function drawBlock(block, names, press) {
  const element = (one) => drawElement(one ?? {}, names, press && (() => press(one, block.block_id ?? null)));
  switch (block.type) {
    case 'section':
      return h('div.section', {},
        h('div.section-main', {},
          block.text && h('div', {}, drawText(block.text, names)),
          Array.isArray(block.fields) && h('div.fields', {}, block.fields.map((field) => h('div', {}, drawText(field, names)))),
        ),
        block.accessory && h('div.accessory', {}, element(block.accessory)),
      );
    case 'context':
      return h('div.context', {}, list(block.elements).map((element) =>
        element?.type === 'image' ? picture(element) : h('div', {}, drawText(element, names)),
      ));
    case 'header':
      return h('div.header', { role: 'heading', 'aria-level': '4' }, drawText(block.text, names));
    case 'divider':
      return h('hr');
    case 'actions':
      return h('div.actions', {}, list(block.elements).map(element));
    case 'image':
      return picture(block);
    case 'markdown':
      return h('pre', { tabIndex: 0 }, String(block.text ?? ''));
    case 'rich_text':
      return h('div.section.rich', {}, drawRich(block.elements, names));
    default:
      return unknown(`block “${block.type}”`);
  }
}

function drawElement(element, names, press) {
  if (element.type === 'button') {
    const style = ['primary', 'danger'].includes(element.style) ? `.${element.style}` : '';
    const common = { 'aria-label': element.accessibility_label, 'data-act': `press:${element.action_id}`, onclick: press };
    const href = press && safeHref(element.url ?? '');
    if (href) return h(`a.slack-button${style}`, { href, target: '_blank', rel: 'noopener noreferrer', ...common }, drawText(element.text, names));
    return h(`button.slack-button${style}`, { type: 'button', disabled: !press, 'aria-haspopup': element.confirm && 'dialog', ...common }, drawText(element.text, names));
  }
  if (element.type === 'image') return picture(element);
  return unknown(`element “${element.type}”`);
}

function picture(block) {
  return h('span.picture', {}, `🖼 ${block.alt_text ?? 'picture'}`);
}

function unknown(what) {
  return h('div.unknown', {}, `This page does not draw the ${what}; see its JSON.`);
}

function list(value) {
  return Array.isArray(value) ? value : [];
}
