//! Posts a message to a simulated Slack, edits it, and shows the channel.

use std::error::Error;
use std::io::{self, Write};

use access_core::domain::secret::Secret;
use access_core::render::Message;
use access_core::render::mrkdwn::Mrkdwn;
use access_sim::slack::workspace::Workspace;
use access_sim::slack::{Options, SlackSim};
use slack_client::{Client, ClientOptions, PostMessage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout()).await
}

async fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let slack = SlackSim::start(Options::new(Workspace::demo())).await?;
    let api_url = slack.api_url();
    let client = Client::new(ClientOptions { api_url, ..ClientOptions::new(Secret::new(slack.token())) })?;
    let bot = client.auth_test().await?;
    writeln!(out, "the token is of {} in {}", bot.user_id, bot.team)?;

    let post =
        PostMessage { channel: "C0REQUESTS", message: &message("Hello"), thread_ts: None, metadata: None };
    let posted = client.post_message(post).await?;
    client.update_message(&posted.channel, &posted.ts, &message("Hello again")).await?;
    for shown in slack.messages(posted.channel.as_str()) {
        writeln!(out, "{}: {}", posted.channel, shown.text)?;
    }
    Ok(())
}

fn message(text: &'static str) -> Message {
    let mut mrkdwn = Mrkdwn::default();
    mrkdwn.trusted(text);
    Message::plain(mrkdwn)
}

#[cfg(test)]
#[tokio::test]
async fn the_example_posts_a_message_and_edits_it() {
    let mut out = Vec::new();
    run(&mut out).await.unwrap();
    let shown = "the token is of U0BOT in Demo\nC0REQUESTS: Hello again\n";
    assert_eq!(String::from_utf8(out).unwrap(), shown);
}
