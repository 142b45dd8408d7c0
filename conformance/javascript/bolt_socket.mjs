// A bot made with @slack/bolt, on @slack/socket-mode, hears of clicks over a socket.

import bolt from '@slack/bolt';

import { SIM, addListeners, sampleBlocks, click, control, done, check, checkListeners, same, waitFor } from './common.mjs';

const heard = [];
const app = new bolt.App({
  token: SIM.token,
  appToken: SIM.app_token,
  socketMode: true,
  clientOptions: { slackApiUrl: SIM.api_url },
  logLevel: bolt.LogLevel.WARN,
});
addListeners(app, heard);
await control('/app', { socket_mode: true });

await check('the library connects and is greeted', async () => {
  await app.start();
  await waitFor('a socket', async () => (await control('/sockets')).open === 1);
});

const { ts } = await app.client.chat.postMessage({ channel: 'C0REQUESTS', text: 'asks', blocks: sampleBlocks() });

await checkListeners(ts, heard);

await check('the library stays through several of its own pings', async () => {
  const { opened } = await control('/sockets');
  // It gives a connection up when a pong is five seconds late.
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  same((await control('/sockets')).opened, opened);
});

await check('a refresh, an orderly close and a lost connection are got over', async () => {
  for (const order of ['refresh', 'close', 'reset']) {
    const { opened } = await control('/sockets');
    await control('/sockets', { order });
    await waitFor('another socket', async () => {
      const sockets = await control('/sockets');
      return sockets.opened > opened && sockets.open >= 1;
    });
    const { seq } = await click('U0BOB', ts, 'approve');
    await waitFor('an acknowledgement', async () => (await control('/interactions'))[seq].acknowledged_after);
  }
});

await check('the library sent nothing that makes no sense', async () => {
  same((await control('/sockets')).complaints, []);
});

done();
