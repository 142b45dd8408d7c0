//! Posts a message to a simulated Slack, edits it, and prints what the channel shows.

#![expect(clippy::print_stdout, reason = "an example for people")]

use access_core::domain::secret::Secret;
use access_core::render::Message;
use access_core::render::mrkdwn::Mrkdwn;
use access_sim::slack::workspace::Workspace;
use access_sim::slack::{Options, SlackSim};
use slack_client::{Client, ClientOptions, PostMessage};

fn message(text: &'static str) -> Message {
    let mut mrkdwn = Mrkdwn::default();
    mrkdwn.trusted(text);
    Message::plain(mrkdwn)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let slack = SlackSim::start(Options::new(Workspace::demo())).await?;
    let api_url = slack.api_url();
    let client = Client::new(ClientOptions { api_url, ..ClientOptions::new(Secret::new(slack.token())) })?;
    let who = client.auth_test().await?;
    println!("the token is of {} in {}", who.user_id, who.team);

    let post =
        PostMessage { channel: "C0REQUESTS", message: &message("Hello"), thread_ts: None, metadata: None };
    let posted = client.post_message(post).await?;
    client.update_message(&posted.channel, &posted.ts, &message("Hello again")).await?;
    for shown in slack.messages(posted.channel.as_str()) {
        println!("{}: {}", posted.channel, shown.text);
    }
    Ok(())
}
