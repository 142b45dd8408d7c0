"""A bot made with slack_bolt hears of clicks over HTTP."""

import logging
import threading

from common import SIM, sample_blocks, click, control, done, check, person, reason_modal, same, wait_for
from slack_bolt import App
from slack_bolt.app.app import SlackAppDevelopmentServer
from slack_sdk import WebClient

logging.basicConfig(level=logging.WARNING)
client = WebClient(token=SIM["token"], base_url=SIM["api_url"])
app = App(client=client, signing_secret=SIM["signing_secret"], process_before_response=True)
heard = []


@app.action("approve")
def _(ack, body, action, respond):
    ack()
    heard.append(body)
    respond(text=f"approved {action['value']}")
    respond(text="for all to see", response_type="in_channel")


@app.action("deny")
def _(ack, body, client):
    ack()
    heard.append(body)
    client.views_open(trigger_id=body["trigger_id"], view=reason_modal())


@app.view("deny")
def _(ack, view, body):
    heard.append(body)
    reason = view["state"]["values"]["why"]["reason"]["value"]
    if reason == "no":
        ack(response_action="errors", errors={"why": "Say more."})
    else:
        ack()
        client.chat_postEphemeral(channel="C0REQUESTS", user=body["user"]["id"], text=f"denied: {reason}")


# The library's own server, on a free port.
server = SlackAppDevelopmentServer(port=0, path="/slack/events", app=app)._server
threading.Thread(target=server.serve_forever, daemon=True).start()
control("/app", {"request_url": f"http://127.0.0.1:{server.server_address[1]}/slack/events"})
ts = client.chat_postMessage(channel="C0REQUESTS", text="asks", blocks=sample_blocks())["ts"]


@check("a signed click is heard and acknowledged")
def _():
    same(click("U0BOB", ts, "approve")["acknowledged"], True)
    body = heard[-1]
    same((body["user"]["id"], body["container"]["message_ts"]), ("U0BOB", ts))
    same(body["actions"][0]["value"], "req-1")


@check("respond() reaches the person and the channel")
def _():
    wait_for("the answer", lambda: [one["text"] for one in person("U0BOB")["ephemerals"]] == ["approved req-1"])

    def shown():
        channels = control("/workspace")["conversations"]
        messages = next(one for one in channels if one["id"] == "C0REQUESTS")["messages"]
        return [one["text"] for one in messages] == ["asks", "for all to see"]

    wait_for("the message", shown)


@check("forged and stale clicks are refused")
def _():
    before = len(heard)
    for forgery in ["wrong_secret", "missing_signature", "stale"]:
        seen = click("U0BOB", ts, "approve", forgery=forgery)
        same((forgery, seen["warning"]), (forgery, "the app answered HTTP 401"))
    same(len(heard), before)


@check("fields of the future do no harm")
def _():
    same(click("U0CAROL", ts, "approve", forgery="extra_fields")["acknowledged"], True)


@check("a modal is opened, rejected, submitted and closed")
def _():
    asked = click("U0BOB", ts, "deny")
    same((asked["acknowledged"], asked["confirm"]["title"]), (False, "Sure?"))
    same(click("U0BOB", ts, "deny", confirmed=True)["acknowledged"], True)
    wait_for("the modal", lambda: person("U0BOB")["views"])
    submit = lambda reason: control("/submit", {"user": "U0BOB", "values": {"reason": reason}})
    same(submit(""), {"answer": "incomplete", "detail": {"why": "Please complete this required field."}})
    same(submit("no"), {"answer": "errors", "detail": {"why": "Say more."}})
    same(submit("not during the freeze"), {"answer": "closed", "detail": None})
    same(person("U0BOB")["views"], [])
    last = wait_for("the answer", lambda: person("U0BOB")["ephemerals"])[-1]
    same(last["text"], "denied: not during the freeze")


done()
