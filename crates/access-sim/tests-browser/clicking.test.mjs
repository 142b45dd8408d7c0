// Deciding in Slack: buttons, the question before, the modal for a reason, answers to one person only.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, faintTexts, giveReason, lookAs, messageAbout, onlyForMe, openDemo, press, startBrowser, tabTo, uniqueReason, untilLive, untilText } from './support.mjs';

let browser;
before(async () => (browser = await startBrowser()));
after(() => browser?.close());

const modal = (page) => page.locator('dialog.view');
const decides = (message) => message.locator('.slack-button', { hasText: /Approve|Deny/ });

/** All copies of the messages that carry `reason`, as Slack holds them. */
async function copies(page, reason) {
  return page.evaluate(async (words) => {
    const { slack } = await (await fetch('/api/state')).json();
    return slack.conversations.flatMap(({ messages }) => messages.filter((message) => JSON.stringify(message.blocks).includes(words)));
  }, reason);
}

/** Goes to a room by its name. */
async function enter(page, room) {
  await page.locator('.room-link', { hasText: room }).click();
}

async function messageIn(page, room, reason) {
  await enter(page, room);
  const message = page.locator('#message-list > .message', { hasText: reason });
  await message.waitFor();
  return message;
}

async function auditOf(page, words) {
  await page.locator('#tab-audit').click();
  const event = page.locator('#audit li', { hasText: words }).first();
  await event.waitFor();
  return event.textContent();
}

test('bob approves by button; every copy loses its buttons, the thread and the audit log say who', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('restore');
  const row = await ask(page, reason);
  const message = await messageIn(page, 'access-requests', reason);
  await untilText(message, 'PENDING');
  assert.equal((await copies(page, reason)).filter(({ buttons }) => buttons.length > 0).length, 3, 'three copies with buttons');
  await lookAs(page, 'Bob');
  await press(page, message, 'Approve');
  const why = `go ahead ${reason}`;
  await giveReason(page, why);
  await untilText(onlyForMe(page), 'Only visible to you');
  await untilText(onlyForMe(page), 'The request is approved.');
  await untilText(message.locator('> .message-main'), 'APPROVED');
  await untilText(message.locator('.thread'), 'bob');
  await untilText(row.locator('.state'), 'APPROVED');
  await untilText(row.locator('.resolution'), why);
  await decides(message).first().waitFor({ state: 'detached' });
  await page.waitForFunction(async (words) => {
    const { slack } = await (await fetch('/api/state')).json();
    const all = slack.conversations.flatMap(({ messages }) => messages.filter((one) => JSON.stringify(one.blocks).includes(words)));
    return all.length === 3 && all.every((one) => one.buttons.every(({ action_id: id }) => id === 'open'));
  }, reason);
  const said = await auditOf(page, why);
  for (const part of ['delegator=bob@example.com', 'slack_user=U0BOB', 'slack_channel=C0REQUESTS', 'user=access-plugin']) assert.ok(said.includes(part), `${part} is not in ${said}`);
  await close();
});

test('a user who may not decide reads so, alone, and nothing happens', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('forbidden');
  const row = await ask(page, reason);
  for (const [name, sentence] of [
    ['Alice', 'This is your own request; somebody else must decide it.'],
    ['Erin', /linked to no Teleport user/],
    ['Gil', 'Guests cannot decide on access.'],
    ['Eve', /outside this Slack workspace|belongs to another workspace/],
  ]) {
    await lookAs(page, name);
    const message = await messageIn(page, 'access-requests', reason);
    await press(page, message, 'Approve');
    await untilText(onlyForMe(page), sentence);
    assert.equal(await modal(page).count(), 0, `${name} is asked nothing`);
    await lookAs(page, 'Bob');
    await page.locator('#message-list > .message.ephemeral', { hasText: sentence }).waitFor({ state: 'detached' });
  }
  assert.equal(await row.getAttribute('data-state'), 'PENDING');
  await close();
});

test('an answer for one person can be dismissed', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('dismissed');
  await ask(page, reason);
  await lookAs(page, 'Alice');
  await press(page, await messageIn(page, 'access-requests', reason), 'Deny');
  const answer = onlyForMe(page);
  await answer.waitFor();
  await answer.locator('.dismiss').click();
  await answer.waitFor({ state: 'detached' });
  assert.ok(await page.evaluate(() => document.activeElement.matches('.message')), 'the focus is at the message before');
  await close();
});

