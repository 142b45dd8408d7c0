// Slack's mrkdwn, read into a small tree. Pure: no DOM, so that it runs under `node --test` as well.
//
// A node is { t: 'text', v } | { t: 'code', v } | { t: 'pre', v } | { t: 'br' } | { t: 'bold' | 'italic' | 'strike' |
// 'quote', c } | { t: 'link', href, v } | { t: 'user', id, v } | { t: 'channel', id, v } | { t: 'group', id, v } |
// { t: 'broadcast', v } | { t: 'date', unix, format, href, v }. Drawing them: rich.js.

/** Longer text is cut: no user reads it, and drawing it would freeze the page. */
export const LONGEST = 12000;
const DEEPEST = 6;
const STYLES = { '*': 'bold', _: 'italic', '~': 'strike' };

/** Reads a mrkdwn text. `verbatim: false` also links bare web addresses, as Slack does. */
export function parseMrkdwn(text, { verbatim = true } = {}) {
  const source = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  const nodes = [];
  source.split('```').forEach((part, index, parts) => {
    const fenced = index % 2 === 1 && index < parts.length - 1;
    if (fenced) {
      nodes.push({ t: 'pre', v: plainOf(part.replace(/^\n/, '').replace(/\n$/, '')) });
    } else {
      const open = index % 2 === 1 ? '```' : '';
      nodes.push(...paragraphs(open + part, verbatim));
    }
  });
  return nodes;
}

/** Resolves the three entities that Slack knows, and only those. */
export function decodeEntities(text) {
  return text.replace(/&(amp|lt|gt);/g, (_, name) => ({ amp: '&', lt: '<', gt: '>' })[name]);
}

/** An address that the page may link to, or null. */
export function safeHref(address) {
  try {
    const url = new URL(address);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function paragraphs(text, verbatim) {
  const nodes = [];
  let quote = null;
  text.split('\n').forEach((line, index) => {
    const quoted = /^(?:&gt;|>) ?/.exec(line);
    if (quoted) {
      if (quote) quote.c.push({ t: 'br' });
      else nodes.push((quote = { t: 'quote', c: [] }));
      quote.c.push(...inline(line.slice(quoted[0].length), verbatim, 0));
      return;
    }
    if (index > 0 && !quote) nodes.push({ t: 'br' });
    quote = null;
    nodes.push(...inline(line, verbatim, 0));
  });
  return nodes;
}

function inline(text, verbatim, depth) {
  const nodes = [];
  let plain = '';
  const flush = () => {
    if (plain) nodes.push(...bare(plain, verbatim));
    plain = '';
  };
  let at = 0;
  while (at < text.length) {
    const found = span(text, at, verbatim, depth);
    if (found) {
      flush();
      nodes.push(found.node);
      at = found.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

/** The node that starts exactly at `at`, with the place where it ends, or null. */
function span(text, at, verbatim, depth) {
  const mark = text[at];
  if (mark === '<') {
    const end = text.indexOf('>', at);
    const node = end > at + 1 ? angle(text.slice(at + 1, end)) : null;
    return node && { node, end: end + 1 };
  }
  if (mark === '`') {
    const end = text.indexOf('`', at + 1);
    return end > at + 1 ? { node: { t: 'code', v: plainOf(text.slice(at + 1, end)) }, end: end + 1 } : null;
  }
  const style = STYLES[mark];
  if (!style || depth >= DEEPEST || isWord(text[at - 1])) return null;
  if (!text[at + 1] || /[\s*_~]/.test(text[at + 1]) && text[at + 1] === mark || /\s/.test(text[at + 1])) return null;
  for (let end = text.indexOf(mark, at + 2); end > 0; end = text.indexOf(mark, end + 1)) {
    if (/\s/.test(text[end - 1]) || isWord(text[end + 1])) continue;
    return { node: { t: style, c: inline(text.slice(at + 1, end), verbatim, depth + 1) }, end: end + 1 };
  }
  return null;
}

// Where Slack is not known to leave a mark alone, it counts: what is posted here must be safe there.
function isWord(char) {
  return char !== undefined && /[A-Za-z0-9]/.test(char);
}

/** What stands between angle brackets: mention, broadcast, date or link. */
function angle(inner) {
  const bar = inner.indexOf('|');
  const target = bar < 0 ? inner : inner.slice(0, bar);
  const label = bar < 0 ? '' : decodeEntities(inner.slice(bar + 1));
  const mention = /^([@#])([A-Z0-9]{2,})$/.exec(target);
  if (mention) return { t: mention[1] === '@' ? 'user' : 'channel', id: mention[2], v: label };
  const group = /^!subteam\^([A-Z0-9]{2,})$/.exec(target);
  if (group) return { t: 'group', id: group[1], v: label };
  const broadcast = /^!(here|channel|everyone)$/.exec(target);
  if (broadcast) return { t: 'broadcast', v: broadcast[1] };
  const date = /^!date\^(-?\d{1,12})\^([^^]*)(?:\^(.*))?$/.exec(target);
  if (date) return { t: 'date', unix: Number(date[1]), format: decodeEntities(date[2]), href: safeHref(date[3] ?? ''), v: label };
  const href = safeHref(decodeEntities(target));
  return href && { t: 'link', href, v: label || decodeEntities(target).replace(/^mailto:/, '') };
}

/** Text without markup: entities resolved and, unless verbatim, web addresses linked. */
function bare(text, verbatim) {
  if (verbatim) return [{ t: 'text', v: decodeEntities(text) }];
  return text
    .split(/(https?:\/\/[^\s<>|"']{3,}[^\s<>|"'.,:;!?)\]])/)
    .filter((part) => part !== '')
    .map((part) => {
      const v = decodeEntities(part);
      const href = /^https?:\/\//.test(part) ? safeHref(v) : null;
      return href ? { t: 'link', href, v } : { t: 'text', v };
    });
}

/** Inside code only links and mentions keep a meaning in Slack; their text is shown. */
function plainOf(text) {
  return decodeEntities(text.replace(/<([^<>|]+)(?:\|([^<>]*))?>/g, (_, target, label) => label || target));
}
