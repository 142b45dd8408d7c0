//! What Slack shows of every request, looked up at once, and what is wrong with it.

use std::collections::BTreeMap;

use access_sim::slack::snapshot::MessageView;

use crate::harness::*;

/// A message that tells of a request, with its thread.
#[derive(Clone, Debug)]
pub(crate) struct ObservedMessage {
    pub(crate) message: MessageView,
    pub(crate) replies: Vec<MessageView>,
}

impl ObservedMessage {
    /// As the record names it.
    pub(crate) fn record_key(&self) -> String {
        format!("{}/{}", self.message.channel, self.message.ts)
    }

    /// What follows `*Status:* `.
    pub(crate) fn status(&self) -> String {
        status_line(&self.message).replace("*Status:* ", "")
    }
}

/// Every card in the workspace, by the request it tells of.
pub(crate) struct ObservedMessages(BTreeMap<String, Vec<ObservedMessage>>);

impl ObservedMessages {
    pub(crate) fn of(bed: &TestBed) -> Self {
        let (mut cards, mut replies) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for message in bed.slack.all_messages() {
            match (&message.thread_ts, request_id_of(&message)) {
                (Some(parent), _) => {
                    let parent = (message.channel.clone(), parent.clone());
                    replies.entry(parent).or_default().push(message);
                }
                (None, Some(id)) => cards.push((id, message)),
                (None, None) => {}
            }
        }
        let mut by_id = BTreeMap::<_, Vec<_>>::new();
        for (id, message) in cards {
            let replies = replies.remove(&(message.channel.clone(), message.ts.clone())).unwrap_or_default();
            by_id.entry(id).or_default().push(ObservedMessage { message, replies });
        }
        Self(by_id)
    }

    /// The cards about a request, wherever they are.
    pub(crate) fn for_request(&self, id: &str) -> &[ObservedMessage] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

/// How one request must be shown in the end.
pub(crate) struct ExpectedState<'a> {
    pub(crate) id: &'a str,
    /// Channels by id, people by theirs.
    pub(crate) destinations: &'a [&'a str],
    /// One of these must begin the status.
    pub(crate) statuses: &'a [&'a str],
    pub(crate) has_buttons: bool,
    /// Who must be told of in the thread, each once: the beginnings of the replies.
    pub(crate) replies: Vec<String>,
    /// Whether there must be a message at all.
    pub(crate) must_exist: bool,
}

impl ExpectedState<'_> {
    /// What is wrong, in words.
    pub(crate) fn violations(&self, bed: &TestBed, shown: &ObservedMessages) -> Vec<String> {
        let mut wrong = Vec::new();
        let recorded = field(&bed.record(self.id), "messages").to_owned();
        let recorded: Vec<_> = recorded.split(',').collect();
        for place in self.destinations {
            let channel = match place.starts_with('U') {
                true => bed.slack.dm_with(place),
                false => Some((*place).to_owned()),
            };
            let here = |card: &&ObservedMessage| {
                Some(&card.message.channel) == channel.as_ref() && !card.message.tombstone
            };
            let cards: Vec<_> = shown.for_request(self.id).iter().filter(here).collect();
            let known: Vec<_> =
                cards.iter().filter(|card| recorded.contains(&card.record_key().as_str())).copied().collect();
            if cards.is_empty() {
                if self.must_exist {
                    wrong.push(format!("{place} was not told"));
                }
                continue;
            }
            if known.len() != 1 {
                let of = cards.len();
                wrong.push(format!("{place}: {} of its {of} messages are in the record, not 1", known.len()));
            }
            if cards.len() > 1 {
                let names: Vec<_> = cards.iter().map(|card| card.record_key()).collect();
                wrong.push(format!("{place} was told {} times: {}", cards.len(), names.join(" ")));
            }
            known.iter().for_each(|card| self.check_message(place, card, &mut wrong));
        }
        wrong
    }

    fn check_message(&self, place: &str, card: &ObservedMessage, wrong: &mut Vec<String>) {
        let status = card.status();
        if !self.statuses.iter().any(|wanted| status.starts_with(wanted)) {
            wrong.push(format!("{place} shows {status:?}, not {:?}", self.statuses));
        }
        let buttons = card.message.buttons.iter().any(|b| ["approve", "deny"].contains(&&*b.action_id));
        if buttons != self.has_buttons {
            wrong.push(format!("{place} shows {status:?} with buttons: {buttons}"));
        }
        let mut left: Vec<_> = card.replies.iter().map(|reply| reply.text.as_str()).collect();
        for wanted in &self.replies {
            let found = left.iter().position(|text| text.starts_with(wanted));
            match found {
                Some(at) => drop(left.remove(at)),
                None if self.must_exist => {
                    wrong.push(format!("{place}: no reply begins with {wanted:?}"));
                }
                None => {}
            }
        }
        for text in left {
            wrong.push(format!("{place}: a reply too many: {text:?}"));
        }
    }
}

#[test]
fn whatever_is_wrong_is_seen() {
    run_test(async {
        let bed = TestBed::new().await;
        let id = bed.create_request();
        let wrong = |status: &str, replies: &[&str]| {
            let truth = ExpectedState {
                id: &id,
                destinations: &["C0TEAM"],
                statuses: &[status],
                has_buttons: false,
                replies: replies.iter().map(|text| (*text).to_owned()).collect(),
                must_exist: true,
            };
            truth.violations(&bed, &ObservedMessages::of(&bed)).join("; ")
        };
        let section =
            |text: &str| serde_json::json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
        let blocks = [section("head"), section(&format!("*ID*: {id}")), section("*Status:* ⏳ PENDING")];
        let card = serde_json::json!({ "channel": "C0TEAM", "text": "card", "blocks": blocks });
        assert_eq!(wrong("⏳ PENDING", &[]), "C0TEAM was not told");
        let ts = bed.post_as_bot(&card).await;
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
        bed.post_as_bot(&card).await;
        assert!(wrong("⏳ PENDING", &["bob"]).contains("C0TEAM was told 2 times"));
    });
}
