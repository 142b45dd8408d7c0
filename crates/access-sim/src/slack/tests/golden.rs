//! The calls a real bot made, replayed: they must be accepted.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::workspace::{SlackUser, Workspace};
use super::start;

/// In the order of the recorded conversation.
const STEMS: [&str; 8] = [
    "created",
    "approved-by-review",
    "created-two-needed",
    "one-of-two",
    "created-no-reason",
    "denied",
    "created-to-delete",
    "deleted",
];

#[tokio::test]
async fn the_go_plugins_calls_are_taken() {
    let workspace = Workspace::empty()
        .add_channel("C0TEAM", "team")
        .add_user(SlackUser::member("UBOB", "bob"))
        .add_user(SlackUser::member("UDAVE", "dave"));
    let (sim, client) = start(workspace).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/go-plugin-7.1.3");
    // The recording's server answered with the channel as asked and with its own ts; ours gives its own for both.
    let mut ours: HashMap<(String, String), Value> = HashMap::new();
    let mut recorded = recorded_posts(&folder).into_iter();
    let mut replayed = 0;
    for stem in STEMS {
        for call in read(&folder, stem) {
            let method = call["method"].as_str().unwrap();
            if method == "users.lookupByEmail" {
                let got = client.get(method, &[("email", "bob@example.com")]).await.json();
                assert_eq!(got["user"]["id"], "UBOB");
                continue;
            }
            let mut body = call["body"].clone();
            let key =
                |ts: &Value| (body["channel"].as_str().unwrap().to_owned(), ts.as_str().unwrap().to_owned());
            if body["ts"].is_string() {
                let answer = &ours[&key(&body["ts"])];
                body["ts"] = answer["ts"].clone();
                body["channel"] = answer["channel"].clone();
            } else if body["thread_ts"].is_string() {
                body["thread_ts"] = ours[&key(&body["thread_ts"])]["ts"].clone();
            }
            let answer = client.ok(method, body).await;
            replayed += 1;
            if method == "chat.postMessage" && !call["body"]["thread_ts"].is_string() {
                let channel = call["body"]["channel"].as_str().unwrap().to_owned();
                let ts = recorded.next().expect("a recorded ts for each post").1;
                ours.insert((channel, ts), answer);
            }
        }
    }
    assert!(replayed >= 20, "{replayed}");
    let heads = sim.all_messages().into_iter().filter(|message| message.thread_ts.is_none()).count();
    assert_eq!(heads, 9, "two or three for each of four requests");
    // What this simulator is for: the recorded bot lets a request's author write links and hide words.
    let created = sim.messages("C0TEAM").remove(0);
    assert_eq!(created.effects().unrecognized, ["prod"]);
    assert!(created.effects().links.iter().any(|link| link.url == "mailto:alice@example.com"));
}

fn read(folder: &Path, stem: &str) -> Vec<Value> {
    let path = folder.join(format!("{stem}.slack-calls.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Channel and ts of each first message, in the order of posting: the later calls name them.
fn recorded_posts(folder: &Path) -> Vec<(String, String)> {
    let mut posts = Vec::new();
    for pair in STEMS.chunks(2) {
        let created = read(folder, pair[0]);
        let later = read(folder, pair[1]);
        for post in created.iter().filter(|call| call["method"] == json!("chat.postMessage")) {
            let channel = &post["body"]["channel"];
            let follow_up = later.iter().find(|call| call["body"]["channel"] == *channel).unwrap();
            let body = &follow_up["body"];
            let ts = if body["ts"].is_string() { &body["ts"] } else { &body["thread_ts"] };
            posts.push((channel.as_str().unwrap().to_owned(), ts.as_str().unwrap().to_owned()));
        }
    }
    posts
}