test('two approvals: confirmed, with a reason each; the first is counted, the second decides', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('upgrade');
  const row = await ask(page, reason, { role: 'admin' });
  await lookAs(page, 'Bob');
  const message = await messageIn(page, 'dba-approvers', reason);

  await press(page, message, 'Approve', { sure: 'Cancel' });
  assert.equal(await modal(page).count(), 0, 'not sure: nothing was sent');
  await message.locator('.slack-button', { hasText: 'Approve' }).click();
  await untilText(page.locator('dialog.confirm'), 'alice@example.com gets: admin.');
  await page.locator('dialog.confirm .slack-button.primary').click();

  await modal(page).waitFor();
  await modal(page).locator('.slack-button.primary').click();
  await untilText(modal(page).locator('.field-error'), 'Please complete this required field.');
  assert.ok(await page.evaluate(() => document.activeElement.matches('dialog textarea[aria-invalid]')), 'the focus is where something is missing');
  // Blanks fill the field, so it is the daemon that says no; the modal stays open.
  await modal(page).locator('textarea').fill('   ');
  await modal(page).locator('.slack-button.primary').click();
  await untilText(modal(page).locator('.field-error'), 'This role cannot be decided without a reason.');
  await giveReason(page, `one ${reason}`);
  await untilText(onlyForMe(page), 'Your approval counts: 1 of 2 approvals.');
  await untilText(message.locator('> .message-main'), '1 of 2 approvals');
  await untilText(row.locator('.state'), 'PENDING');
  await untilText(row.locator('.progress'), /^0 of 2 approvals .*in Teleport$/);
  await untilText(row.locator('.votes'), 'Votes pressed in Slack are counted there');

  await press(page, message, 'Approve', { sure: 'Approve' });
  await untilText(onlyForMe(page), 'You already approved this request in Slack');

  await lookAs(page, 'Carol');
  await press(page, message, 'Approve', { sure: 'Approve' });
  await giveReason(page, `two ${reason}`);
  await untilText(onlyForMe(page), 'The request is approved.');
  await untilText(row.locator('.state'), 'APPROVED');
  await decides(message).first().waitFor({ state: 'detached' });
  const said = await auditOf(page, `two ${reason}`);
  assert.ok(said.includes('delegator=carol@example.com') && said.includes('slack_users=U0BOB,U0CAROL'), said);
  await close();
});

test('a denial with its reason', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('denied');
  const row = await ask(page, reason);
  await lookAs(page, 'Carol');
  const message = await messageIn(page, 'access-requests', reason);
  await press(page, message, 'Deny');
  await giveReason(page, 'not tonight', 'Deny');
  await untilText(row.locator('.state'), 'DENIED');
  await untilText(message.locator('> .message-main'), 'not tonight');
  await close();
});

test('everybody has their own Slack', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const rooms = async () => page.locator('.room-link:visible .room-name').allTextContents();
  await lookAs(page, 'Carol');
  assert.ok((await rooms()).includes('sec-ops'), 'a private channel, which they are in');
  await lookAs(page, 'Bob');
  assert.ok(!(await rooms()).includes('sec-ops'), 'a private channel');
  await lookAs(page, 'Gil');
  assert.deepEqual((await rooms()).filter((name) => name !== 'teleport'), ['access-requests']);
  await lookAs(page, 'Dan');
  assert.deepEqual(await rooms(), []);
  await untilText(page.locator('#messages-empty'), 'deactivated');
  assert.equal(await page.locator('#message-list > .message').count(), 0);
  await close();
});

test('by keyboard: button, question, modal; Escape gives the focus back', async () => {
  const { page, close } = await openDemo(browser);
  await untilLive(page);
  const reason = uniqueReason('typed');
  const row = await ask(page, reason, { role: 'prod-db' });
  await lookAs(page, 'Bob');
  const message = await messageIn(page, 'access-requests', reason);
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  await message.locator('.json').focus();
  await tabTo(page, '[data-act="press:deny"]');
  await page.keyboard.press('Enter');
  await page.locator('dialog.confirm').waitFor();
  assert.equal(await focused(), 'Cancel', 'the harmless answer has the focus');
  await page.keyboard.press('Escape');
  assert.equal(await focused(), 'Deny');
  await page.keyboard.press('Enter');
  await tabTo(page, 'dialog .danger');
  await page.keyboard.press('Enter');
  await modal(page).waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.matches('dialog textarea')));
  await page.keyboard.press('Escape');
  await modal(page).waitFor({ state: 'detached' });
  assert.equal(await focused(), 'Deny');
  await page.keyboard.press('Enter');
  await tabTo(page, 'dialog .danger');
  await page.keyboard.press('Enter');
  await modal(page).waitFor();
  await page.keyboard.type('by hand');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await untilText(row.locator('.state'), 'DENIED');
  await modal(page).waitFor({ state: 'detached' });
  assert.ok(await message.evaluate((element) => element.contains(document.activeElement)), 'the focus stays at the message');
  await close();
});

