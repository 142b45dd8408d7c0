// The scenario, from both sides: what is done in Teleport is seen in Slack.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, decide, messageAbout, openDemo, rowOf, sitDown, startBrowser, uniqueReason, untilLive, untilText, tabTo } from './support.mjs';

let browser;
before(async () => (browser = await startBrowser()));
after(() => browser?.close());

test('an approval turns the message, names the reviewer in the thread and the audit log', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('replication lag');
  const row = await ask(page, reason);
  await untilText(page.locator('#log'), `--roles=dba --reason='${reason}'`);
  await untilText(row.locator('.until'), 'left');
  const message = await messageAbout(page, reason);
  await untilText(message, 'PENDING');
  await sitDown(page, 'bob');
  await decide(page, row, 'Approve', "go on, it's fine");
  await untilText(row.locator('.state'), 'APPROVED');
  await untilText(row.locator('.reviews'), "bob@example.com: go on, it's fine");
  await untilText(message.locator('> .message-main'), 'APPROVED');
  await untilText(message.locator('.thread'), 'bob');
  await untilText(page.locator('#log'), "tsh request review --approve --reason='go on, it'\\''s fine'");
  await page.locator('#tab-audit').click();
  await untilText(page.locator('#audit li').first(), 'access_request.review');
  await untilText(page.locator('#audit li').first(), 'bob@example.com');
  await close();
});

test('a request leaves nothing of its form to the next one or to another user', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const chosen = () => page.locator('#compose input:checked').count();
  const choose = async (name) => {
    await sitDown(page, name);
    await page.locator('#compose input[name=role]').first().setChecked(true, { force: true });
    assert.equal(await chosen(), 1);
  };
  const row = await ask(page, uniqueReason('first'));
  await row.waitFor();
  await page.waitForFunction(() => document.querySelectorAll('#compose input:checked').length === 0);
  await page.locator('#compose .run').click();
  await untilText(page.locator('#compose-error'), 'Choose at least one role.');
  await choose('alice');
  await choose('erin');
  await sitDown(page, 'alice');
  assert.equal(await chosen(), 0, 'what was chosen for erin');
  await close();
});

test('a denial turns the message', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason();
  const row = await ask(page, reason);
  const message = await messageAbout(page, reason);
  await sitDown(page, 'carol');
  await decide(page, row, 'Deny', 'not today');
  await untilText(row.locator('.state'), 'DENIED');
  await untilText(message.locator('> .message-main'), 'DENIED');
  await untilText(message, 'not today');
  assert.equal(await row.locator('.row-actions button:visible').count(), 0, 'nothing is left to decide');
  await close();
});

test('the administrator deletes one request and lets another run out; Slack stops calling them pending', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  for (const action of ['Delete', 'Expire now']) {
    const reason = uniqueReason(action);
    const row = await ask(page, reason);
    const message = await messageAbout(page, reason);
    await untilText(message, 'PENDING');
    await sitDown(page, 'tctl');
    await decide(page, row, action);
    await row.waitFor({ state: 'detached' });
    await untilText(message, 'EXPIRED');
    assert.ok(!(await message.textContent()).includes('PENDING'));
  }
  await close();
});

test('the administrator can set the state', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason();
  const row = await ask(page, reason);
  const message = await messageAbout(page, reason);
  await sitDown(page, 'tctl');
  await decide(page, row, 'Approve', 'by hand');
  await untilText(row.locator('.resolution'), 'by hand');
  await untilText(message.locator('> .message-main'), 'APPROVED');
  await untilText(page.locator('#log'), "tctl requests approve --reason='by hand'");
  await close();
});

test('two windows show the same, each without being touched', async () => {
  const one = await openDemo(browser);
  const other = await openDemo(browser);
  await untilLive(one.page);
  await untilLive(other.page);
  const reason = uniqueReason();
  await ask(one.page, reason);
  await rowOf(other.page, reason).waitFor();
  await one.close();
  await other.close();
});

test('a half-typed answer survives changes made elsewhere', async () => {
  const one = await openDemo(browser);
  const other = await openDemo(browser);
  await untilLive(one.page);
  await untilLive(other.page);
  const reason = uniqueReason();
  const row = await ask(one.page, reason);
  await sitDown(one.page, 'bob');
  await row.locator('.row-actions button', { hasText: 'Approve' }).click();
  await one.page.keyboard.type('still thin');
  const later = uniqueReason('another one');
  await ask(other.page, later);
  await rowOf(one.page, later).waitFor();
  await one.page.keyboard.type('king');
  assert.equal(await row.locator('.row-form input').inputValue(), 'still thinking');
  await one.close();
  await other.close();
});

