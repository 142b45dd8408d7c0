//! What Slack shows of every request, looked up at once, and what is wrong with it.

use std::collections::BTreeMap;

use access_sim::slack::snapshot::MessageView;

use crate::support::*;

/// A message that tells of a request, with its thread.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) message: MessageView,
    pub(crate) replies: Vec<MessageView>,
}

impl Card {
    /// As the record names it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.message.channel, self.message.ts)
    }

    /// What follows `*Status:* `.
    pub(crate) fn status(&self) -> String {
        status_line(&self.message).replace("*Status:* ", "")
    }
}

/// Every card in the workspace, by the request it tells of.
pub(crate) struct Shown(BTreeMap<String, Vec<Card>>);

impl Shown {
    pub(crate) fn of(bed: &Bed) -> Self {
        let (mut cards, mut replies) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for message in bed.slack.all_messages() {
            match (&message.thread_ts, told_of(&message)) {
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
            by_id.entry(id).or_default().push(Card { message, replies });
        }
        Self(by_id)
    }

    /// The cards about a request, wherever they are.
    pub(crate) fn about(&self, id: &str) -> &[Card] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

/// How one request must be shown in the end.
pub(crate) struct Truth<'a> {
    pub(crate) id: &'a str,
    /// Channels by id, people by theirs.
    pub(crate) places: &'a [&'a str],
    /// One of these must begin the status.
    pub(crate) statuses: &'a [&'a str],
    pub(crate) has_buttons: bool,
    /// Who must be told of in the thread, each once: the beginnings of the replies.
    pub(crate) replies: Vec<String>,
    /// Whether there must be a message at all.
    pub(crate) must_be_shown: bool,
}

impl Truth<'_> {
    /// What is wrong, in words.
    pub(crate) fn complaints(&self, bed: &Bed, shown: &Shown) -> Vec<String> {
        let mut wrong = Vec::new();
        let recorded = field(&bed.record(self.id), "messages").to_owned();
        let recorded: Vec<_> = recorded.split(',').collect();
        for place in self.places {
            let channel = match place.starts_with('U') {
                true => bed.slack.dm_with(place),
                false => Some((*place).to_owned()),
            };
            let here =
                |card: &&Card| Some(&card.message.channel) == channel.as_ref() && !card.message.tombstone;
            let cards: Vec<_> = shown.about(self.id).iter().filter(here).collect();
            let known: Vec<_> =
                cards.iter().filter(|card| recorded.contains(&card.name().as_str())).copied().collect();
            if cards.is_empty() {
                if self.must_be_shown {
                    wrong.push(format!("{place} was not told"));
                }
                continue;
            }
            if known.len() != 1 {
                let of = cards.len();
                wrong.push(format!("{place}: {} of its {of} messages are in the record, not 1", known.len()));
            }
            if cards.len() > 1 {
                let names: Vec<_> = cards.iter().map(|card| card.name()).collect();
                wrong.push(format!("{place} was told {} times: {}", cards.len(), names.join(" ")));
            }
            known.iter().for_each(|card| self.judge(place, card, &mut wrong));
        }
        wrong
    }

    fn judge(&self, place: &str, card: &Card, wrong: &mut Vec<String>) {
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
                None if self.must_be_shown => {
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
    story(async {
        let bed = Bed::new().await;
        let id = bed.ask();
        let wrong = |status: &str, replies: &[&str]| {
            let truth = Truth {
                id: &id,
                places: &["C0TEAM"],
                statuses: &[status],
                has_buttons: false,
                replies: replies.iter().map(|text| (*text).to_owned()).collect(),
                must_be_shown: true,
            };
            truth.complaints(&bed, &Shown::of(&bed)).join("; ")
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
