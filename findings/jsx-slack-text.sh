#!/usr/bin/env bash
# jsx-slack: how it writes text, dates and what is too long into Block Kit.
#
# Version: jsx-slack 6.1.2 (npm)
# Guessed:  the signs of mrkdwn are made harmless in any text; a date given as an ISO text is that moment; 51 blocks, a button's text
#           of 100 characters and an empty section throw, since Slack refuses them.
# Seen:     `*`, `_`, `~` and back-quotes stay as they are in plain text, so the text can style itself; only inside a tag such as
#           <b> is the sign wrapped, as the fallback of a date of second 0 (`<!date^00000000^{_}|*>`). An ISO text is read as a number
#           up to its first hyphen: the year becomes seconds since 1970. Nothing that is too long or empty is refused; an empty
#           section loses its text. `@channel` in a link's address becomes a mention of the whole channel with a label.
#           So a message made with it needs a judge of its own, and a reader of messages must not take each `<!date` for a date.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund jsx-slack@6.1.2 >/dev/null
cat >run.mjs <<'JS'
import { jsxslack as jsx } from 'jsx-slack'

const text = (message) => message[0].text?.text
console.log('plain:', text(jsx`<Blocks><Section>${'a & <!channel> *b* _c_'}</Section></Blocks>`))
console.log('in a tag:', text(jsx`<Blocks><Section><b>a*b</b></Section></Blocks>`))
console.log('moment as a number:', text(jsx`<Blocks><Section><time dateTime="1700000000" fallback="then">{date_num}</time></Section></Blocks>`))
console.log('moment as a text:', text(jsx`<Blocks><Section><time dateTime="2026-11-27T10:00:00Z" fallback="then">{date_num}</time></Section></Blocks>`))
console.log('link to the channel:', text(jsx`<Blocks><Section><a href="@channel"/></Section></Blocks>`))
console.log('blocks:', jsx`<Blocks>${Array.from({ length: 51 }, () => jsx`<Divider/>`)}</Blocks>`.length)
const button = jsx`<Blocks><Actions><Button actionId="a">${'x'.repeat(100)}</Button></Actions></Blocks>`
console.log('characters of a button:', button[0].elements[0].text.text.length)
console.log('empty section:', JSON.stringify(jsx`<Blocks><Section></Section></Blocks>`))
JS
cat >expected <<'TEXT'
plain: a &amp; &lt;!channel&gt; *b* _c_
in a tag: *a<!date^00000000^{_}|*>b*
moment as a number: <!date^1700000000^{date_num}|then>
moment as a text: <!date^2026^{date_num}|then>
link to the channel: <!channel|channel>
blocks: 51
characters of a button: 100
empty section: [{"type":"section"}]
TEXT
node run.mjs >seen
diff expected seen
cat seen
