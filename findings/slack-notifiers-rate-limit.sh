#!/usr/bin/env bash
# Alertmanager and Apprise: what becomes of a Slack message that Slack answers with 429 and `Retry-After`.
#
# Versions: Debian 12's prometheus-alertmanager 0.25.0-1+b4, apprise 1.9.5 (PyPI)
# Guessed:  both wait for the seconds of Retry-After and send again; Apprise divides a text beyond the 35,000 characters that it
#           names as Slack's limit; Alertmanager sends a title of 5,000 characters and a text of 50,000 whole.
# Seen:     neither sends again. Alertmanager calls 429 unrecoverable after one attempt, so the alert is not in Slack until its next
#           group or repeat interval; Apprise returns False at once. Apprise sends 50,000 characters as one message. Alertmanager
#           cuts the title at 1,024 characters with a warning and leaves the text whole.
#           So an alert about a daemon that shares Slack's limits with a burst of messages should not go by Slack alone.
# Needs apt-get download, dpkg and a user namespace (unshare): Debian's build opens its templates in /usr/share.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq prometheus-alertmanager=0.25.0-1+b4 2>/dev/null
dpkg -x prometheus-alertmanager_*.deb root
python3 -m venv env
env/bin/pip -q install --disable-pip-version-check apprise==1.9.5
cat >slack.py <<'PY'
import http.server, json, threading, time


class Slack(http.server.ThreadingHTTPServer):
    """Refuses the first calls with 429 and Retry-After: 2, then answers `ok`; keeps the lengths of title and text of each."""

    def __init__(self, port, refusals):
        super().__init__(("127.0.0.1", port), Handler)
        self.refusals, self.seen = refusals, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        attachment = body["attachments"][0]
        self.server.seen.append((len(attachment.get("title", "")), len(attachment["text"])))
        limited = len(self.server.seen) <= self.server.refusals
        answer = b"rate_limited" if limited else b'{"ok":true,"channel":"C0TEAM","ts":"1.2"}'
        self.send_response(429 if limited else 200)
        if limited:
            self.send_header("retry-after", "2")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
PY
cat >apprise_run.py <<'PY'
import apprise
import apprise.plugins.slack as plugin
from slack import Slack


def notify(refusals, body):
    slack = Slack(0, refusals)
    plugin.NotifySlack.api_url = f"http://127.0.0.1:{slack.server_port}/api/{{}}"
    target = apprise.Apprise()
    assert target.add("slack://xoxb-1234-1234-abcdefghijABCDEFGHIJ1234/#team")
    return target.notify(body=body, title="t"), [text for _, text in slack.seen]


print("apprise, one 429:", notify(1, "hello"))
print("apprise, 50,000 characters:", notify(0, "y" * 50_000))
PY
cat >alertmanager_run.py <<'PY'
import json, subprocess, time, urllib.request
from slack import Slack

slack = Slack(0, 1)
with open("config.yml", "w") as file:
    file.write(f"""
route: {{receiver: slack, group_wait: 1s, group_interval: 1h, repeat_interval: 2h}}
receivers:
- name: slack
  slack_configs:
  - api_url: http://127.0.0.1:{slack.server_port}/hook
    channel: team
    title: '{{{{ .CommonAnnotations.title }}}}'
    text: '{{{{ .CommonAnnotations.text }}}}'
""")
log = open("log", "w+")
program = ("mount --bind root/usr/share /usr/share && exec root/usr/bin/prometheus-alertmanager --config.file=config.yml "
           "--storage.path=data --web.listen-address=127.0.0.1:19393 --cluster.listen-address=")
process = subprocess.Popen(["unshare", "-rm", "sh", "-c", program], stderr=log)
alert = json.dumps([{"labels": {"alertname": "a"}, "annotations": {"title": "t" * 5_000, "text": "y" * 50_000}}]).encode()
for _ in range(100):
    try:
        urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:19393/api/v2/alerts", alert, {"content-type": "application/json"}))
        break
    except OSError:
        time.sleep(0.2)
for _ in range(100):
    if "Notify for alerts failed" in open("log").read():
        break
    time.sleep(0.2)
time.sleep(6)  # three times Retry-After
process.kill()
print("alertmanager, title and text of each attempt:", slack.seen)
text = open("log").read()
print("alertmanager calls it unrecoverable:", "unrecoverable error after 1 attempts" in text)
PY
{ env/bin/python apprise_run.py; python3 alertmanager_run.py; } >seen 2>errors || { cat seen errors; exit 1; }
cat >expected <<'TEXT'
apprise, one 429: (False, [5])
apprise, 50,000 characters: (True, [50000])
alertmanager, title and text of each attempt: [(1024, 50000)]
alertmanager calls it unrecoverable: True
TEXT
diff expected seen
cat seen
