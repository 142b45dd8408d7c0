// What the JavaScript scripts share: the simulator, its people, and one line for each thing checked.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export const SIM = JSON.parse(process.env.SIM);

/** Asks the simulator's control interface; posts if there is a body. */
export async function control(path, body) {
  const asked = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(SIM.control_url + path, body === undefined ? undefined : asked);
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
}

/** What one of the example programs prints that show what the daemon does. */
export async function ours(name, ...args) {
  const options = { maxBuffer: 64 << 20, timeout: 120_000 };
  return (await promisify(execFile)(join(process.env.PROGRAMS, name), args, options)).stdout;
}

/** How a user's client looks. */
export async function person(user) {
  return (await control('/workspace')).people.find((one) => one.id === user);
}

/** Looks again and again until there is something to see. */
export async function waitFor(what, look, limit = 20_000) {
  const end = Date.now() + limit;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await sleep(50);
  }
  throw new Error(`waited without success for ${what}`);
}

/** Runs a body and says how it went. */
export async function check(name, body) {
  try {
    await body();
    console.log(`ok - ${name}`);
  } catch (error) {
    console.error(error);
    console.log(`FAILED - ${name}: ${String(error.message).split('\n')[0]}`);
  }
}

/** The last line of a script. Ends the process, whatever a library left open. */
export function done() {
  process.stdout.write('done\n', () => process.exit(0));
}

export const same = assert.deepEqual;

export const plain = (text) => ({ type: 'plain_text', text });

/** A message with two buttons, one of which asks first. */
export const sampleBlocks = () => [
  { type: 'section', text: { type: 'mrkdwn', text: '*alice* asks for `dba`' } },
  {
    type: 'actions',
    block_id: 'decide',
    elements: [
      { type: 'button', action_id: 'approve', text: plain('Approve'), value: 'req-1' },
      {
        type: 'button',
        action_id: 'deny',
        text: plain('Deny'),
        value: 'req-1',
        confirm: { title: plain('Sure?'), text: plain('It is final.'), confirm: plain('Deny'), deny: plain('Back') },
      },
    ],
  },
];

/** A modal with one input. */
export const reasonModal = () => ({
  type: 'modal',
  callback_id: 'deny',
  private_metadata: 'req-1',
  title: plain('Deny'),
  submit: plain('Deny'),
  close: plain('Back'),
  notify_on_close: true,
  blocks: [
    {
      type: 'input',
      block_id: 'why',
      label: plain('Reason'),
      element: { type: 'plain_text_input', action_id: 'reason', multiline: true, max_length: 200 },
    },
  ],
});

/** A user presses a button of a message in C0REQUESTS. */
export const click = (user, ts, action_id, more = {}) =>
  control('/click', { user, channel: 'C0REQUESTS', ts, action_id, ...more });

/** Bob submits the modal in front of them. */
export const submit = (reason) => control('/submit', { user: 'U0BOB', values: { reason } });

/** Adds what the bots of both transports do. `heard` gets every payload. */
export function addListeners(app, heard) {
  app.action('approve', async ({ ack, body, action, respond }) => {
    await ack();
    heard.push(body);
    await respond({ text: `approved ${action.value}` });
    await respond({ text: 'for all to see', response_type: 'in_channel' });
  });
  app.action('deny', async ({ ack, body, client }) => {
    await ack();
    heard.push(body);
    await client.views.open({ trigger_id: body.trigger_id, view: reasonModal() });
  });
  app.view('deny', async ({ ack, body, view, client }) => {
    heard.push(body);
    const reason = view.state.values.why.reason.value;
    if (reason === 'no') {
      await ack({ response_action: 'errors', errors: { why: 'Say more.' } });
      return;
    }
    await ack();
    await client.chat.postEphemeral({ channel: 'C0REQUESTS', user: body.user.id, text: `denied: ${reason}` });
  });
  app.view({ callback_id: 'deny', type: 'view_closed' }, async ({ ack, body }) => {
    await ack();
    heard.push(body);
  });
}

/** What both transports must be able to do with those listeners. */
export async function checkListeners(ts, heard) {
  await check('a click is heard and acknowledged', async () => {
    same((await click('U0BOB', ts, 'approve')).acknowledged, true);
    await waitFor('the bot', () => heard.length > 0);
    const body = heard.at(-1);
    same([body.user.id, body.container.message_ts, body.actions[0].value], ['U0BOB', ts, 'req-1']);
  });

  await check('respond() reaches the person and the channel', async () => {
    const texts = async () => (await person('U0BOB')).ephemerals.map((one) => one.text).join();
    await waitFor('the answer', async () => (await texts()) === 'approved req-1');
    await waitFor('the message', async () => {
      const channel = (await control('/workspace')).conversations.find((one) => one.id === 'C0REQUESTS');
      return channel.messages.some((one) => one.text === 'for all to see');
    });
  });

  await check('fields of the future do no harm', async () => {
    same((await click('U0CAROL', ts, 'approve', { forgery: 'extra_fields' })).acknowledged, true);
  });

  await check('a modal is opened, rejected, submitted and closed', async () => {
    const asked = await click('U0BOB', ts, 'deny');
    same([asked.acknowledged, asked.confirm.title], [false, 'Sure?']);
    same((await click('U0BOB', ts, 'deny', { confirmed: true })).acknowledged, true);
    await waitFor('the modal', async () => (await person('U0BOB')).views.length === 1);
    same(await submit('no'), { answer: 'errors', detail: { why: 'Say more.' } });
    same(await submit('not during the freeze'), { answer: 'closed', detail: null });
    const last = async () => (await person('U0BOB')).ephemerals.at(-1).text;
    await waitFor('the answer', async () => (await last()) === 'denied: not during the freeze');
  });

  await check('closing a modal is reported', async () => {
    same((await click('U0BOB', ts, 'deny', { confirmed: true })).acknowledged, true);
    await waitFor('the modal', async () => (await person('U0BOB')).views.length === 1);
    same((await control('/close', { user: 'U0BOB' })).acknowledged, true);
    await waitFor('the bot', () => heard.at(-1).type === 'view_closed');
  });
}
