// @slack/web-api calls the Web API.

import { WebClient } from '@slack/web-api';

import { SIM, sampleBlocks, click, control, done, check, reasonModal, same } from './common.mjs';

const client = new WebClient(SIM.token, { slackApiUrl: SIM.api_url });

async function errorOf(call) {
  try {
    await call;
  } catch (error) {
    return error.data?.error;
  }
  throw new Error('no error');
}

await check('auth.test knows the bot and its scopes', async () => {
  const me = await client.auth.test();
  same([me.user_id, me.team_id, me.bot_id], ['U0BOT', 'T0DEMO', 'B0BOT']);
  same(me.response_metadata.scopes.includes('chat:write'), true);
});

await check('a message is posted, edited, read and deleted', async () => {
  const metadata = { event_type: 'access_request', event_payload: { id: 'req-1' } };
  const posted = await client.chat.postMessage({ channel: 'C0REQUESTS', text: 'asks', blocks: sampleBlocks(), metadata });
  same(posted.message.blocks[1].block_id, 'decide');
  await client.chat.update({ channel: posted.channel, ts: posted.ts, text: 'decided', blocks: sampleBlocks().slice(0, 1) });
  const reply = await client.chat.postMessage({ channel: posted.channel, thread_ts: posted.ts, text: 'thanks' });
  const history = await client.conversations.history({ channel: 'C0REQUESTS', include_all_metadata: true });
  same(history.messages.map((one) => one.ts), [posted.ts]);
  same(history.messages[0].metadata, metadata);
  const replies = await client.conversations.replies({ channel: 'C0REQUESTS', ts: posted.ts });
  same(replies.messages.map((one) => one.ts), [posted.ts, reply.ts]);
  await client.chat.delete({ channel: posted.channel, ts: reply.ts });
});

await check('people are found, direct messages opened, ephemeral ones shown', async () => {
  const { user } = await client.users.lookupByEmail({ email: 'bob@example.com' });
  same([user.id, user.profile.email], ['U0BOB', 'bob@example.com']);
  same((await client.users.info({ user: 'U0GIL' })).user.is_restricted, true);
  same((await client.conversations.open({ users: 'U0BOB' })).channel.id, 'D0BOB');
  same(typeof (await client.chat.postEphemeral({ channel: 'C0REQUESTS', user: 'U0BOB', text: 'x' })).message_ts, 'string');
  same((await client.usergroups.users.list({ usergroup: 'S0DBA' })).users, ['U0BOB', 'U0CAROL']);
});

await check('refusals arrive as errors with their code', async () => {
  same(await errorOf(client.chat.postMessage({ channel: 'C0NONE', text: 'x' })), 'channel_not_found');
  same(await errorOf(client.users.lookupByEmail({ email: 'nobody@example.com' })), 'users_not_found');
  same(await errorOf(client.views.open({ trigger_id: '1.2.x', view: reasonModal() })), 'invalid_trigger_id');
  same(await errorOf(new WebClient('xoxb-wrong', { slackApiUrl: SIM.api_url }).auth.test()), 'invalid_auth');
  same(await errorOf(client.apps.connections.open()), 'not_allowed_token_type');
});

await check('paging goes through all channels', async () => {
  const names = [];
  for await (const page of client.paginate('conversations.list', { types: 'public_channel', limit: 1 })) {
    names.push(...page.channels.map((channel) => channel.name));
  }
  same(names.sort(), ['access-requests', 'dba-approvers', 'random']);
});

await check('HTTP 429 is waited for by the library itself', async () => {
  for (let number = 0; number < 7; number += 1) {
    await client.chat.postMessage({ channel: 'C0DBA', text: `message ${number}` });
  }
  const calls = (await control('/calls')).filter((call) => call.channel === 'C0DBA');
  same(calls.some((call) => call.status === 429), true);
  same(calls.filter((call) => call.status === 200).length, 7);
});

await check('apps.connections.open hands out an address', async () => {
  const app = new WebClient(SIM.app_token, { slackApiUrl: SIM.api_url });
  const url = new URL((await app.apps.connections.open()).url);
  same([url.protocol, url.searchParams.get('app_id')], ['ws:', 'A0BOT']);
});

await check('a click without a listener gets a warning', async () => {
  const { ts } = await client.chat.postMessage({ channel: 'C0REQUESTS', text: 'x', blocks: sampleBlocks() });
  same((await click('U0BOB', ts, 'approve')).warning, 'the app is not set up to hear of this');
});

done();
