// The daemon's page /status: of the running demo, and drawn with everything that can go wrong (the snapshot of a unit test).
// STATUS_URL names the first.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { ask, faintTexts, messageAbout, openDemo, startBrowser, uniqueReason, untilLive } from './support.mjs';

const STATUS_URL = process.env.STATUS_URL ?? '';
const SNAPSHOT = new URL('../../teleport-slack/src/status/snapshots/teleport_slack__status__tests__everything_that_can_go_wrong.snap', import.meta.url);
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true };

let browser;
let troubled;
let reason;
before(async () => {
  assert.ok(STATUS_URL, 'STATUS_URL must name the page of a running daemon, for example http://127.0.0.1:9091/status');
  browser = await startBrowser();
  // Behind the two lines and the fields between them that the snapshot begins with.
  const text = await readFile(SNAPSHOT, 'utf8');
  troubled = text.slice(text.indexOf('<!DOCTYPE html>'));
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  reason = uniqueReason('not for this page');
  await ask(page, reason);
  await messageAbout(page, reason);
  await close();
});
after(() => browser?.close());

/** Opens one of both pages; `close()` also fails on console errors, refused content and any further request. */
async function open(which, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  page.on('request', (request) => request.url() !== STATUS_URL && !request.url().endsWith('/favicon.ico') && problems.push(`request: ${request.url()}`));
  if (which === 'troubled') {
    // With the headers of the real one, so that its policy holds.
    await page.route(STATUS_URL, async (route) => route.fulfill({ response: await route.fetch(), body: troubled }));
  }
  const response = await page.goto(STATUS_URL);
  assert.equal(response.status(), 200);
  return { page, async close() {
    await context.close();
    assert.deepEqual(problems.filter((text) => !text.includes('favicon')), []);
  } };
}

async function shoot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });
}

test('a daemon that works says so first, and shows where the request is shown', async () => {
  const { page, close } = await open('real');
  assert.equal(await page.title(), 'Everything works – teleport-slack');
  assert.equal(await page.locator('h2').first().textContent(), 'Everything works');
  const request = page.locator('article').last();
  await request.filter({ hasText: 'alice@example.com asks for dba' }).waitFor();
  await request.locator('td', { hasText: 'up to date' }).first().waitFor();
  assert.equal((await page.content()).includes(reason), false, 'the reason of a request is not for this page');
  await shoot(page, 'real');
  await close();
});

test('ids stay on one line beside long names', async () => {
  const { page, close } = await open('troubled', { viewport: { width: 1000, height: 900 } });
  const lines = await page.locator('td[data-label=Channel] bdi:first-child, td[data-label=Message] bdi:first-child').evaluateAll((ids) => ids.map((id) => id.getClientRects().length));
  assert.ok(lines.length >= 8, `${lines.length} ids`);
  assert.deepEqual([...new Set(lines)], [1]);
  await close();
});

for (const which of ['real', 'troubled']) {
  test(`nothing sticks out at 360 pixels, nor at 320 (${which})`, async () => {
    const { page, close } = await open(which, PHONE);
    const sticksOut = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(await sticksOut(), 0);
    await shoot(page, `${which}-360`);
    await page.setViewportSize({ width: 320, height: 740 });
    assert.equal(await sticksOut(), 0);
    await close();
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`text has a contrast of 4.5 to 1 (${which}, ${colorScheme})`, async () => {
      const { page, close } = await open(which, { colorScheme });
      assert.deepEqual(await page.evaluate(faintTexts), []);
      const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      assert.equal(paper === 'rgb(255, 255, 255)', colorScheme === 'light', paper);
      await shoot(page, `${which}-${colorScheme}`);
      await close();
    });
  }

  test(`forced colors and print leave every word (${which})`, async () => {
    const { page, close } = await open(which, { forcedColors: 'active' });
    const words = () => page.evaluate(() => document.querySelector('main').innerText.replace(/\s+/g, ' '));
    const forced = await words();
    const border = await page.evaluate(() => getComputedStyle(document.querySelector('.headline')).borderLeftWidth);
    assert.notEqual(border, '0px');
    await shoot(page, `${which}-forced`);
    await page.emulateMedia({ media: 'print', forcedColors: 'none' });
    assert.equal(await words(), forced);
    assert.equal(await page.locator('nav').isVisible(), false);
    await close();
  });
}

test('the keyboard reaches each link in order, and the focus is seen', async () => {
  const { page, close } = await open('real');
  const links = await page.locator('a').allTextContents();
  const seen = [];
  for (let presses = 0; presses < links.length; presses += 1) {
    await page.keyboard.press('Tab');
    seen.push(await page.evaluate(() => [document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]));
  }
  assert.deepEqual(seen, links.map((text) => [text, 'solid']));
  await close();
});

test('headings, landmarks and table headers are there for those who hear the page', async () => {
  const { page, close } = await open('troubled');
  const levels = await page.locator('h1, h2, h3').evaluateAll((all) => all.map((heading) => Number(heading.tagName[1])));
  assert.equal(levels[0], 1);
  levels.slice(1).forEach((level, at) => assert.ok(level >= 2 && level <= levels[at] + 1, `${levels}`));
  for (const role of ['banner', 'navigation', 'main', 'contentinfo']) assert.equal(await page.getByRole(role).count(), 1, role);
  const wide = await page.getByRole('columnheader').count();
  assert.ok(wide > 10 && await page.locator('thead th:not([scope=col]), tbody th:not([scope=row])').count() === 0);
  await page.setViewportSize({ width: 360, height: 740 });
  assert.equal(await page.getByRole('columnheader').count(), wide, 'they are tables on a phone, too');
  assert.equal(await page.getByRole('table').count(), await page.locator('table').count());
  await close();
});

test('it is whole without scripts and without motion, and loads itself again only if asked', async () => {
  const { page, close } = await open('real', { javaScriptEnabled: false, reducedMotion: 'reduce' });
  assert.equal(await page.locator('script').count(), 0);
  assert.equal(await page.locator('meta[http-equiv]').count(), 0);
  await page.locator('h2', { hasText: 'Rules in force' }).waitFor();
  await close();
  const context = await browser.newContext();
  const refreshing = await context.newPage();
  await refreshing.goto(STATUS_URL);
  await refreshing.getByRole('link', { name: 'Refresh every 15 s' }).click();
  assert.equal(await refreshing.locator('meta[http-equiv=refresh]').getAttribute('content'), '15');
  await refreshing.getByRole('link', { name: 'Stop the refresh' }).click();
  assert.equal(await refreshing.locator('meta[http-equiv]').count(), 0);
  await context.close();
});
