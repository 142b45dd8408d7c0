"""A bot made with slack_bolt hears of clicks over a socket."""

import logging
import time

from common import SIM, sample_blocks, click, control, done, check, person, reason_modal, same, wait_for
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

logging.basicConfig(level=logging.WARNING)
client = WebClient(token=SIM["token"], base_url=SIM["api_url"])
app = App(client=client, signing_secret=SIM["signing_secret"])
heard = []


@app.action("approve")
def _(ack, body, respond):
    ack()
    heard.append(body)
    respond(text=f"approved {len(heard)}")


@app.action("deny")
def _(ack, body, client):
    ack()
    client.views_open(trigger_id=body["trigger_id"], view=reason_modal())


@app.view("deny")
def _(ack, view):
    if view["state"]["values"]["why"]["reason"]["value"] == "no":
        ack(response_action="errors", errors={"why": "Say more."})
    else:
        ack()


control("/app", {"socket_mode": True})
handler = SocketModeHandler(
    app=app,
    app_token=SIM["app_token"],
    web_client=WebClient(token=SIM["token"], base_url=SIM["api_url"]),
    ping_interval=1,
)
ts = client.chat_postMessage(channel="C0REQUESTS", text="asks", blocks=sample_blocks())["ts"]


def open_sockets():
    return control("/sockets")["open"]


@check("the library connects and is greeted")
def _():
    handler.connect()
    wait_for("a socket", lambda: open_sockets() == 1)


@check("a click is heard and acknowledged over the socket")
def _():
    same(click("U0BOB", ts, "approve")["acknowledged"], True)
    wait_for("the bot", lambda: len(heard) == 1)
    wait_for("the answer", lambda: person("U0BOB")["ephemerals"])
    way = control("/interactions")[-1]["way"]
    assert "socket" in way, way


@check("a modal is answered over the socket")
def _():
    same(click("U0BOB", ts, "deny", confirmed=True)["acknowledged"], True)
    wait_for("the modal", lambda: person("U0BOB")["views"])
    submit = lambda reason: control("/submit", {"user": "U0BOB", "values": {"reason": reason}})
    same(submit("no"), {"answer": "errors", "detail": {"why": "Say more."}})
    same(submit("not now")["answer"], "closed")


@check("the library stays through several of its own pings")
def _():
    opened = control("/sockets")["opened"]
    # It gives a connection up after four pings without a pong, one second apart.
    time.sleep(6)
    same(control("/sockets")["opened"], opened)


@check("a refresh and a lost connection are got over")
def _():
    for order in ["refresh", "reset"]:
        opened = control("/sockets")["opened"]
        control("/sockets", {"order": order})
        wait_for("another socket", lambda: control("/sockets")["opened"] > opened and open_sockets() >= 1)
        # The library closes its old connection, which takes it up to three seconds, before it reads from the new one.
        # What it then acknowledges may be a second delivery.
        seq = click("U0BOB", ts, "approve")["seq"]
        wait_for("an acknowledgement", lambda: control("/interactions")[seq]["acknowledged_after"])


@check("the library sent nothing that makes no sense")
def _():
    same(control("/sockets")["complaints"], [])


done()
