//! slack-morphism checks the simulator's Web API and every message that can be rendered.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;

use serde_json::{Map, Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::*;

type Outcome = Result<(), Box<dyn Error>>;

fn check(name: &str, outcome: Outcome) {
    match outcome {
        Ok(()) => println!("ok - {name}"),
        Err(error) => {
            let text = error.to_string();
            println!("FAILED - {name}: {}", text.lines().next().unwrap_or_default());
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}").into()) }
}

fn sample_blocks() -> Result<Vec<SlackBlock>, serde_json::Error> {
    serde_json::from_value(json!([
        { "type": "section", "text": { "type": "mrkdwn", "text": "*alice* asks for `dba`" } },
        { "type": "actions", "block_id": "decide", "elements": [{
            "type": "button", "action_id": "approve", "value": "req-1",
            "text": { "type": "plain_text", "text": "Approve" },
        }] },
    ]))
}

/// Without false, null and empty values, which say nothing.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        // The library's addresses leave out the port that goes without saying.
        Value::String(text) if text.starts_with("https://") => Some(text.replacen(":443/", "/", 1).into()),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => {
            Some(items.into_iter().map(|item| plain(item).unwrap_or(Value::Null)).collect())
        }
        Value::Object(fields) => {
            let kept: Map<String, Value> =
                fields.into_iter().filter_map(|(name, inner)| Some((name, plain(inner)?))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        other => Some(other),
    }
}

fn round_trip(kind: &str, content: &Value) -> Outcome {
    let again = match kind {
        "view" => serde_json::to_value(serde_json::from_value::<SlackView>(content.clone())?)?,
        _ => serde_json::to_value(serde_json::from_value::<SlackMessageContent>(content.clone())?)?,
    };
    same(plain(again), plain(content.clone()))
}

fn messages() -> Outcome {
    let printed = Command::new(format!("{}/messages", std::env::var("PROGRAMS")?)).output()?;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut faults: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8(printed.stdout)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let kind = line["kind"].as_str().unwrap_or_default();
        if kind == "correction" {
            continue;
        }
        *counts.entry(kind.to_owned()).or_default() += 1;
        if let Err(error) = round_trip(kind, &line["content"]) {
            faults.entry(kind.to_owned()).or_insert(format!("{}: {error}", line["name"]));
        }
    }
    for kind in ["message", "view"] {
        let count = counts.get(kind).copied().unwrap_or(0);
        let outcome = match faults.remove(kind) {
            Some(fault) => Err(fault.into()),
            None if count == 0 => Err("there is none".into()),
            None => Ok(()),
        };
        check(&format!("{count} of kind {kind} mean the same to slack-morphism"), outcome);
    }
    let wrong = json!({ "text": "x", "blocks": [{
        "type": "section", "text": { "type": "mrkdwn", "text": "x", "tint": "red" } }] });
    let found = round_trip("message", &wrong).is_err();
    check("slack-morphism finds what is wrong", same(found, true));
    Ok(())
}

async fn posts(session: &SlackClientSession<'_, impl SlackClientHttpConnector + Send + Sync>) -> Outcome {
    let channel = SlackChannelId::new("C0REQUESTS".into());
    let metadata = SlackMessageMetadata {
        event_type: "access_request".into(),
        event_payload: Some([("id".to_owned(), "req-1".to_owned())].into()),
    };
    let content = SlackMessageContent::new().with_text("asks".into()).with_blocks(sample_blocks()?);
    let post = SlackApiChatPostMessageRequest::new(channel.clone(), content.with_metadata(metadata));
    let ts = session.chat_post_message(&post).await?.ts;
    let said = |text: &str| SlackMessageContent::new().with_text(text.into());
    let reply =
        SlackApiChatPostMessageRequest::new(channel.clone(), said("thanks")).with_thread_ts(ts.clone());
    let reply = session.chat_post_message(&reply).await?.ts;
    session
        .chat_update(&SlackApiChatUpdateRequest::new(channel.clone(), said("decided"), ts.clone()))
        .await?;
    let history = SlackApiConversationsHistoryRequest::new()
        .with_channel(channel.clone())
        .with_include_all_metadata(true);
    let history = session.conversations_history(&history).await?;
    let found = history.messages.first().ok_or("no message")?;
    same(&found.origin.ts, &ts)?;
    let payload = found.content.metadata.as_ref().and_then(|metadata| metadata.event_payload.as_ref());
    same(payload.and_then(|payload| payload.get("id")).map(String::as_str), Some("req-1"))?;
    session
        .chat_post_ephemeral(&SlackApiChatPostEphemeralRequest::new(
            channel.clone(),
            SlackUserId::new("U0BOB".into()),
            said("only you"),
        ))
        .await?;
    session.chat_get_permalink(&SlackApiChatGetPermalinkRequest::new(channel.clone(), ts)).await?;
    session.chat_delete(&SlackApiChatDeleteRequest::new(channel, reply)).await?;
    Ok(())
}

async fn people(session: &SlackClientSession<'_, impl SlackClientHttpConnector + Send + Sync>) -> Outcome {
    let bob = SlackApiUsersLookupByEmailRequest::new(EmailAddress("bob@example.com".into()));
    same(session.users_lookup_by_email(&bob).await?.user.id.to_string(), "U0BOB".to_owned())?;
    session.users_info(&SlackApiUsersInfoRequest::new(SlackUserId::new("U0GIL".into()))).await?;
    let open = SlackApiConversationsOpenRequest::new().with_users(vec![SlackUserId::new("U0BOB".into())]);
    same(session.conversations_open(&open).await?.channel.id.to_string(), "D0BOB".to_owned())?;
    let info = SlackApiConversationsInfoRequest::new(SlackChannelId::new("C0DBA".into()));
    session.conversations_info(&info).await?;
    Ok(())
}

async fn refused(session: &SlackClientSession<'_, impl SlackClientHttpConnector + Send + Sync>) -> Outcome {
    let content = SlackMessageContent::new().with_text("x".into());
    let post = SlackApiChatPostMessageRequest::new(SlackChannelId::new("C0NONE".into()), content);
    match session.chat_post_message(&post).await {
        Err(SlackClientError::ApiError(error)) => same(error.code.as_str(), "channel_not_found"),
        other => Err(format!("{other:?}").into()),
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let sim: Value = serde_json::from_str(&std::env::var("SIM")?)?;
    let of = |name: &str| sim[name].as_str().unwrap_or_default().to_owned();
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(
            rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        )
        .https_or_http()
        .enable_http1()
        .build();
    let connector = SlackClientHyperConnector::with_connector(https);
    let client = SlackClient::new(connector.with_slack_api_url(of("api_url").trim_end_matches('/')));
    let token = SlackApiToken::new(SlackApiTokenValue(of("token")));
    let session = client.open_session(&token);
    let me = session.auth_test().await.map_err(Into::into);
    check("auth.test knows the bot", me.and_then(|me| same(me.user_id.to_string(), "U0BOT".to_owned())));
    check("a message with metadata is posted, answered, edited, read and deleted", posts(&session).await);
    check("people and channels are found, users given as a list", people(&session).await);
    check("refusals arrive with their code", refused(&session).await);
    let token = SlackApiToken::new(SlackApiTokenValue(of("app_token")));
    let opened = client.open_session(&token);
    let opened = opened.apps_connections_open(&SlackApiAppsConnectionOpenRequest::new()).await;
    check("a socket's address is handed out", opened.map(|_| ()).map_err(Into::into));
    messages()?;
    println!("done");
    Ok(())
}
