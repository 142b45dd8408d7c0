"""What the Python scripts share: the simulator, its people, and one line for each thing checked."""

import json
import os
import subprocess
import sys
import time
import traceback
import urllib.request

SIM = json.loads(os.environ["SIM"])


def control(path, body=None):
    """Asks the simulator's control interface; posts if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SIM["control_url"] + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def program(name):
    """One of the example programs that show what the daemon does."""
    return os.path.join(os.environ["PROGRAMS"], name)


def ours(name):
    """What such a program prints."""
    return subprocess.run([program(name)], capture_output=True, text=True, check=True, timeout=120).stdout


def person(user):
    """How a user's client looks."""
    people = control("/workspace")["people"]
    return next(one for one in people if one["id"] == user)


def wait_for(what, look, limit=20):
    """Looks again and again until there is something to see."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited without success for {what}")


def same(found, expected):
    """Fails unless both are equal."""
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def check(name):
    """Runs what it decorates at once, and says how it went."""

    def run(function):
        try:
            function()
            print(f"ok - {name}", flush=True)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"FAILED - {name}: {reason}", flush=True)
        return function

    return run


def done():
    """The last line of a script. Ends the process, whatever threads a library left behind."""
    print("done", flush=True)
    sys.stderr.flush()
    os._exit(0)


def plain(text):
    """A text object."""
    return {"type": "plain_text", "text": text}


def sample_blocks():
    """A message with two buttons, one of which asks first."""
    confirm = {"title": plain("Sure?"), "text": plain("It is final."), "confirm": plain("Deny"), "deny": plain("Back")}
    approve = {"type": "button", "action_id": "approve", "text": plain("Approve"), "value": "req-1"}
    deny = {"type": "button", "action_id": "deny", "text": plain("Deny"), "value": "req-1", "confirm": confirm}
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": "*alice* asks for `dba`"}},
        {"type": "actions", "block_id": "decide", "elements": [approve, deny]},
    ]


def reason_modal():
    """A modal with one input."""
    element = {"type": "plain_text_input", "action_id": "reason", "multiline": True, "max_length": 200}
    return {
        "type": "modal",
        "callback_id": "deny",
        "private_metadata": "req-1",
        "title": plain("Deny"),
        "submit": plain("Deny"),
        "close": plain("Back"),
        "blocks": [{"type": "input", "block_id": "why", "label": plain("Reason"), "element": element}],
    }


def click(user, ts, action_id, **more):
    """A user presses a button of a message in C0REQUESTS."""
    return control("/click", {"user": user, "channel": "C0REQUESTS", "ts": ts, "action_id": action_id, **more})
