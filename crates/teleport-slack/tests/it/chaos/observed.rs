//! What Slack shows of every request, read at one moment, and how it differs from what is expected.

use std::collections::BTreeMap;

use access_sim::slack::snapshot::MessageView;

use crate::harness::*;

/// A message about a request, with its thread.
#[derive(Clone, Debug)]
pub(crate) struct ObservedMessage {
    pub(crate) message: MessageView,
    pub(crate) replies: Vec<MessageView>,
}

impl ObservedMessage {
    /// Its name in the record.
    pub(crate) fn record_key(&self) -> String {
        format!("{}/{}", self.message.channel, self.message.ts)
    }

    /// What follows `*Status:* `.
    pub(crate) fn status(&self) -> String {
        status_line(&self.message).replace("*Status:* ", "")
    }
}

/// Every request message in the workspace, by request.
pub(crate) struct ObservedMessages(BTreeMap<String, Vec<ObservedMessage>>);

impl ObservedMessages {
    pub(crate) fn of(bed: &TestBed) -> Self {
        let (mut entries, mut replies) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for message in bed.slack.all_messages() {
            match (&message.thread_ts, request_id_of(&message)) {
                (Some(parent), _) => {
                    let parent = (message.channel.clone(), parent.clone());
                    replies.entry(parent).or_default().push(message);
                }
                (None, Some(id)) => entries.push((id, message)),
                (None, None) => {}
            }
        }
        let mut by_id = BTreeMap::<_, Vec<_>>::new();
        for (id, message) in entries {
            let replies = replies.remove(&(message.channel.clone(), message.ts.clone())).unwrap_or_default();
            by_id.entry(id).or_default().push(ObservedMessage { message, replies });
        }
        Self(by_id)
    }

    /// The messages about a request, at every destination.
    pub(crate) fn for_request(&self, id: &str) -> &[ObservedMessage] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

/// How Slack must show one request in the end.
pub(crate) struct ExpectedState<'a> {
    pub(crate) id: &'a str,
    /// Channels and users, by their ids.
    pub(crate) destinations: &'a [&'a str],
    /// One of these must begin the status.
    pub(crate) statuses: &'a [&'a str],
    pub(crate) has_buttons: bool,
    /// The beginnings of the thread replies, each expected once.
    pub(crate) replies: Vec<String>,
    /// Whether a message must exist.
    pub(crate) must_exist: bool,
}

impl ExpectedState<'_> {
    /// The differences, in words.
    pub(crate) fn violations(&self, bed: &TestBed, observed: &ObservedMessages) -> Vec<String> {
        let mut wrong = Vec::new();
        let recorded = field(&bed.record(self.id), "messages").to_owned();
        let recorded: Vec<_> = recorded.split(',').collect();
        for destination in self.destinations {
            let channel = match destination.starts_with('U') {
                true => bed.slack.dm_with(destination),
                false => Some((*destination).to_owned()),
            };
            let here = |entry: &&ObservedMessage| {
                Some(&entry.message.channel) == channel.as_ref() && !entry.message.tombstone
            };
            let entries: Vec<_> = observed.for_request(self.id).iter().filter(here).collect();
            let recorded_messages: Vec<_> = entries
                .iter()
                .filter(|entry| recorded.contains(&entry.record_key().as_str()))
                .copied()
                .collect();
            if entries.is_empty() {
                if self.must_exist {
                    wrong.push(format!("{destination} has no message"));
                }
                continue;
            }
            if recorded_messages.len() != 1 {
                let of = entries.len();
                wrong.push(format!(
                    "{destination}: {} of its {of} messages are in the record, not 1",
                    recorded_messages.len()
                ));
            }
            if entries.len() > 1 {
                let names: Vec<_> = entries.iter().map(|entry| entry.record_key()).collect();
                wrong.push(format!("{destination} has {} messages: {}", entries.len(), names.join(" ")));
            }
            recorded_messages.iter().for_each(|entry| self.check_message(destination, entry, &mut wrong));
        }
        wrong
    }

    fn check_message(&self, destination: &str, entry: &ObservedMessage, wrong: &mut Vec<String>) {
        let status = entry.status();
        if !self.statuses.iter().any(|wanted| status.starts_with(wanted)) {
            wrong.push(format!("{destination} shows {status:?}, not {:?}", self.statuses));
        }
        let buttons = entry.message.buttons.iter().any(|b| ["approve", "deny"].contains(&&*b.action_id));
        if buttons != self.has_buttons {
            wrong.push(format!("{destination} shows {status:?} with buttons: {buttons}"));
        }
        let mut left: Vec<_> = entry.replies.iter().map(|reply| reply.text.as_str()).collect();
        for wanted in &self.replies {
            let found = left.iter().position(|text| text.starts_with(wanted));
            match found {
                Some(at) => drop(left.remove(at)),
                None if self.must_exist => {
                    wrong.push(format!("{destination}: no reply begins with {wanted:?}"));
                }
                None => {}
            }
        }
        for text in left {
            wrong.push(format!("{destination}: a reply too many: {text:?}"));
        }
    }
}

#[test]
fn every_violation_is_found() {
    run_test(async {
        let bed = TestBed::new().await;
        let id = bed.create_request();
        let wrong = |status: &str, replies: &[&str]| {
            let expected = ExpectedState {
                id: &id,
                destinations: &["C0TEAM"],
                statuses: &[status],
                has_buttons: false,
                replies: replies.iter().map(|text| (*text).to_owned()).collect(),
                must_exist: true,
            };
            expected.violations(&bed, &ObservedMessages::of(&bed)).join("; ")
        };
        let section =
            |text: &str| serde_json::json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
        let blocks = [section("head"), section(&format!("*ID*: {id}")), section("*Status:* ⏳ PENDING")];
        let body = serde_json::json!({ "channel": "C0TEAM", "text": "message", "blocks": blocks });
        assert_eq!(wrong("⏳ PENDING", &[]), "C0TEAM has no message");
        let ts = bed.post_as_bot(&body).await;
        assert_eq!(wrong("⏳ PENDING", &[]), "C0TEAM: 0 of its 1 messages are in the record, not 1");
        let messages = format!("C0TEAM/{ts}").into_bytes();
        bed.teleport.set_plugin_data(&id, "slack", [(b"messages".to_vec(), messages)].into()).unwrap();
        assert_eq!(wrong("⏳ PENDING", &[]), "");
        assert!(wrong("✅ APPROVED", &[]).contains("shows \"⏳ PENDING\""));
        assert!(wrong("⏳ PENDING", &["bob"]).contains("no reply begins with \"bob\""));
        let reply = serde_json::json!({ "channel": "C0TEAM", "text": "bob did", "thread_ts": ts });
        bed.post_as_bot(&reply).await;
        assert_eq!(wrong("⏳ PENDING", &["bob"]), "");
        assert!(wrong("⏳ PENDING", &[]).contains("a reply too many: \"bob did\""));
        bed.post_as_bot(&body).await;
        assert!(wrong("⏳ PENDING", &["bob"]).contains("C0TEAM has 2 messages"));
    });
}
