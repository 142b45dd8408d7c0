// The page on a phone, in the dark, without motion, and its contrast.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, decide, faintTexts, messageAbout, openDemo, sitDown, startBrowser, uniqueReason, untilLive, untilText } from './support.mjs';

let browser;
before(async () => (browser = await startBrowser()));
after(() => browser?.close());

test('nothing sticks out at 360 pixels, and both sides can be reached', async () => {
  const { page, close } = await openDemo(browser, { viewport: { width: 360, height: 740 }, hasTouch: true });
  await untilLive(page);
  const sticksOut = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const emptyBelow = () => page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
  const reason = uniqueReason(`long ${'x'.repeat(300)}`);
  const row = await ask(page, reason);
  assert.equal(await page.locator('#slack').isVisible(), false);
  await sitDown(page, 'bob');
  await row.locator('.row-actions button', { hasText: 'Approve' }).click();
  assert.equal(await sticksOut(), 0, 'Teleport');
  assert.equal(await emptyBelow(), 0, 'each side scrolls in itself, not the page');
  await untilText(page.locator('#tab-unread'), /\d/);
  await page.locator('#tab-slack').click();
  assert.equal(await page.locator('#teleport').isVisible(), false);
  const message = await messageAbout(page, reason);
  assert.equal(await sticksOut(), 0, 'Slack');
  assert.equal(await emptyBelow(), 0, 'each side scrolls in itself, not the page');
  await message.locator('.json').click();
  await message.locator('.raw').waitFor();
  assert.equal(await sticksOut(), 0, 'JSON');
  await close();
});

test('Slack shows the newest message when it comes into sight, and keeps a place that was scrolled to', async () => {
  const { page, close } = await openDemo(browser, { viewport: { width: 360, height: 740 }, hasTouch: true });
  await untilLive(page);
  const below = () => page.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector('#messages');
    return { height: clientHeight, left: scrollHeight - scrollTop - clientHeight };
  });
  const reasons = [1, 2, 3].map((n) => uniqueReason(`newest ${n}`));
  for (const reason of reasons) await ask(page, reason);
  await untilText(page.locator('#tab-unread'), /\d/);
  await page.locator('#tab-slack').click();
  const newest = page.locator('.message', { hasText: reasons.at(-1) });
  await newest.waitFor();
  await page.waitForFunction(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector('#messages');
    return scrollHeight > clientHeight && scrollHeight - scrollTop - clientHeight < 60;
  });
  // Who reads older messages is not torn away by a look at the other side.
  await page.evaluate(() => { document.querySelector('#messages').scrollTop = 0; });
  await page.locator('#tab-teleport').click();
  await page.locator('#tab-slack').click();
  assert.ok((await below()).left > 60, 'the place that was scrolled to is kept');
  await close();
});

test('a dark scheme changes both worlds', async () => {
  const { page, close } = await openDemo(browser, { colorScheme: 'light' });
  await untilLive(page);
  const colors = () => page.evaluate(() => ['body', '#slack', '#teleport'].map((css) => getComputedStyle(document.querySelector(css)).backgroundColor));
  const light = await colors();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await colors();
  light.forEach((color, index) => assert.notEqual(color, dark[index]));
  await close();
});

test('no motion where none is wanted', async () => {
  const { page, close } = await openDemo(browser, { reducedMotion: 'reduce' });
  await untilLive(page);
  const reason = uniqueReason();
  await ask(page, reason);
  await messageAbout(page, reason);
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`text has a contrast of 4.5 to 1 (${colorScheme})`, async () => {
    const { page, close } = await openDemo(browser, { colorScheme, reducedMotion: 'reduce' });
    await untilLive(page);
    const reason = uniqueReason('contrast');
    const row = await ask(page, `\u202e ${reason}`, { tag: reason });
    await page.locator('#compose .more summary').click();
    await messageAbout(page, reason);
    assert.deepEqual(await page.evaluate(faintTexts), [], 'as alice');
    await sitDown(page, 'bob');
    await decide(page, row, 'Approve', 'fine');
    await untilText(row.locator('.state'), 'APPROVED');
    const other = await ask(page, uniqueReason());
    await sitDown(page, 'tctl');
    await other.locator('.row-actions button', { hasText: 'Deny' }).click();
    await page.locator('#tab-audit').click();
    await page.locator('.json').first().click();
    assert.deepEqual(await page.evaluate(faintTexts), [], 'as tctl');
    await close();
  });
}

test('everything that can be operated has a name', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason();
  await ask(page, reason);
  await messageAbout(page, reason);
  await page.locator('#compose .more summary').click();
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, input, select, textarea, a, summary')]
      .filter((element) => element.checkVisibility())
      .filter((element) => !(element.getAttribute('aria-label') || element.textContent.trim() || [...(element.labels ?? [])].some((label) => label.textContent.trim())))
      .map((element) => element.outerHTML.slice(0, 120)));
  assert.deepEqual(nameless, []);
  for (const landmark of ['banner', 'main', 'navigation']) assert.equal(await page.getByRole(landmark).count() > 0, true, landmark);
  await close();
});