test("Teleport's refusal is shown at the form and in the terminal, in its own words", async () => {
  const { page, pageErrors, close } = await openDemo(browser);
  await untilLive(page);
  await sitDown(page, 'alice');
  await page.locator('#compose .more summary').click();
  await page.locator('#other-role').fill('no-such-role');
  await page.locator('#reason').fill(uniqueReason());
  await page.locator('#compose .run').click();
  const error = page.locator('#compose-error');
  await error.waitFor();
  const sentence = await error.textContent();
  assert.ok(sentence.length > 10, sentence);
  await untilText(page.locator('#log .error'), sentence);
  // The browser itself reports the refused call; that one error is expected.
  assert.equal(pageErrors.length, 1, pageErrors.join('\n'));
  assert.match(pageErrors.pop(), /status of 4\d\d/);
  await close();
});

test('an empty form is refused without a call', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  await sitDown(page, 'alice');
  await page.locator('#compose .run').click();
  await untilText(page.locator('#compose-error'), 'Choose at least one role.');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'role');
  await close();
});

test('a lost connection is shown and restored', async () => {
  let broken = true;
  const { page, pageErrors } = await openDemo(browser, {}, {
    prepare: (fresh) => fresh.route('**/api/events', (route) => (broken ? route.abort() : route.continue())),
  });
  await untilText(page.locator('.link'), 'Connection lost, trying again');
  broken = false;
  await untilLive(page);
  await untilText(page.locator('.link'), 'Live');
  assert.ok(pageErrors.every((text) => text.includes('ERR_FAILED')), pageErrors.join('\n'));
  await page.context().close();
});

test('what people write is text, whatever it looks like', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const tag = uniqueReason('hostile');
  const hostile = `${tag} <img src=x onerror="window.pwned=1"> <script>window.pwned=1</script> <!channel> <@U0BOB> <https://evil.example|teleport> \u202egnp.exe\u202c &lt;b&gt;`;
  const row = await ask(page, hostile, { tag });
  await untilText(row.locator('.reason'), '<img src=x onerror="window.pwned=1"> <script>window.pwned=1</script> <!channel>');
  await untilText(row.locator('.reason'), 'U+202E');
  const message = await messageAbout(page, tag);
  await untilText(message, '<img src=x onerror=');
  assert.equal(await page.locator('main img, main script, main iframe').count(), 0);
  assert.equal(await message.locator('.mention, a[href*="evil"]').count(), 0, 'no mention and no link came of it');
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await message.locator('.json').click();
  await untilText(message.locator('.raw'), '&lt;img src=x');
  await close();
});

test('the whole path goes by keyboard', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('by keyboard');
  const press = (key) => page.keyboard.press(key);
  const focusRing = () => page.evaluate(() => {
    const element = document.activeElement;
    const holder = element.matches('input[type=radio], input[type=checkbox]') ? element.parentElement : element;
    return getComputedStyle(holder).outlineStyle;
  });

  await tabTo(page, '.person input');
  assert.notEqual(await focusRing(), 'none', 'the focus can be seen');
  await press('Home');
  while (!(await page.evaluate(() => document.activeElement.value.startsWith('alice')))) await press('ArrowRight');
  await tabTo(page, '#compose input[name=role][value=dba]');
  assert.notEqual(await focusRing(), 'none', 'the focus can be seen');
  await press('Space');
  await tabTo(page, '#reason');
  await page.keyboard.type(reason);
  await press('Enter');
  const row = rowOf(page, reason);
  await row.waitFor();

  await tabTo(page, '.person input', 'Shift+Tab');
  while (!(await page.evaluate(() => document.activeElement.value.startsWith('bob')))) await press('ArrowRight');
  await tabTo(page, '.request:first-child .row-actions button');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Approve');
  await press('Enter');
  await press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Approve', 'Escape gives the focus back');
  await press('Enter');
  await page.keyboard.type('typed only');
  await press('Enter');
  await untilText(row.locator('.state'), 'APPROVED');

  await tabTo(page, '.room-link');
  const rooms = await page.locator('.room-link').count();
  assert.ok(rooms > 1, 'there is more than one room');
  const first = await page.evaluate(() => document.activeElement.dataset.room);
  await press('ArrowDown');
  const second = await page.evaluate(() => document.activeElement.dataset.room);
  assert.notEqual(first, second);
  await press('Enter');
  assert.equal(await page.locator('.room-link[aria-current]').getAttribute('data-room'), second);
  const message = await messageAbout(page, reason);
  await untilText(message, 'APPROVED');
  await message.locator('.json').focus();
  await press('Space');
  await message.locator('.raw').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.dataset.act), 'json', 'the focus stays');

  // Around once: from the start of the page, Tab leaves it again.
  await page.evaluate(() => document.activeElement.blur());
  const stops = new Set();
  for (let presses = 0; presses < 400; presses += 1) {
    await press('Tab');
    const stop = await page.evaluate(() => {
      if (document.activeElement === document.body) return null;
      document.activeElement.dataset.stop ??= crypto.randomUUID();
      return document.activeElement.dataset.stop;
    });
    if (stop === null || stops.has(stop)) break;
    stops.add(stop);
    assert.notEqual(presses, 399, 'Tab is trapped');
  }
  await close();
});
