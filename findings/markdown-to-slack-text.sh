#!/usr/bin/env bash
# Four converters from Markdown to Slack's text: what becomes of plain sentences, as people write them for a reason.
#
# Versions: slackify-markdown 5.0.0, @tryfabric/mack 1.2.1 (npm); markdown-to-mrkdwn 0.3.3, md2mrkdwn 0.4.5 (PyPI)
# Guessed:  but for markdown-to-mrkdwn all escape & < > in text and in code; a web address stays bare or becomes <address>.
# Seen:     only mack escapes code, slackify-markdown only text, the two Python ones nothing. mack writes an e-mail address as entities,
#           other ones in each run, and ' and " as &#39; and &quot;, though Slack decodes only &amp;, &lt; and &gt;. It drops <pod>,
#           joins lines at a hard break, counts each list from 1 ("2026. Done" becomes "1. Done") and cuts a text at 3,000 characters
#           without a word. slackify-markdown leaves a backslash at a hard break and puts zero-width spaces around each style. Both
#           give a web address itself as label. The Python ones turn 2 * 3 * 4 into italics.
#           So escape a reason as plain text; never convert it, and never look for it again in a message that such a bot wrote.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund slackify-markdown@5.0.0 @tryfabric/mack@1.2.1 >/dev/null
python3 -m venv env
env/bin/pip -q install --disable-pip-version-check markdown-to-mrkdwn==0.3.3 md2mrkdwn==0.4.5
cat >texts.json <<'JSON'
["Alice & Bob's \"job\"", "logs of <pod> now", "`logs <pod>`", "2 * 3 * 4", "2026. Done", "one  \ntwo", "see https://example.com/?a=1&b=2", "**now**"]
JSON
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs'
import { slackifyMarkdown } from 'slackify-markdown'
import { markdownToBlocks } from '@tryfabric/mack'

const texts = JSON.parse(readFileSync('texts.json'))
const visible = (text) => JSON.stringify(text.trim()).replaceAll('\u200b', '(zero)')
const mack = async (text) => (await markdownToBlocks(text))[0].text.text
for (const text of texts) console.log('slackify:', visible(slackifyMarkdown(text)))
for (const text of texts) console.log('mack:', visible(await mack(text)))
const address = 'bob@example.com'
const written = new Set()
for (let i = 0; i < 20; i++) written.add(await mack(address))
const all = [...written]
console.log('mack, an address as entities:', all.every((text) => text.includes('&#') && !text.includes(address)), 'differing:', all.length > 1)
console.log('mack, of 4,000 characters:', (await mack('y'.repeat(4000))).length)
JS
cat >run.py <<'PY'
import json
import md2mrkdwn
from markdown_to_mrkdwn import SlackMarkdownConverter

texts = json.load(open("texts.json"))
for name, convert in (("markdown-to-mrkdwn", SlackMarkdownConverter().convert), ("md2mrkdwn", md2mrkdwn.convert)):
    for text in texts:
        print(f"{name}: {json.dumps(convert(text))}")
PY
cat >expected <<'TEXT'
slackify: "Alice &amp; Bob's \"job\""
slackify: "logs of <pod> now"
slackify: "`logs <pod>`"
slackify: "2 * 3 * 4"
slackify: "2026.   Done"
slackify: "one\\\ntwo"
slackify: "see <https://example.com/?a=1&b=2|https://example.com/?a=1&amp;b=2>"
slackify: "(zero)*now*(zero)"
mack: "Alice &amp; Bob&#39;s &quot;job&quot;"
mack: "logs of  now"
mack: "`logs &lt;pod&gt;`"
mack: "2 * 3 * 4"
mack: "1. Done"
mack: "onetwo"
mack: "see <https://example.com/?a=1&b=2|https://example.com/?a=1&amp;b=2>"
mack: "*now*"
mack, an address as entities: true differing: true
mack, of 4,000 characters: 3000
markdown-to-mrkdwn: "Alice & Bob's \"job\""
markdown-to-mrkdwn: "logs of <pod> now"
markdown-to-mrkdwn: "`logs <pod>`"
markdown-to-mrkdwn: "2 _ 3 _ 4"
markdown-to-mrkdwn: "2026. Done"
markdown-to-mrkdwn: "one\ntwo"
markdown-to-mrkdwn: "see https://example.com/?a=1&b=2"
markdown-to-mrkdwn: "*now*"
md2mrkdwn: "Alice & Bob's \"job\""
md2mrkdwn: "logs of <pod> now"
md2mrkdwn: "`logs <pod>`"
md2mrkdwn: "2 _ 3 _ 4"
md2mrkdwn: "2026. Done"
md2mrkdwn: "one  \ntwo"
md2mrkdwn: "see https://example.com/?a=1&b=2"
md2mrkdwn: "*now*"
TEXT
{ node run.mjs; env/bin/python run.py; } >seen
diff expected seen
cat seen
