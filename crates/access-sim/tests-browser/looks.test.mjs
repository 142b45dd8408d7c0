// The page on a phone, in the dark, without motion, and its contrast.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, decide, messageAbout, openDemo, sitDown, startBrowser, uniqueReason, untilLive, untilText } from './support.mjs';

let browser;
before(async () => (browser = await startBrowser()));
after(() => browser?.close());

test('nothing sticks out at 360 pixels, and both sides can be reached', async () => {
  const { page, close } = await openDemo(browser, { viewport: { width: 360, height: 740 }, hasTouch: true });
  await untilLive(page);
  const sticksOut = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const reason = uniqueReason(`long ${'x'.repeat(300)}`);
  const row = await ask(page, reason);
  assert.equal(await page.locator('#slack').isVisible(), false);
  await sitDown(page, 'bob');
  await row.locator('.row-actions button', { hasText: 'Approve' }).click();
  assert.equal(await sticksOut(), 0, 'Teleport');
  await untilText(page.locator('#tab-unread'), /\d/);
  await page.locator('#tab-slack').click();
  assert.equal(await page.locator('#teleport').isVisible(), false);
  const message = await messageAbout(page, reason);
  assert.equal(await sticksOut(), 0, 'Slack');
  await message.locator('.json').click();
  await message.locator('.raw').waitFor();
  assert.equal(await sticksOut(), 0, 'JSON');
  await close();
});

test('a dark scheme changes both worlds', async () => {
  const { page, close } = await openDemo(browser, { colorScheme: 'light' });
  await untilLive(page);
  const colours = () => page.evaluate(() => ['body', '#slack', '#teleport'].map((css) => getComputedStyle(document.querySelector(css)).backgroundColor));
  const light = await colours();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await colours();
  light.forEach((colour, index) => assert.notEqual(colour, dark[index]));
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

/** Runs in the page: visible texts whose contrast with what lies behind them is below 4.5. */
function faintTexts() {
  const channels = (colour) => {
    const numbers = colour.match(/[\d.]+/g).map(Number);
    const scale = colour.startsWith('color(') ? 255 : 1;
    return { rgb: numbers.slice(0, 3).map((value) => value * scale), alpha: numbers[3] ?? 1 };
  };
  const over = (top, below) => top.rgb.map((value, index) => value * top.alpha + below[index] * (1 - top.alpha));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = channels(getComputedStyle(element).backgroundColor);
    return own.alpha === 1 ? own.rgb : over(own, behind(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== '');
    if (!hasText || !element.checkVisibility({ opacityProperty: true }) || element.closest('.hidden, .skip, option, [disabled]')) continue;
    const below = behind(element);
    const [light, dark] = [luminance(over(channels(getComputedStyle(element).color), below)), luminance(below)].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${element.tagName}.${element.className} “${element.textContent.trim().slice(0, 40)}”`);
  }
  return faint;
}
