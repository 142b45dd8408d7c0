// A bot made with @slack/bolt hears of clicks over HTTP.

import bolt from '@slack/bolt';

import { SIM, addListeners, sampleBlocks, click, control, done, check, checkListeners, same } from './common.mjs';

const heard = [];
const app = new bolt.App({
  token: SIM.token,
  signingSecret: SIM.signing_secret,
  clientOptions: { slackApiUrl: SIM.api_url },
  logLevel: bolt.LogLevel.WARN,
});
addListeners(app, heard);
const server = await app.start(0);
await control('/app', { request_url: `http://127.0.0.1:${server.address().port}/slack/events` });
const { ts } = await app.client.chat.postMessage({ channel: 'C0REQUESTS', text: 'asks', blocks: sampleBlocks() });

await checkListeners(ts, heard);

await check('forged and stale clicks are refused', async () => {
  const before = heard.length;
  for (const forgery of ['wrong_secret', 'missing_signature', 'stale']) {
    const seen = await click('U0BOB', ts, 'approve', { forgery });
    same([forgery, seen.warning], [forgery, 'the app answered HTTP 401']);
  }
  same(heard.length, before);
});

done();
