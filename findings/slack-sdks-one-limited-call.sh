#!/usr/bin/env bash
# Slack's SDKs: whether a call that Slack limits (429 with Retry-After) holds back calls of other methods.
#
# Versions: @slack/web-api 8.2.0 (npm), slack_sdk 3.48.0 with aiohttp 3.12.15 (PyPI), github.com/slack-go/slack v0.35.0
# Guessed:  only the limited call waits, in each of them: Slack's limits are per method. It is sent again when Retry-After is over.
# Seen:     so it is in Python and Go, where retries must be asked for. @slack/web-api stops all calls of the client for Retry-After,
#           whatever their method; then the others go out before the limited one.
#           So behind one limited message a modal opens after its trigger has expired (3 s): give urgent calls a client of their own.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @slack/web-api@8.2.0 >/dev/null
python3 -m venv env
env/bin/pip -q install --disable-pip-version-check slack_sdk==3.48.0 aiohttp==3.12.15
cat >slack.py <<'PY'
"""Limits the first chat.postMessage of each client for 4 s, and says when and in which order the calls of that client came."""
import http.server, os, time

calls = {}


class Slack(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        client, method = self.path.split("?")[0].strip("/").split("/")
        if method == "told":
            first = calls[client][0][0]
            answer = "".join(f"{client}: {name} {'within 2 s' if at - first < 2 else 'after 4 s'}\n" for at, name in calls[client]).encode()
            limited = False
        else:
            calls.setdefault(client, []).append((time.monotonic(), method))
            answer = b'{"ok":true,"channel":"C0TEAM","ts":"1.2"}'
            limited = len(calls[client]) == 1
        self.send_response(429 if limited else 200)
        if limited:
            self.send_header("retry-after", "4")
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slack)
with open("port.new", "w") as file:
    file.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
PY
cat >run.mjs <<'JS'
import { LogLevel, WebClient } from '@slack/web-api'

const client = new WebClient('xoxb-0', { slackApiUrl: `http://127.0.0.1:${process.argv[2]}/js/`, logLevel: LogLevel.ERROR })
const limited = client.chat.postMessage({ channel: 'C0TEAM', text: 'x' })
await new Promise((done) => setTimeout(done, 500))
await client.views.open({ trigger_id: '1.2.3', view: { type: 'modal', title: { type: 'plain_text', text: 't' }, blocks: [] } })
await limited
JS
cat >run.py <<'PY'
import asyncio, sys
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient


async def main():
    client = AsyncWebClient(token="xoxb-0", base_url=f"http://127.0.0.1:{sys.argv[1]}/python/")
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=2))
    limited = asyncio.create_task(client.chat_postMessage(channel="C0TEAM", text="x"))
    await asyncio.sleep(0.5)
    await client.views_open(trigger_id="1.2.3", view={"type": "modal", "title": {"type": "plain_text", "text": "t"}, "blocks": []})
    await limited


asyncio.run(main())
PY
cat >main.go <<'GO'
package main

import (
	"os"
	"time"

	"github.com/slack-go/slack"
)

func main() {
	client := slack.New("xoxb-0", slack.OptionAPIURL("http://127.0.0.1:"+os.Args[1]+"/go/"), slack.OptionRetry(2))
	done := make(chan error)
	go func() {
		_, _, err := client.PostMessage("C0TEAM", slack.MsgOptionText("x", false))
		done <- err
	}()
	time.Sleep(500 * time.Millisecond)
	title := slack.NewTextBlockObject("plain_text", "t", false, false)
	if _, err := client.OpenView("1.2.3", slack.ModalViewRequest{Type: slack.VTModal, Title: title}); err != nil {
		panic(err)
	}
	if err := <-done; err != nil {
		panic(err)
	}
}
GO
go mod init example.com/finding >/dev/null 2>&1
go get github.com/slack-go/slack@v0.35.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go build -o client .
python3 slack.py &
until [ -s port ]; do sleep 0.1; done
port=$(cat port)
node run.mjs "$port" 2>/dev/null
env/bin/python run.py "$port"
./client "$port"
for client in js python go; do python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode(), end="")' "http://127.0.0.1:$port/$client/told"; done >seen
cat >expected <<'TEXT'
js: chat.postMessage within 2 s
js: views.open after 4 s
js: chat.postMessage after 4 s
python: chat.postMessage within 2 s
python: views.open within 2 s
python: chat.postMessage after 4 s
go: chat.postMessage within 2 s
go: views.open within 2 s
go: chat.postMessage after 4 s
TEXT
diff expected seen
cat seen
