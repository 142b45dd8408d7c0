// Draws blocks that the daemon does not send today, and blocks that no app should send, in the real page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDemo, startBrowser, untilLive } from './support.mjs';

let browser;
let demo;
before(async () => {
  browser = await startBrowser();
  demo = await openDemo(browser, { timezoneId: 'Asia/Tokyo' });
  await untilLive(demo.page);
});
after(async () => {
  await demo?.close();
  await browser?.close();
});

/** Draws a message into the page; answers with a locator of it. */
async function draw(message) {
  await demo.page.evaluate(async (given) => {
    const { drawMessageBody } = await import('/blocks.js');
    const names = { user: (id) => ({ U0BOB: 'Bob' })[id], channel: (id) => ({ C0DBA: 'dba' })[id] };
    document.querySelector('#drawn')?.remove();
    const body = drawMessageBody(given, names);
    body.id = 'drawn';
    document.querySelector('#messages').append(body);
  }, message);
  return demo.page.locator('#drawn');
}

const mrkdwn = (text, verbatim = true) => ({ type: 'mrkdwn', text, verbatim });
const section = (text, verbatim) => ({ blocks: [{ type: 'section', text: mrkdwn(text, verbatim) }] });

test('mrkdwn is drawn as Slack draws it', async () => {
  const body = await draw(section('*bold* _italic_ ~gone~ `co<de>` &lt;b&gt; &amp;amp;\n&gt; said\n```two\nlines```'));
  assert.equal(await body.locator('strong').textContent(), 'bold');
  assert.equal(await body.locator('em').textContent(), 'italic');
  assert.equal(await body.locator('s').textContent(), 'gone');
  assert.equal(await body.locator('blockquote').textContent(), 'said');
  assert.equal(await body.locator('pre').textContent(), 'two\nlines');
  assert.match(await body.textContent(), /<b> &amp;/);
});

test('mentions, links and dates, the dates in the zone of the reader', async () => {
  const body = await draw(section('<@U0BOB> <#C0DBA|old> <!here> <https://example.com/a?b=1&amp;c=2|the page> <!date^1795363195^{date_num} {time}|22 Nov>'));
  assert.deepEqual(await body.locator('.mention').allTextContents(), ['@Bob', '#dba', '@here']);
  assert.equal(await body.locator('a').getAttribute('href'), 'https://example.com/a?b=1&c=2');
  assert.equal(await body.locator('a').getAttribute('rel'), 'noopener noreferrer');
  const expected = new Intl.DateTimeFormat('en', { timeZone: 'Asia/Tokyo', hour: 'numeric', minute: '2-digit' }).format(1795363195000);
  assert.equal((await body.locator('time').textContent()).replace(/^[\d-]+ /, ''), expected);
  assert.equal(await body.locator('time').getAttribute('title'), '22 Nov');
});

test('a message without blocks is its text, marked up as far as it was sent so', async () => {
  const text = '*b* https://example.com/a &lt;i&gt;';
  const links = async (message) => (await draw({ text, ...message })).locator('a').count();
  assert.equal(await links({}), 1);
  assert.equal(await links({ verbatim: true }), 0);
  const bare = await draw({ text, markup: false });
  assert.match(await bare.textContent(), /^\*b\*/);
});

test('an address that could run is no link', async () => {
  const body = await draw(section('<javascript:alert(1)|click> <data:text/html,x|here> <!date^1^{date}^javascript:alert(1)|d>'));
  assert.equal(await body.locator('a').count(), 0);
});

test('every kind of block the daemon may come to send', async () => {
  const body = await draw({
    blocks: [
      { type: 'header', text: { type: 'plain_text', text: 'Access *request* :key:', emoji: true } },
      { type: 'section', fields: [mrkdwn('*User*\nalice'), mrkdwn('*Role*\ndba')], accessory: { type: 'button', text: { type: 'plain_text', text: 'Open' }, url: 'https://example.com' } },
      { type: 'divider' },
      { type: 'context', elements: [mrkdwn('small print'), { type: 'image', image_url: 'https://example.com/x.png', alt_text: 'a key' }] },
      { type: 'actions', elements: [
        { type: 'button', style: 'primary', text: { type: 'plain_text', text: 'Approve' }, action_id: 'a' },
        { type: 'button', style: 'danger', text: { type: 'plain_text', text: 'Deny' }, action_id: 'd', confirm: {} },
      ] },
      { type: 'rich_text', elements: [{ type: 'rich_text_section', elements: [
        { type: 'text', text: '<b>literal</b>', style: { bold: true } }, { type: 'user', user_id: 'U0BOB' }, { type: 'link', url: 'javascript:alert(1)', text: 'no' },
      ] }, { type: 'rich_text_list', style: 'ordered', elements: [{ type: 'rich_text_section', elements: [{ type: 'text', text: 'one' }] }] }] },
      { type: 'video', title: 'unheard of' },
    ],
  });
  assert.equal(await body.getByRole('heading').textContent(), 'Access *request* 🔑');
  assert.deepEqual(await body.locator('.fields strong').allTextContents(), ['User', 'Role']);
  assert.equal(await body.locator('hr').count(), 1);
  assert.deepEqual(await body.locator('button').allTextContents(), ['Open', 'Approve', 'Deny']);
  assert.ok(await body.locator('button.primary').isDisabled(), 'no block says what the buttons do');
  assert.match(await body.locator('.context').textContent(), /a key/);
  assert.equal(await body.locator('.rich strong').textContent(), '<b>literal</b>');
  assert.equal(await body.locator('ol li').textContent(), 'one');
  assert.match(await body.locator('.unknown').textContent(), /video/);
  assert.equal(await body.locator('img, a').count(), 0, 'no picture is fetched, nothing dangerous is linked');
});

test('malformed blocks are drawn as far as they make sense', async () => {
  for (const blocks of [[null], [{}], [{ type: 'section' }], [{ type: 'section', text: 7 }], [{ type: 'context', elements: 'x' }], [{ type: 'actions', elements: [null] }], [{ type: 'rich_text', elements: [null] }], [{ type: 'header', text: { type: 'plain_text', text: {} } }]]) {
    await (await draw({ text: 'x', blocks })).waitFor({ state: 'attached' });
  }
});

test('a text made to be slow is not', async () => {
  const started = Date.now();
  await draw(section('*a _b ~c `d <'.repeat(4000)));
  await draw(section(`${'<'.repeat(20_000)}${'`'.repeat(20_000)}`));
  assert.ok(Date.now() - started < 3000, `${Date.now() - started} ms`);
});
