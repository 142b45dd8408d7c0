#!/usr/bin/env bash
# Bolt in Socket Mode: the program stops while a click's listener is at work and has not acknowledged it yet.
#
# Versions: @slack/bolt 5.1.0 (npm), slack_bolt 1.30.0 with slack_sdk 3.48.0 (PyPI)
# Guessed:  JavaScript's stop() closes at once, and ack() then fails in the listener; Python's close() waits for the running listener,
#           and its ack() is lost without a word.
# Seen:     JavaScript as guessed. In Python close() waits only until the listener has called ack(), and the connection is closed before:
#           ack() returns as if it had been sent, the log says otherwise, and the listener goes on after close() has returned.
#           So a decision may be applied though Slack shows that the click failed: take no more, let those at work end, then close.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @slack/bolt@5.1.0 ws@8.18.3 >/dev/null
python3 -m venv env
env/bin/pip -q install --disable-pip-version-check slack_bolt==1.30.0 slack_sdk==3.48.0
cat >slack.mjs <<'JS'
// Sends one click a second after each connection, and keeps the acknowledgements that arrive.
import { createServer } from 'node:http'
import { renameSync, writeFileSync } from 'node:fs'
import { WebSocketServer } from 'ws'

const acknowledged = []
const action = { type: 'button', action_id: 'approve', block_id: 'b', value: 'v', text: { type: 'plain_text', text: 'x' }, action_ts: '1.2' }
const payload = {
  type: 'block_actions', user: { id: 'U0BOB', team_id: 'T0' }, api_app_id: 'A0', token: 'x', team: { id: 'T0', domain: 'd' },
  channel: { id: 'C0TEAM', name: 'team' }, container: { type: 'message', message_ts: '1.2', channel_id: 'C0TEAM' },
  trigger_id: '1.2.3', actions: [action],
}
const click = { envelope_id: 'e1', type: 'interactive', accepts_response_payload: false, payload }
const server = createServer((request, response) => {
  request.resume()
  response.writeHead(200, { 'content-type': 'application/json' })
  if (request.url === '/told') return response.end(JSON.stringify(acknowledged))
  const url = `ws://127.0.0.1:${server.address().port}/link`
  response.end(JSON.stringify({ ok: true, url, user_id: 'U0BOT', bot_id: 'B0', team_id: 'T0', user: 'b', team: 't' }))
})
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.on('message', (data) => acknowledged.push(JSON.parse(data).envelope_id))
  socket.send('{"type":"hello","num_connections":1,"debug_info":{"host":"h"},"connection_info":{"app_id":"A0"}}')
  setTimeout(() => socket.send(JSON.stringify(click)), 1000)
})
server.listen(0, '127.0.0.1', () => {
  writeFileSync('port.new', String(server.address().port))
  renameSync('port.new', 'port')
})
JS
cat >run.mjs <<'JS'
import bolt from '@slack/bolt'

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))
const clientOptions = { slackApiUrl: `http://127.0.0.1:${process.argv[2]}/api/` }
const app = new bolt.App({ token: 'xoxb-0', appToken: 'xapp-0', socketMode: true, logLevel: bolt.LogLevel.ERROR, clientOptions })
let begun
const clicked = new Promise((done) => (begun = done))
app.action('approve', async ({ ack }) => {
  begun()
  await wait(2)
  await ack().then(() => console.log('js: ack returned'), () => console.log('js: ack failed'))
  await wait(3)
  console.log('js: listener ended')
})
app.error(async () => {})
await app.start()
await clicked
await app.stop()
console.log('js: stopped')
await wait(7)
process.exit()
JS
cat >run.py <<'PY'
import logging, sys, threading, time
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

logging.getLogger().addHandler(logging.NullHandler())
base = f"http://127.0.0.1:{sys.argv[1]}/api/"
app = App(client=WebClient(token="xoxb-0", base_url=base), token_verification_enabled=False, signing_secret="x")
begun = threading.Event()


@app.action("approve")
def approve(ack):
    begun.set()
    time.sleep(2)
    try:
        ack()
        print("python: ack returned", flush=True)
    except Exception:
        print("python: ack failed", flush=True)
    time.sleep(3)
    print("python: listener ended", flush=True)


handler = SocketModeHandler(app, "xapp-0", web_client=WebClient(token="xapp-0", base_url=base))
handler.connect()
begun.wait()
handler.close()
print("python: stopped", flush=True)
PY
node slack.mjs &
until [ -s port ]; do sleep 0.1; done
port=$(cat port)
{
    node run.mjs "$port"
    env/bin/python run.py "$port"
    python3 -c 'import sys, urllib.request as u; print("acknowledgements:", u.urlopen(sys.argv[1]).read().decode())' "http://127.0.0.1:$port/told"
} 2>/dev/null | grep -v '^\[ERROR\]' >seen
cat >expected <<'TEXT'
js: stopped
js: ack failed
js: listener ended
python: ack returned
python: stopped
python: listener ended
acknowledgements: []
TEXT
diff expected seen
cat seen
