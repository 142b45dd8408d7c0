// The TypeScript compiler finds that every message, modal and call of the daemon has the official types, to the field.

import { objections } from './compiler.mjs';
import { SIM, control, done, check, ours, same } from './common.mjs';

const lines = (await ours('messages')).trimEnd().split('\n').map((line) => JSON.parse(line));
const kind = (wanted) => lines.filter((line) => line.kind === wanted);
const [messages, views, corrections] = ['message', 'view', 'correction'].map(kind);

await ours('slack_calls', SIM.api_url, SIM.token);
const calls = (await control('/calls')).map((call) => ({ name: call.method, content: call.arguments }));
const of = (method) => calls.filter((call) => call.name === method);

/** Gives each value where `type` is expected, so that excess fields are found, too. */
function source(module, type, values) {
  const imported = type.replace('[]', '');
  const head = `import type { ${imported} } from '${module}';\ndeclare function take(value: ${type}): void;\n`;
  return head + values.map((value) => `take(${JSON.stringify(value)});\n`).join('');
}

// The first value is on this line.
const FIRST = 3;
const indexOf = (objection) => Number(/\.ts\((\d+),/.exec(objection)[1]) - FIRST;

const subjects = [
  ['@slack/types', 'KnownBlock[]', messages, (message) => message.blocks],
  ['@slack/types', 'ModalView', views, (view) => view],
  ['@slack/bolt', 'ViewErrorsResponseAction', corrections, (correction) => correction],
  ['@slack/web-api', 'ChatPostMessageArguments', messages, (message) => ({ channel: 'C0TEAM', ...message })],
  ['@slack/web-api', 'ChatPostMessageArguments', of('chat.postMessage'), (call) => call],
  ['@slack/web-api', 'ChatUpdateArguments', of('chat.update'), (call) => call],
  ['@slack/web-api', 'ChatPostEphemeralArguments', of('chat.postEphemeral'), (call) => call],
  ['@slack/web-api', 'ViewsOpenArguments', of('views.open'), (call) => call],
  ['@slack/bolt', 'RespondArguments', of('response_url'), (call) => call],
];

const sources = subjects.map(([module, type, chosen, change]) =>
  source(module, type, chosen.map(({ content }) => change(content))),
);
const found = await objections('ours', sources);
for (const [index, [module, type, chosen]] of subjects.entries()) {
  await check(`${chosen.length} of ${chosen[0]?.kind ?? chosen[0]?.name} fit ${type} of ${module}`, async () => {
    if (chosen.length === 0) throw new Error('there is none');
    const objection = found[index];
    if (objection) throw new Error(`${chosen[indexOf(objection)]?.name}: ${objection.slice(0, 2_000)}`);
  });
}

await check('nothing was left out', async () => {
  same(lines.length, messages.length + views.length + corrections.length);
  const methods = [...new Set(calls.map((call) => call.name))].sort();
  same(methods, ['chat.postEphemeral', 'chat.postMessage', 'chat.update', 'response_url', 'views.open']);
});

await check('the compiler finds what is wrong', async () => {
  const pressed = messages.find((line) => line.name.startsWith('message, plain, Pending, Buttons')).content;
  const changed = (content, change) => {
    const copy = structuredClone(content);
    change(copy);
    return copy;
  };
  const button = (message) => message.blocks.find((block) => block.type === 'actions').elements[0];
  const wrong = [
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (message) => (button(message).style = 'loud')).blocks],
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (message) => (button(message).tint = 'red')).blocks],
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (message) => delete button(message).text.text).blocks],
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (message) => (message.blocks[0].type = 'marquee')).blocks],
    ['@slack/types', 'ModalView', views[0].content, changed(views[0].content, (view) => (view.tint = 'red'))],
    ['@slack/types', 'ModalView', views[0].content, changed(views[0].content, (view) => delete view.title)],
    [
      '@slack/web-api', 'ChatPostMessageArguments', of('chat.postMessage')[0].content,
      changed(of('chat.postMessage')[0].content, (call) => (call.unfurl_links = 'no')),
    ],
    [
      '@slack/web-api', 'ChatUpdateArguments', of('chat.update')[0].content,
      changed(of('chat.update')[0].content, (call) => delete call.ts),
    ],
  ];
  // The second of two: what is said must be of this one.
  const found = await objections(
    'wrong',
    wrong.map(([module, type, right, value]) => source(module, type, [right, value])),
  );
  for (const [index, [, type, , value]] of wrong.entries()) {
    same(found[index] && indexOf(found[index]), 1, `${type} was taken: ${JSON.stringify(value).slice(0, 200)}`);
  }
});

done();