test('a modal shows in the window that asked for it only', async () => {
  const one = await openDemo(browser);
  const other = await openDemo(browser);
  await untilLive(one.page);
  await untilLive(other.page);
  const reason = uniqueReason('windows');
  await ask(one.page, reason);
  for (const { page } of [one, other]) await lookAs(page, 'Bob');
  await press(one.page, await messageIn(one.page, 'access-requests', reason), 'Approve');
  await modal(one.page).waitFor();
  const version = await one.page.locator('body').getAttribute('data-version');
  await other.page.waitForFunction((known) => Number(document.body.dataset.version) >= Number(known), version);
  assert.equal(await modal(other.page).count(), 0);
  await modal(one.page).locator('.slack-button', { hasText: 'Cancel' }).click();
  await modal(one.page).waitFor({ state: 'detached' });
  await one.close();
  await other.close();
});

test('a click that the app does not take is shown as Slack shows it', async () => {
  const { page, close } = await openDemo(browser, {}, {
    prepare: (fresh) => fresh.route('**/api/slack/click', (route) => route.fulfill({ json: { warning: 'Operation timed out. Apps need to respond within 3 seconds.' } })),
  });
  await untilLive(page);
  const reason = uniqueReason('slow');
  await ask(page, reason);
  const message = await messageIn(page, 'access-requests', reason);
  await press(page, message, 'Approve');
  await untilText(message.locator('.slack-warning'), 'Operation timed out.');
  await close();
});

test('an error of the app stands at its input, and what was typed stays', async () => {
  let complaining = true;
  const { page, close } = await openDemo(browser, {}, {
    prepare: (fresh) => fresh.route('**/api/slack/submit', (route) => (complaining ? route.fulfill({ json: { errors: { reason: 'Too terse.' } } }) : route.continue())),
  });
  await untilLive(page);
  const reason = uniqueReason('terse');
  const row = await ask(page, reason);
  await lookAs(page, 'Bob');
  await press(page, await messageIn(page, 'access-requests', reason), 'Approve');
  const input = modal(page).locator('textarea');
  await input.fill('ok');
  await modal(page).locator('.slack-button.primary').click();
  await untilText(modal(page).locator('.field-error'), 'Too terse.');
  assert.equal(await input.inputValue(), 'ok');
  assert.equal(await input.getAttribute('aria-invalid'), 'true');
  complaining = false;
  await giveReason(page, 'all right then');
  await untilText(row.locator('.state'), 'APPROVED');
  await close();
});

for (const [colorScheme, viewport] of [['light', { width: 360, height: 740 }], ['dark', { width: 1280, height: 900 }]]) {
  test(`modals fit and can be read (${colorScheme}, ${viewport.width} wide)`, async () => {
    const { page, close } = await openDemo(browser, { colorScheme, viewport, reducedMotion: 'reduce' });
    await untilLive(page);
    const reason = uniqueReason(`long ${'x'.repeat(200)}`);
    await ask(page, reason, { role: 'admin' });
    if (viewport.width < 900) await page.locator('#tab-slack').click();
    await lookAs(page, 'Carol');
    const message = await messageAbout(page, reason);
    await message.locator('.slack-button', { hasText: 'Deny' }).click();
    const fits = (css) => page.locator(css).evaluate((element) => {
      const box = element.getBoundingClientRect();
      return box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
    });
    assert.ok(await fits('dialog.confirm'), 'the question');
    assert.deepEqual(await page.evaluate(faintTexts), [], 'the question');
    await page.locator('dialog.confirm .danger').click();
    await modal(page).waitFor();
    assert.ok(await fits('dialog.view'), 'the modal');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
    await modal(page).locator('.slack-button.danger, .slack-button.primary').click();
    await modal(page).locator('.field-error:visible').waitFor();
    assert.deepEqual(await page.evaluate(faintTexts), [], 'the modal');
    await modal(page).locator('.slack-button', { hasText: 'Cancel' }).click();
    await modal(page).waitFor({ state: 'detached' });
    await lookAs(page, 'Alice');
    await page.locator('.room-link', { hasText: 'access-requests' }).click();
    await press(page, page.locator('#message-list > .message', { hasText: reason }), 'Approve', { sure: 'Approve' });
    await onlyForMe(page).waitFor();
    assert.deepEqual(await page.evaluate(faintTexts), [], 'the answer');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
    await close();
  });
}
