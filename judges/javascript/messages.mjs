// The TypeScript compiler finds that every message, dialogue and call of the daemon has the official types, to the field.

import { complaint } from './compiler.mjs';
import { SIM, control, done, judge, ours, same } from './judge.mjs';

const lines = (await ours('messages')).trimEnd().split('\n').map((line) => JSON.parse(line));
const kind = (wanted) => lines.filter((line) => line.kind === wanted);
const [messages, views, corrections] = ['message', 'view', 'correction'].map(kind);

await ours('slack_calls', SIM.api_url, SIM.token);
const calls = (await control('/calls')).map((call) => ({ name: call.method, content: call.arguments }));
const of = (method) => calls.filter((call) => call.name === method);

/** What the compiler says if each value is given where `type` is expected. Excess fields are found, too. */
async function misfit(name, module, type, values) {
  const imported = type.replace('[]', '');
  const head = `import type { ${imported} } from '${module}';\ndeclare function take(value: ${type}): void;\n`;
  const found = await complaint(name, head + values.map((value) => `take(${JSON.stringify(value)});\n`).join(''));
  const line = Number(/\.ts\((\d+),/.exec(found)?.[1]);
  return found && { which: line - 3, found };
}

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

for (const [index, [module, type, chosen, change]] of subjects.entries()) {
  await judge(`${chosen.length} of ${chosen[0]?.kind ?? chosen[0]?.name} fit ${type} of ${module}`, async () => {
    if (chosen.length === 0) throw new Error('there is none');
    const wrong = await misfit(`ours${index}`, module, type, chosen.map(({ content }) => change(content)));
    if (wrong) throw new Error(`${chosen[wrong.which]?.name}: ${wrong.found.slice(0, 2_000)}`);
  });
}

await judge('nothing was left out', async () => {
  same(lines.length, messages.length + views.length + corrections.length);
  const methods = [...new Set(calls.map((call) => call.name))].sort();
  same(methods, ['chat.postEphemeral', 'chat.postMessage', 'chat.update', 'response_url', 'views.open']);
});

await judge('the compiler finds what is wrong', async () => {
  const pressed = messages.find((line) => line.name.startsWith('card, plain, Pending, Buttons')).content;
  const changed = (content, change) => {
    const copy = structuredClone(content);
    change(copy);
    return copy;
  };
  const button = (card) => card.blocks.find((block) => block.type === 'actions').elements[0];
  const wrong = [
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (card) => (button(card).style = 'loud')).blocks],
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (card) => (button(card).colour = 'red')).blocks],
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (card) => delete button(card).text.text).blocks],
    ['@slack/types', 'KnownBlock[]', pressed.blocks, changed(pressed, (card) => (card.blocks[0].type = 'marquee')).blocks],
    ['@slack/types', 'ModalView', views[0].content, changed(views[0].content, (view) => (view.colour = 'red'))],
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
  for (const [index, [module, type, right, value]] of wrong.entries()) {
    // The second of two: what is said must be of this one.
    const found = await misfit(`wrong${index}`, module, type, [right, value]);
    same(found && found.which, 1, `${type} was taken: ${JSON.stringify(value).slice(0, 200)}`);
  }
});

done();
