"""slack_sdk calls the Web API."""

import hashlib
import hmac
import urllib.parse

from common import SIM, sample_blocks, click, control, done, check, reason_modal, same
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View
from slack_sdk.signature import SignatureVerifier

client = WebClient(token=SIM["token"], base_url=SIM["api_url"])


def error_of(call):
    try:
        call()
    except SlackApiError as error:
        return error.response["error"]
    raise AssertionError("no error")


@check("auth.test knows the bot")
def _():
    me = client.auth_test()
    same((me["user_id"], me["team_id"], me["bot_id"]), ("U0BOT", "T0DEMO", "B0BOT"))


@check("a message is posted, edited, linked, read and deleted")
def _():
    metadata = {"event_type": "access_request", "event_payload": {"id": "req-1", "generation": 1}}
    posted = client.chat_postMessage(channel="C0REQUESTS", text="asks", blocks=sample_blocks(), metadata=metadata)
    same(posted["message"]["blocks"][1]["block_id"], "decide")
    client.chat_update(channel=posted["channel"], ts=posted["ts"], text="decided", blocks=sample_blocks()[:1])
    link = client.chat_getPermalink(channel=posted["channel"], message_ts=posted["ts"])["permalink"]
    assert link.endswith("/archives/C0REQUESTS/p" + posted["ts"].replace(".", "")), link
    reply = client.chat_postMessage(channel=posted["channel"], thread_ts=posted["ts"], text="thanks")
    history = client.conversations_history(channel="C0REQUESTS", include_all_metadata=True)
    same([one["ts"] for one in history["messages"]], [posted["ts"]])
    same(history["messages"][0]["metadata"], metadata)
    replies = client.conversations_replies(channel="C0REQUESTS", ts=posted["ts"])
    same([one["ts"] for one in replies["messages"]], [posted["ts"], reply["ts"]])
    client.chat_delete(channel=posted["channel"], ts=reply["ts"])


@check("people are found, direct messages opened, ephemeral ones shown")
def _():
    bob = client.users_lookupByEmail(email="bob@example.com")["user"]
    same((bob["id"], bob["profile"]["email"]), ("U0BOB", "bob@example.com"))
    same(client.users_info(user="U0GIL")["user"]["is_restricted"], True)
    same(client.conversations_open(users=["U0BOB"])["channel"]["id"], "D0BOB")
    same(client.chat_postMessage(channel="U0BOB", text="hello")["channel"], "D0BOB")
    shown = client.chat_postEphemeral(channel="C0REQUESTS", user="U0BOB", text="only you")
    assert shown["message_ts"]
    same(client.usergroups_users_list(usergroup="S0DBA")["users"], ["U0BOB", "U0CAROL"])


@check("refusals arrive as SlackApiError with their code")
def _():
    same(error_of(lambda: client.chat_postMessage(channel="C0NONE", text="x")), "channel_not_found")
    same(error_of(lambda: client.users_lookupByEmail(email="nobody@example.com")), "users_not_found")
    same(error_of(lambda: client.chat_update(channel="C0REQUESTS", ts="1.000001", text="x")), "message_not_found")
    same(error_of(lambda: client.views_open(trigger_id="1.2.x", view=reason_modal())), "invalid_trigger_id")
    wrong = WebClient(token="xoxb-wrong", base_url=SIM["api_url"])
    same(error_of(wrong.auth_test), "invalid_auth")
    same(error_of(lambda: wrong.apps_connections_open(app_token=SIM["token"])), "not_allowed_token_type")


@check("paging goes through all channels")
def _():
    pages = client.conversations_list(types="public_channel", limit=1)
    names = [channel["name"] for page in pages for channel in page["channels"]]
    same(sorted(names), ["access-requests", "dba-approvers", "random"])


@check("HTTP 429 is waited for by the library's own handler")
def _():
    patient = WebClient(token=SIM["token"], base_url=SIM["api_url"])
    patient.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=5))
    for number in range(7):
        patient.chat_postMessage(channel="C0DBA", text=f"message {number}")
    calls = [call for call in control("/calls") if call["channel"] == "C0DBA"]
    assert any(call["status"] == 429 for call in calls), "no call was limited"


@check("apps.connections.open hands out an address")
def _():
    url = client.apps_connections_open(app_token=SIM["app_token"])["url"]
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    same((urllib.parse.urlsplit(url).scheme, query["app_id"]), ("ws", ["A0BOT"]))


@check("the library's models take our blocks and views, and so does the simulator take theirs")
def _():
    blocks = Block.parse_all(sample_blocks())
    client.chat_postMessage(channel="U0BOB", text="x", blocks=blocks)
    same([block.to_dict() for block in blocks], sample_blocks())
    same(View(**reason_modal()).to_dict()["callback_id"], "deny")


@check("the library signs as Slack's documentation says")
def _():
    body = "payload=%7B%7D"
    verifier = SignatureVerifier(SIM["signing_secret"])
    made = verifier.generate_signature(timestamp="1531420618", body=body)
    own = hmac.new(SIM["signing_secret"].encode(), b"v0:1531420618:" + body.encode(), hashlib.sha256)
    same(made, "v0=" + own.hexdigest())


@check("a click without a listener gets a warning")
def _():
    posted = client.chat_postMessage(channel="C0REQUESTS", text="x", blocks=sample_blocks())
    same(click("U0BOB", posted["ts"], "approve")["warning"], "the app is not set up to hear of this")


done()
