//! Makes one call of each form in which the daemon shows something in Slack, so that Slack's own types can judge the
//! arguments (`conformance/run`): `slack_calls API_URL TOKEN`.
//!
//! What the messages say is judged by `access-core/examples/messages`. The simulator that is called here keeps the
//! arguments, whether or not it can do what is asked.

use access_core::domain::decision::Decision;
use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::domain::lifecycle::Phase;
use access_core::domain::request::AccessRequest;
use access_core::domain::secret::Secret;
use access_core::interaction::controls::ModalState;
use access_core::render::ephemeral::{Accepted, accepted};
use access_core::render::modal::reason_modal;
use access_core::render::request_message::{
    Controls, Edition, MessageInput, ReviewSection, fallback_message, request_message_with_review,
    shown_cluster,
};
use anyhow::Context;
use jiff::Timestamp;
use slack_client::{Client, ClientOptions, Metadata, PostMessage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(api_url), Some(token)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: slack_calls API_URL TOKEN")
    };
    let options = ClientOptions { api_url: api_url.clone(), ..ClientOptions::new(Secret::new(token)) };
    let slack = Client::new(options)?;

    let request = request();
    let view = MessageInput {
        request: &request,
        phase: Phase::Pending,
        cluster: "local-site",
        edition: Edition::Community,
    };
    let deciding =
        ReviewSection { controls: Controls::Buttons { confirm: true }, ..ReviewSection::default() };
    let (message, short) = (request_message_with_review(&view, &deciding), fallback_message(&view));
    let answer = accepted(Accepted::Resolved(Decision::Approve));
    let metadata = Metadata {
        event_type: "access_request".to_owned(),
        payload: [("id".to_owned(), request.id.to_string())].into(),
    };

    let post =
        PostMessage { channel: "C0REQUESTS", message: &message, thread_ts: None, metadata: Some(metadata) };
    let posted = slack.post_message(post).await?;
    let (channel, ts) = (&posted.channel, &posted.ts);
    let reply =
        PostMessage { channel: channel.as_str(), message: &answer, thread_ts: Some(ts), metadata: None };
    slack.post_message(reply).await?;
    slack.update_message(channel, ts, &message).await?;
    slack.update_message(channel, ts, &short).await?;
    slack.post_ephemeral(channel, &SlackUserId::new("U0BOB"), &answer).await?;
    let modal = ModalState {
        request: request.id.clone(),
        decision: Decision::Deny,
        channel: ChannelId::new(channel.as_str()),
        ts: MessageTs::new(ts.as_str()),
        opened_at: Timestamp::UNIX_EPOCH,
        required: true,
        cluster: shown_cluster("demo"),
    };
    let view = reason_modal(&request, &modal).context("the sample has a proper id")?;
    // No user clicked, so the simulator refuses these two; its log holds the calls all the same.
    let _refused = slack.views_open("1.2.x", &view).await;
    let hook = format!("{}actions/T0DEMO/never-made", api_url.trim_end_matches("api/"));
    let _refused = slack.respond(&Secret::new(hook), &answer).await;
    Ok(())
}

fn request() -> AccessRequest {
    AccessRequest {
        roles: vec!["dba".to_owned()],
        reason: "nightly restore".to_owned(),
        ..AccessRequest::pending(RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"), "alice@example.com")
    }
}
