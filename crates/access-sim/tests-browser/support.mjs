// What every test of the page needs: a browser, a page that reports its errors, and the verbs of the scenario.
//
// Waits are for conditions, never for time. Several tests share one demo, so each writes its own reason and
// looks only at what carries it.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

export const URL_OF_DEMO = process.env.DEMO_URL ?? '';
const LIMIT_MS = 15_000;

/** One browser for a test file; `after` closes it. */
export async function startBrowser() {
  assert.ok(URL_OF_DEMO, 'DEMO_URL must name a running demo, for example http://127.0.0.1:8080/');
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/** Opens the page, live; `close()` also fails on console errors, refused content and foreign requests. */
export async function openDemo(browser, options = {}, { prepare } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(LIMIT_MS);
  const pageErrors = [];
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && pageErrors.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => pageErrors.push(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(URL_OF_DEMO).origin)) pageErrors.push(`foreign request: ${request.url()}`);
  });
  await page.exposeFunction('reportPolicyViolation', (text) => pageErrors.push(`policy: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => window.reportPolicyViolation(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await prepare?.(page);
  await page.goto(URL_OF_DEMO);
  return {
    page,
    pageErrors,
    async close() {
      await context.close();
      assert.deepEqual(pageErrors, [], 'the page reported errors');
    },
  };
}

export async function untilLive(page) {
  await page.locator('body[data-link="live"][data-version]').waitFor();
}

let counter = 0;

/** A reason that no other test has. */
export function uniqueReason(words = 'disk is full') {
  counter += 1;
  return `${words} ${process.pid}-${counter}-${Date.now().toString(36)}`;
}

export async function sitDown(page, name) {
  await page.locator('.person', { hasText: name }).locator('input').check({ force: true });
}

/** Asks for one role as alice; answers with the request's row, which carries `tag`. */
export async function ask(page, reason, { role = 'dba', tag = reason } = {}) {
  await sitDown(page, 'alice');
  for (const choice of await page.locator('#compose input[name=role]').all()) {
    await choice.setChecked((await choice.getAttribute('value')) === role, { force: true });
  }
  await page.locator('#reason').fill(reason);
  await page.locator('#compose .run').click();
  const row = rowOf(page, tag);
  await row.waitFor();
  return row;
}

export function rowOf(page, reason) {
  return page.locator('#requests > .request', { hasText: reason });
}

/** Runs an action of a row, with a reason if it takes one. */
export async function decide(page, row, label, reason) {
  await row.locator('.row-actions button', { hasText: label }).click();
  if (reason !== undefined) await row.locator('.row-form input').fill(reason);
  await row.locator('.row-form .run').click();
}

/** Goes to a room where a message carries `reason`, once there is one; answers with the message. */
export async function messageAbout(page, reason) {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const { room, version } = await page.evaluate(async (words) => {
      const { slack, version: number } = await (await fetch('/api/state')).json();
      const found = slack.conversations.find(({ messages }) => messages.some((message) => JSON.stringify(message).includes(words)));
      return { room: found?.id, version: String(number) };
    }, reason);
    if (room) {
      await page.locator(`.room-link[data-room="${room}"]`).click();
      const message = page.locator('#message-list > .message', { hasText: reason });
      await message.waitFor();
      return message;
    }
    assert.ok(Date.now() < deadline, `nothing in Slack carries “${reason}”`);
    await page.waitForFunction((known) => Number(document.body.dataset.version) > Number(known), version);
  }
}

/** Waits until `locator` contains `text`. */
export async function untilText(locator, text) {
  await locator.filter({ hasText: text }).waitFor();
}

/** Presses Tab until the focus is on something that matches; fails if that takes a whole round. */
export async function tabTo(page, selector, key = 'Tab') {
  for (let presses = 0; presses < 150; presses += 1) {
    await page.keyboard.press(key);
    if (await page.evaluate((css) => document.activeElement?.matches(css) ?? false, selector)) return;
  }
  assert.fail(`Tab never came to ${selector}`);
}

/** Sits down before a user's Slack. */
export async function lookAs(page, name) {
  await page.locator('.viewer', { hasText: name }).locator('input').check({ force: true });
}

/** Presses a button on a message and answers Slack's “are you sure?” if `sure` is given. */
export async function press(page, message, label, { sure } = {}) {
  await message.locator('.slack-button', { hasText: label }).click();
  if (sure !== undefined) await page.locator('dialog.confirm .slack-button', { hasText: sure }).click();
}

/** Fills in the modal that asks for a reason and submits it. */
export async function giveReason(page, reason, label = 'Approve') {
  const modal = page.locator('dialog.view');
  await modal.waitFor();
  await modal.locator('textarea').fill(reason);
  await modal.locator('.slack-button', { hasText: label }).click();
  await modal.waitFor({ state: 'detached' });
}

/** The newest message that only the person who looks can see. */
export function onlyForMe(page) {
  return page.locator('#message-list > .message.ephemeral').last();
}

/** Runs in the page: visible texts whose contrast with what lies behind them is below 4.5. */
export function faintTexts() {
  const channels = (color) => {
    const numbers = color.match(/[\d.]+/g).map(Number);
    const scale = color.startsWith('color(') ? 255 : 1;
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
