// The TypeScript compiler compares what the simulator answers and sends with the official types.
//
// Payloads and blocks may hold no field that the types do not know. The types of answers are gathered from samples and
// not complete, so there only the known fields count; and their enums, which no JSON can satisfy, count as strings.

import { WebClient } from '@slack/web-api';

import { objections } from './compiler.mjs';
import { SIM, sampleBlocks, click, control, done, check, reasonModal, submit } from './common.mjs';

const client = new WebClient(SIM.token, { slackApiUrl: SIM.api_url });

/** The payload of the last interaction. */
async function sent() {
  return (await control('/interactions')).at(-1).payload;
}

/** An answer without what the library adds to it. */
function answered(answer) {
  const { response_metadata: metadata, ...fields } = answer;
  const { scopes, acceptedScopes, ...rest } = metadata ?? {};
  return Object.keys(rest).length > 0 ? { ...fields, response_metadata: rest } : fields;
}

const posted = await client.chat.postMessage({ channel: 'C0REQUESTS', text: 'asks', blocks: sampleBlocks() });
await client.chat.postMessage({ channel: 'C0REQUESTS', thread_ts: posted.ts, text: 'thanks' });
await click('U0BOB', posted.ts, 'approve');
const pressed = await sent();
const opened = await client.views.open({ trigger_id: pressed.trigger_id, view: reasonModal() });
await submit('not now');
const submitted = await sent();
await control('/close', { user: 'U0BOB' });
const closed = await sent();
const { channel: direct } = await client.conversations.open({ users: 'U0CAROL' });

// Slack sends it in every payload; these two types do not know it.
delete submitted.user.username;
delete closed.user.username;

const subjects = [
  ['@slack/web-api', 'AuthTestResponse', await client.auth.test()],
  ['@slack/web-api', 'BotsInfoResponse', await client.bots.info({ bot: 'B0BOT' })],
  ['@slack/web-api', 'ChatPostMessageResponse', posted],
  ['@slack/web-api', 'ChatUpdateResponse', await client.chat.update({ channel: posted.channel, ts: posted.ts, text: 'x' })],
  ['@slack/web-api', 'ChatPostEphemeralResponse', await client.chat.postEphemeral({ channel: 'C0REQUESTS', user: 'U0BOB', text: 'x' })],
  ['@slack/web-api', 'ChatGetPermalinkResponse', await client.chat.getPermalink({ channel: posted.channel, message_ts: posted.ts })],
  ['@slack/web-api', 'ConversationsHistoryResponse', await client.conversations.history({ channel: 'C0REQUESTS' })],
  ['@slack/web-api', 'ConversationsRepliesResponse', await client.conversations.replies({ channel: 'C0REQUESTS', ts: posted.ts })],
  ['@slack/web-api', 'ConversationsInfoResponse', await client.conversations.info({ channel: 'C0REQUESTS' })],
  ['@slack/web-api', 'ConversationsInfoResponse', await client.conversations.info({ channel: direct.id })],
  ['@slack/web-api', 'ConversationsListResponse', await client.conversations.list()],
  ['@slack/web-api', 'ConversationsOpenResponse', await client.conversations.open({ users: 'U0BOB', return_im: true })],
  ['@slack/web-api', 'UsersInfoResponse', await client.users.info({ user: 'U0BOB' })],
  ['@slack/web-api', 'UsersInfoResponse', await client.users.info({ user: 'U0EVE' })],
  ['@slack/web-api', 'UsersLookupByEmailResponse', await client.users.lookupByEmail({ email: 'bob@example.com' })],
  ['@slack/web-api', 'UsergroupsUsersListResponse', await client.usergroups.users.list({ usergroup: 'S0DBA' })],
  ['@slack/web-api', 'ViewsOpenResponse', opened],
  ['@slack/bolt', 'BlockAction', pressed],
  ['@slack/bolt', 'ViewSubmitAction', submitted],
  ['@slack/bolt', 'ViewClosedAction', closed],
  ['@slack/types', 'KnownBlock', sampleBlocks()[1]],
  ['@slack/types', 'ModalView', reasonModal()],
];

// Slack writes null where the types say that a field may be missing.
const OPTIONS = { strictNullChecks: false, noImplicitAny: false };

const loose = `type Loose<T> = T extends string ? string
  : T extends (infer E)[] ? Loose<E>[]
  : T extends object ? { [K in keyof T]: Loose<T[K]> }
  : T;
`;

/** What asks the compiler about a value. */
function source([module, type, value]) {
  const json = JSON.stringify(module === '@slack/web-api' ? answered(value) : value, null, 2);
  return `import type { ${type} } from '${module}';\n${
    module === '@slack/web-api'
      ? `${loose}const subject = ${json};\nexport const same: Loose<${type}> = subject;\n`
      : `export const subject: ${type} = ${json};\n`
  }`;
}

const found = await objections('subject', subjects.map(source), OPTIONS);
for (const [index, [module, type]] of subjects.entries()) {
  await check(`${type} of ${module} fits`, async () => {
    if (found[index]) throw new Error(found[index]);
  });
}

await check('the compiler finds what does not fit', async () => {
  const wrong = [
    ['@slack/web-api', 'ChatPostMessageResponse', { ok: true, ts: 5 }, 'TS2322'],
    ['@slack/bolt', 'BlockAction', { ...pressed, container: 7 }, 'TS2322'],
    ['@slack/bolt', 'BlockAction', { ...pressed, tint: 'red' }, 'TS2353'],
  ];
  const found = await objections('wrong', wrong.map(source), OPTIONS);
  for (const [index, [, , , code]] of wrong.entries()) {
    if (!found[index].includes(code)) throw new Error(`${code} is not in: ${found[index]}`);
  }
});

done();
