#!/usr/bin/env bash
# Slack's SDKs in Socket Mode: the app-level token is revoked, and Slack asks for a new connection.
#
# Versions: @slack/socket-mode 3.1.0 (npm), slack_sdk 3.48.0 (PyPI), github.com/slack-go/slack v0.35.0
# Guessed:  the answer token_revoked to apps.connections.open ends the clients in JavaScript and Go with an error; Python's logs it and
#           tries again each ten seconds.
# Seen:     only Go's ends, at the first answer. JavaScript's goes on trying, with growing waits; its program hears `reconnecting` each time,
#           but neither `error` nor `disconnected`. Python's goes on too, and its waits do not grow; its listeners hear one close, no error.
#           So a process that lives and logs may be deaf for good: distinguish a dead token from a bad moment, and report it as not ready.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @slack/socket-mode@3.1.0 ws@8.18.3 >/dev/null
python3 -m venv env
env/bin/pip -q install --disable-pip-version-check slack_sdk==3.48.0
cat >slack.mjs <<'JS'
// The first apps.connections.open of each client succeeds; a second later the connection must be renewed; then the token is revoked.
import { createServer } from 'node:http'
import { renameSync, writeFileSync } from 'node:fs'
import { WebSocketServer } from 'ws'

const tries = {}
const server = createServer((request, response) => {
  request.resume()
  const [, client, method] = request.url.split('/')
  response.writeHead(200, { 'content-type': 'application/json' })
  if (method === 'told') return response.end(JSON.stringify(tries[client].map((at) => (at - tries[client][0]) / 1000)))
  if (method !== 'apps.connections.open') return response.end('{"ok":true}')
  if (tries[client]) {
    tries[client].push(Date.now())
    return response.end('{"ok":false,"error":"token_revoked"}')
  }
  tries[client] = []
  response.end(JSON.stringify({ ok: true, url: `ws://127.0.0.1:${server.address().port}/link` }))
})
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.send('{"type":"hello","num_connections":1,"debug_info":{"host":"h"},"connection_info":{"app_id":"A0"}}')
  setTimeout(() => socket.send('{"type":"disconnect","reason":"refresh_requested","debug_info":{"host":"h"}}'), 1000)
  setTimeout(() => socket.close(1000), 2000)
})
server.listen(0, '127.0.0.1', () => {
  writeFileSync('port.new', String(server.address().port))
  renameSync('port.new', 'port')
})
JS
cat >run.mjs <<'JS'
import { LogLevel, SocketModeClient } from '@slack/socket-mode'

const heard = new Set()
const clientOptions = { slackApiUrl: `http://127.0.0.1:${process.argv[2]}/js/` }
const client = new SocketModeClient({ appToken: 'xapp-0', logLevel: LogLevel.ERROR, clientOptions })
for (const name of ['connected', 'reconnecting', 'disconnected', 'error']) client.on(name, () => heard.add(name))
await client.start()
setTimeout(() => {
  console.log('js heard:', [...heard].join(' '))
  process.exit()
}, 40_000)
JS
cat >run.py <<'PY'
import os, sys, time
from slack_sdk import WebClient
from slack_sdk.socket_mode import SocketModeClient

heard = []
client = SocketModeClient(app_token="xapp-0", web_client=WebClient(base_url=f"http://127.0.0.1:{sys.argv[1]}/python/"))
client.on_error_listeners.append(lambda error: heard.append("error"))
client.on_close_listeners.append(lambda *_: heard.append("close"))
client.connect()
time.sleep(40)
print("python heard:", heard, "connected:", client.is_connected(), flush=True)
os._exit(0)
PY
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

func main() {
	client := socketmode.New(slack.New("xoxb-0", slack.OptionAppLevelToken("xapp-0"), slack.OptionAPIURL("http://127.0.0.1:"+os.Args[1]+"/go/")))
	go func() {
		for range client.Events {
		}
	}()
	fmt.Println("go returned:", client.Run())
}
GO
go mod init example.com/finding >/dev/null 2>&1
go get github.com/slack-go/slack@v0.35.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go build -o client .
node slack.mjs &
until [ -s port ]; do sleep 0.1; done
port=$(cat port)
node run.mjs "$port" >js 2>/dev/null &
javascript=$!
env/bin/python run.py "$port" >python 2>/dev/null &
snake=$!
./client "$port" >go 2>/dev/null
wait "$javascript" "$snake"
cat >judge.py <<'PY'
import json, sys, urllib.request

for client in ("js", "python", "go"):
    print(open(client).read(), end="")
    tries = json.load(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/{client}/told"))
    waits = [later - earlier for earlier, later in zip(tries, tries[1:])][1 if client == "python" else 0 :]
    print(client, "tries again:", len(tries) > 2, "waits grow:", any(later > earlier + 3 for earlier, later in zip(waits, waits[1:])))
PY
python3 judge.py "$port" >seen
cat >expected <<'TEXT'
js heard: connected reconnecting
js tries again: True waits grow: True
python heard: ['close'] connected: False
python tries again: True waits grow: False
go returned: token_revoked
go tries again: False waits grow: False
TEXT
diff expected seen
cat seen
