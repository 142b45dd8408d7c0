#!/usr/bin/env bash
# blockkit for Python: which kind of text it makes of a plain string, and which of Slack's limits it checks.
#
# Version: blockkit 2.1.3 (PyPI)
# Guessed:  a string becomes mrkdwn only for a pair of signs (*x*, _x_, ~x~, `x`, <x>); a message of 51 blocks is refused, as a button's
#           text of 76 characters is.
# Seen:     it goes by the string: "> ten nodes", "x * y * z" and a path with ~ twice are mrkdwn, "2 < 3" and a sentence with one * are
#           plain_text, so two reasons in one block differ in kind. 51 blocks pass. Besides, a modal or home tab without
#           private_metadata is sent with the text "null".
#           So name a text's kind, count blocks yourself, and read "null" in private_metadata as nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip -q install --disable-pip-version-check blockkit==2.1.3
cat >run.py <<'PY'
from blockkit import Button, Divider, Home, Message, Modal, Section

for text in ("fix it", "2 < 3", "rm a*", "> ten nodes", "x * y * z", "cp ~/a ~/b", "*fix* it"):
    print(f"{text}: {Section(text).build()['text']['type']}")
two = Section(fields=["why: fix it", "why: `fix` it"]).build()["fields"]
print("two reasons in one block:", [field["type"] for field in two])
try:
    Button("x" * 76).build()
    print("button of 76 characters: made")
except Exception as error:
    print("button of 76 characters:", type(error).__name__)
print("blocks:", len(Message(blocks=[Divider() for _ in range(51)]).build()["blocks"]))
for view in (Modal(title="t", blocks=[Divider()]), Home(blocks=[Divider()])):
    built = view.build()
    print(built["type"], "private_metadata:", repr(built["private_metadata"]))
PY
cat >expected <<'TEXT'
fix it: plain_text
2 < 3: plain_text
rm a*: plain_text
> ten nodes: mrkdwn
x * y * z: mrkdwn
cp ~/a ~/b: mrkdwn
*fix* it: mrkdwn
two reasons in one block: ['plain_text', 'mrkdwn']
button of 76 characters: FieldValidationError
blocks: 51
modal private_metadata: 'null'
home private_metadata: 'null'
TEXT
env/bin/python run.py >seen
diff expected seen
cat seen
