"""slack_sdk's models take every message and modal that the daemon can show, and lose nothing of them."""

import json
import logging

from common import done, check, ours, same
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

# What the models cannot parse they say in the log, and pass over.
objections = []


class Objections(logging.Handler):
    def emit(self, record):
        objections.append(record.getMessage())


logging.getLogger("slack_sdk").addHandler(Objections(logging.WARNING))

lines = [json.loads(line) for line in ours("messages").splitlines()]

# https://docs.slack.dev/reference/methods/chat.postMessage: longer texts are cut.
MAX_TEXT = 4_000


def validated(kind, content):
    """What the models make of it; fails if they object."""
    objections.clear()
    if kind == "view":
        view = View(**content)
        for block in view.blocks:
            block.validate_json()
        made = view.to_dict()
    else:
        blocks = Block.parse_all(content["blocks"])
        assert all(blocks), "a block is of no known type"
        for block in blocks:
            block.validate_json()
        made = {"text": content["text"], "blocks": [block.to_dict() for block in blocks]}
        assert set(content) == set(made), f"more than text and blocks: {sorted(content)}"
        assert 0 < len(content["text"]) <= MAX_TEXT, f"a text of {len(content['text'])} characters"
        assert len(content["blocks"]) <= 50, f"{len(content['blocks'])} blocks"
    assert not objections, objections[0]
    return made


def check_all(kind, look):
    """All lines of a kind whose name begins like this."""
    chosen = [line for line in lines if line["kind"] == kind and line["name"].startswith(look)]

    @check(f"{len(chosen)} of kind {kind}: {look.strip(', ')}")
    def _():
        assert chosen, "there is none"
        for line in chosen:
            try:
                same(validated(kind, line["content"]), line["content"])
            except Exception as error:
                raise AssertionError(f"{line['name']}: {error}") from error
        checked.extend(line["name"] for line in chosen)


checked = []
check_all("message", "message, ")
check_all("message", "fallback, ")
check_all("message", "review, ")
check_all("message", "vote, ")
check_all("message", "done, ")
check_all("message", "refused ")
check_all("view", "modal, ")
check_all("view", "notice")


@check("nothing that can be shown was left out")
def _():
    # A correction is no block and no view; javascript/messages.mjs has a type for it.
    names = {line["name"] for line in lines if line["kind"] != "correction"}
    same(sorted(names.symmetric_difference(checked)), [])
    same(len(set(checked)), len(checked))


@check("the models find what is wrong")
def _():
    def changed(name, change):
        content = json.loads(json.dumps(next(line for line in lines if line["name"].startswith(name))["content"]))
        change(content)
        return content

    def refused(kind, content):
        try:
            return validated(kind, content) != content
        except (AssertionError, SlackObjectFormationError):
            return True

    def button(content):
        return next(block for block in content["blocks"] if block["type"] == "actions")["elements"][0]

    pressed = "message, plain, Pending, Buttons { confirm: true }"
    assert not refused("message", changed(pressed, lambda message: None))
    assert not refused("view", changed("modal, plain", lambda view: None))
    for kind, name, change in [
        ("message", pressed, lambda message: button(message)["text"].update(text="x" * 76)),
        ("message", pressed, lambda message: button(message).update(value="x" * 2001)),
        ("message", pressed, lambda message: button(message).update(style="loud")),
        ("message", pressed, lambda message: button(message).update(tint="red")),
        ("message", pressed, lambda message: button(message)["confirm"]["title"].update(text="x" * 101)),
        ("message", pressed, lambda message: message["blocks"][0]["text"].update(text="x" * 3001)),
        ("message", pressed, lambda message: message["blocks"][2]["elements"].extend(message["blocks"][2]["elements"] * 10)),
        ("message", pressed, lambda message: message["blocks"].append({"type": "marquee"})),
        ("message", "done, plain", lambda message: message.update(text="")),
        ("view", "modal, plain", lambda view: view["title"].update(text="x" * 25)),
        ("view", "modal, plain", lambda view: view.update(private_metadata="x" * 3001)),
        ("view", "modal, plain", lambda view: view["blocks"][1].update(hint={"type": "plain_text", "text": "x" * 2001})),
    ]:
        assert refused(kind, changed(name, change)), f"taken although changed: {name}"


done()
