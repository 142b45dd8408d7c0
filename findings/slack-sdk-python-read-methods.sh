#!/usr/bin/env bash
# Slack's Python SDK: which HTTP method its two clients use for the Web API methods that only read.
#
# Versions: slack_sdk 3.48.0, aiohttp 3.12.15
# Guessed:  both clients send GET with the arguments in the query for users.info, users.lookupByEmail and usergroups.users.list,
#           because their code names that verb; message metadata of a post travels as a JSON text.
# Seen:     the ordinary client sends POST with a form for all of them, the asynchronous client sends GET; metadata travels as a
#           JSON object inside a JSON body. So whatever stands in for Slack must take both methods for one and the same call.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" -q install --disable-pip-version-check slack_sdk==3.48.0 aiohttp==3.12.15
cat >"$folder/run.py" <<'PY'
import asyncio, http.server, json, threading
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

seen = []


class Slack(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        seen.append((self.command, url.path.removeprefix("/api/"), bool(url.query), body))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"ok":true,"channel":"C0TEAM","ts":"1.2"}')

    do_GET = do_POST = answer


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slack)
threading.Thread(target=server.serve_forever, daemon=True).start()
where = {"token": "xoxb-0", "base_url": f"http://127.0.0.1:{server.server_port}/api/"}

plain = WebClient(**where)
plain.users_info(user="U0BOB")
plain.users_lookupByEmail(email="bob@example.com")
plain.usergroups_users_list(usergroup="S0DBA")
plain.chat_postMessage(channel="C0TEAM", text="x", metadata={"event_type": "e", "event_payload": {"n": "5"}})


async def asynchronous():
    client = AsyncWebClient(**where)
    await client.users_info(user="U0BOB")
    await client.users_lookupByEmail(email="bob@example.com")
    await client.usergroups_users_list(usergroup="S0DBA")


asyncio.run(asynchronous())
for command, method, has_query, body in seen:
    extra = ""
    if method == "chat.postMessage":
        extra = f" metadata is a {type(json.loads(body)['metadata']).__name__}"
    print(command, method, "query" if has_query else "body" if body else "nothing", end=extra + "\n")
PY
cat >"$folder/expected" <<'TEXT'
POST users.info body
POST users.lookupByEmail body
POST usergroups.users.list body
POST chat.postMessage body metadata is a dict
GET users.info query
GET users.lookupByEmail query
GET usergroups.users.list query
TEXT
"$folder/env/bin/python" "$folder/run.py" >"$folder/seen"
diff "$folder/expected" "$folder/seen"
cat "$folder/seen"
