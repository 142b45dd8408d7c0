// Draws Slack text: mrkdwn trees (mrkdwn.js), plain text with emoji names, and rich_text elements.
//
// `names` answers with what an id is called: names.user(id), names.channel(id); see chat-model.js.

import { formatSlackDate } from './dates.js';
import { h } from './dom.js';
import { parseMrkdwn, safeHref } from './mrkdwn.js';

const TAGS = { bold: 'strong', italic: 'em', strike: 's', quote: 'blockquote' };

/** A text object of Block Kit, or a message's plain `text` as `{ type: 'mrkdwn', text }`. */
export function drawText(object, names) {
  const text = typeof object?.text === 'string' ? object.text : '';
  if (object?.type === 'plain_text') return plain(text, object.emoji !== false);
  return parseMrkdwn(text, { verbatim: object?.verbatim === true }).map((node) => drawNode(node, names));
}

function drawNode(node, names) {
  switch (node.t) {
    case 'br':
      return h('br');
    case 'code':
      return h('code', {}, node.v);
    case 'pre':
      return h('pre', { tabIndex: 0 }, node.v);
    case 'link':
      return link(node.href, node.v);
    case 'user':
      return h('span.mention', {}, `@${names.user(node.id) ?? (node.v || node.id)}`);
    case 'channel':
      return h('span.mention', {}, `#${names.channel(node.id) ?? (node.v || node.id)}`);
    case 'group':
      return h('span.mention', {}, node.v || `@${node.id}`);
    case 'broadcast':
      return h('span.mention.loud', { title: 'In Slack this notifies everybody.' }, `@${node.v}`);
    case 'date':
      return drawDate(node);
    case 'text':
      return emojis(node.v);
    default:
      return h(TAGS[node.t], {}, node.c.map((child) => drawNode(child, names)));
  }
}

function link(href, text) {
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, text);
}

function drawDate({ unix, format, href, v }) {
  const shown = formatSlackDate(unix, format);
  if (shown === null) return v;
  const time = h('time', { dateTime: new Date(unix * 1000).toISOString(), title: v }, shown);
  if (format.includes('{ago}')) Object.assign(time.dataset, { ago: unix, format });
  return href ? h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, time) : time;
}

function plain(text, emoji) {
  return text.split('\n').flatMap((line, index) => [index > 0 && h('br'), emoji ? emojis(line) : line]);
}

const EMOJI = {
  arrow_right: '➡️', ballot_box_with_check: '☑️', bell: '🔔', bulb: '💡', checkered_flag: '🏁', clock1: '🕐', closed_lock_with_key: '🔐',
  fire: '🔥', hourglass: '⌛', hourglass_flowing_sand: '⏳', information_source: 'ℹ️', key: '🔑', link: '🔗', lock: '🔒', memo: '📝',
  no_entry: '⛔', no_entry_sign: '🚫', question: '❓', rocket: '🚀', shield: '🛡️', thumbsup: '👍', thumbsdown: '👎', unlock: '🔓',
  warning: '⚠️', wastebasket: '🗑️', wave: '👋', white_check_mark: '✅', x: '❌', zap: '⚡',
};

/** Emoji names become the emoji; unknown ones stay as they are. */
function emojis(text) {
  return text.replace(/:([a-z0-9_+-]{1,40}):/g, (whole, name) => (Object.hasOwn(EMOJI, name) ? EMOJI[name] : whole));
}

/** The elements of a `rich_text` block. */
export function drawRich(elements, names, depth = 0) {
  if (!Array.isArray(elements) || depth > 4) return [];
  return elements.map((element) => {
    switch (element?.type) {
      case 'rich_text_section':
        return h('div', {}, drawRich(element.elements, names, depth + 1));
      case 'rich_text_quote':
        return h('blockquote', {}, drawRich(element.elements, names, depth + 1));
      case 'rich_text_preformatted':
        return h('pre', { tabIndex: 0 }, drawRich(element.elements, names, depth + 1));
      case 'rich_text_list':
        return h(element.style === 'ordered' ? 'ol' : 'ul', {}, drawRich(element.elements, names, depth + 1).map((item) => h('li', {}, item)));
      default:
        return styled(richLeaf(element ?? {}, names), element?.style ?? {});
    }
  });
}

function richLeaf(element, names) {
  const text = typeof element.text === 'string' ? element.text : '';
  switch (element.type) {
    case 'text':
      return text;
    case 'link': {
      const href = safeHref(element.url);
      return href ? link(href, text || element.url) : text || String(element.url ?? '');
    }
    case 'user':
      return h('span.mention', {}, `@${names.user(element.user_id) ?? element.user_id}`);
    case 'usergroup':
      return h('span.mention', {}, `@${element.usergroup_id}`);
    case 'channel':
      return h('span.mention', {}, `#${names.channel(element.channel_id) ?? element.channel_id}`);
    case 'broadcast':
      return h('span.mention.loud', { title: 'In Slack this notifies everybody.' }, `@${element.range}`);
    case 'emoji':
      return emojis(`:${element.name}:`);
    case 'date':
      return drawDate({ unix: Number(element.timestamp), format: String(element.format ?? '{date}'), href: safeHref(element.url ?? ''), v: String(element.fallback ?? '') });
    default:
      return text;
  }
}

function styled(content, style) {
  let drawn = content;
  for (const [flag, tag] of [['code', 'code'], ['strike', 's'], ['italic', 'em'], ['bold', 'strong']]) {
    if (style[flag] === true) drawn = h(tag, {}, drawn);
  }
  return drawn;
}
