"""slack_sdk's SignatureVerifier and the daemon agree on which callbacks are Slack's."""

import json
import subprocess

from common import done, check, program, same
from slack_sdk.signature import Clock, SignatureVerifier

# https://docs.slack.dev/authentication/verifying-requests-from-slack
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_531_420_618
BODY = (
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


class Then(Clock):
    def __init__(self, now):
        self.second = now

    def now(self):
        return self.second


def signed(secret, timestamp, body):
    return SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)


def theirs(case):
    """What slack_sdk says. It stops with an error where a header or secret is none at all."""
    try:
        verifier = SignatureVerifier(case["secret"], Then(case["now"]))
        return verifier.is_valid(case["body"], case["timestamp"], case["signature"])
    except ValueError:
        return False


def daemons(cases):
    """What the daemon says to each."""
    texts = [json.dumps({**case, "body": case["body"].encode().hex()}) for case in cases]
    run = subprocess.run(
        [program("signatures")], input="\n".join(texts), capture_output=True, text=True, check=True, timeout=60
    )
    verdicts = run.stdout.splitlines()
    same(len(verdicts), len(cases))
    return [verdict == "accepted" for verdict in verdicts]


def case(**changes):
    """The documentation's callback, or something like it."""
    good = {"secret": SECRET, "timestamp": str(NOW), "signature": SIGNATURE, "body": BODY, "now": NOW}
    assert set(changes) <= set(good)
    return {**good, **changes}


def resigned(**changes):
    """The same, signed for what it says."""
    made = case(**changes)
    return {**made, "signature": signed(made["secret"], made["timestamp"], made["body"])}


BODIES = {
    "the documentation's": BODY,
    "empty": "",
    "with letters of many scripts": "payload=💥 ünïcödé مرحبا \u2028 \u0000 한글",
    "with line breaks": "a=1\r\nb=2\n",
    "with colons": "v0:1531420618:payload",
    "of one megabyte": "payload=" + "x" * (1 << 20),
}


@check("the example of Slack's documentation is signed and accepted by both")
def _():
    same(signed(SECRET, str(NOW), BODY), SIGNATURE)
    same((theirs(case()), daemons([case()])), (True, [True]))


for name, body in BODIES.items():

    @check(f"what slack_sdk signs is accepted: a body {name}")
    def _():
        times = [NOW - 300, NOW - 299, NOW - 1, NOW, NOW + 1, NOW + 300]
        cases = [resigned(body=body, timestamp=str(time)) for time in times]
        cases += [resigned(body=body, secret=secret) for secret in ("s", "x" * 200, "sécrèt 💥", " " + SECRET)]
        same([theirs(one) for one in cases], [True] * len(cases))
        same(daemons(cases), [True] * len(cases))


def check_refused(name, cases):
    """Neither takes any of them."""

    @check(f"refused by both: {name}")
    def _():
        same([theirs(one) for one in cases], [False] * len(cases))
        same(daemons(cases), [False] * len(cases))


check_refused(
    "another secret",
    [case(secret=secret) for secret in (SECRET[:-1] + "6", SECRET.upper(), SECRET + " ", SECRET[:-1], "x")],
)
check_refused("no secret", [case(secret=""), case(secret="", signature="v0=" + "0" * 64)])
check_refused(
    "another body",
    [
        *[case(body=body) for body in (BODY[1:], BODY[:-1], BODY + "&", BODY + "\n", BODY.replace("=", "%3D"), "")],
        *[{**resigned(body=body), "body": body + "x"} for body in BODIES.values()],
    ],
)
check_refused(
    "another time",
    [
        case(timestamp=str(NOW + 1)),
        case(timestamp=str(NOW - 1)),
        # Pushing a digit from the time to the body keeps what is signed.
        case(timestamp=str(NOW)[:-1], body="8:" + BODY),
    ],
)
check_refused("too old", [resigned(timestamp=str(NOW - late)) for late in (301, 302, 3_600, NOW)])
check_refused("too new", [resigned(timestamp=str(NOW + early)) for early in (301, 302, 3_600, 10**11)])
check_refused("a time that is none", [resigned(timestamp=text) for text in ("", "now", "0x5b47", "1531420618.0", "١٥٣x")])
check_refused("no header", [case(timestamp=None), case(signature=None), case(timestamp=None, signature=None)])
check_refused(
    "a signature of another form",
    [
        case(signature=text)
        for text in (
            "",
            "v0=",
            SIGNATURE[3:],
            SIGNATURE[:-1],
            SIGNATURE + "0",
            SIGNATURE.upper(),
            SIGNATURE.replace("v0", "v1"),
            " " + SIGNATURE,
            "v0=" + "0" * 64,
        )
    ],
)


@check("where the daemon is stricter, slack_sdk takes times that Slack never writes")
def _():
    stricter = [resigned(timestamp=text) for text in (f" {NOW}", f"+{NOW}", f"{NOW}\n", "1_531_420_618", "١٥٣١٤٢٠٦١٨")]
    same([theirs(one) for one in stricter], [True] * len(stricter))
    same(daemons(stricter), [False] * len(stricter))


done()
