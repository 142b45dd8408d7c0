// The page's pure parts, without a browser: commands, dates, marks in texts.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

// The folder has no package.json of its own, so Node would not take its files for modules.
async function load(name) {
  const source = await readFile(new URL(`../src/demo_ui/static/${name}`, import.meta.url), 'utf8');
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}

const { shellWord, commandOf } = await load('commands.js');
const { parseMrkdwn } = await load('mrkdwn.js');
const { formatSlackDate, timeLeft, ago } = await load('dates.js');

test('words are quoted as a shell needs it', () => {
  for (const [text, expected] of [
    ['dba,prod-db', 'dba,prod-db'],
    ['two words', "'two words'"],
    ["it's", "'it'\\''s'"],
    ['$(rm -rf /)', "'$(rm -rf /)'"],
    ['', "''"],
    ['a\nb', "$'a\\nb'"],
    ["\u202eit's\\", "$'\\u202eit\\'s\\\\'"],
  ]) assert.equal(shellWord(text), expected);
});

test('a command says the whole action', () => {
  const body = { roles: ['dba'], reason: 'disk full', reviewers: ['bob@example.com'], resources: ['/demo/node/web'], duration: '4h' };
  assert.equal(commandOf('request', body), "tsh request create --roles=dba --resource=/demo/node/web --reason='disk full' --reviewers=bob@example.com --max-duration=4h");
  assert.equal(commandOf('review', { id: 'x', approve: false, reason: '' }), 'tsh request review --deny x');
});

const plain = (nodes) => nodes.map((node) => (node.c ? `${node.t}(${plain(node.c)})` : node.t === 'text' ? node.v : `${node.t}:${node.v ?? ''}`)).join('');

test('marks count only where Slack lets them', () => {
  for (const [text, expected] of [
    ['*b*', 'bold(b)'],
    ['a*b*c', 'a*b*c'],
    ['é*b*é', 'ébold(b)é'],
    ['2 * 3 * 4', '2 * 3 * 4'],
    ['*a _b_ c*', 'bold(a italic(b) c)'],
    ['snake_case_name', 'snake_case_name'],
    ['*open', '*open'],
    ['**', '**'],
    ['*Status:* ok', 'bold(Status:) ok'],
    ['`a *b* &lt;`', 'code:a *b* <'],
    ['a\nb', 'abr:b'],
    ['&gt; q\n&gt; r\ns', 'quote(qbr:r)s'],
    ['<not a link>', '<not a link>'],
    ['<!everyone>', 'broadcast:everyone'],
    ['&lt;!everyone&gt;', '<!everyone>'],
  ]) assert.equal(plain(parseMrkdwn(text)), expected, text);
});

test('bare addresses are links only where Slack may look for them', () => {
  assert.equal(plain(parseMrkdwn('see https://example.com/a.', { verbatim: true })), 'see https://example.com/a.');
  assert.equal(plain(parseMrkdwn('see https://example.com/a.', { verbatim: false })), 'see link:https://example.com/a.');
});

test('dates fill their tokens, impossible ones fall back', () => {
  const now = Date.UTC(2026, 10, 22, 12);
  assert.match(formatSlackDate(now / 1000, '{date_short_pretty} at {time}', now), /^today at \d/);
  assert.equal(formatSlackDate(now / 1000 - 7200, '{ago}', now), '2 hours ago');
  assert.equal(formatSlackDate(1e14, '{date}'), null);
  assert.equal(formatSlackDate(0, '{unknown}'), '{unknown}');
  assert.equal(ago(now + 3 * 60_000, now), 'in 3 minutes');
});

test('the time that is left is said in the largest useful unit', () => {
  for (const [seconds, expected] of [[-1, 'expired'], [0, 'expired'], [12, '12 s left'], [60, '1 min left'], [3599, '59 min left'], [3600, '1 h left'], [3900, '1 h 5 min left'], [200_000, '2 d 7 h left']]) {
    assert.equal(timeLeft(seconds * 1000, 0), expected);
  }
});
