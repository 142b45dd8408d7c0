//! The messages, modals and answers of a request. What they say is `access_core`'s; here they are only asked for.

use std::collections::BTreeMap;

use access_core::domain::decision::Decision;
use access_core::domain::ids::{ChannelId, MessageTs};
use access_core::domain::known_ids::KnownIds;
use access_core::domain::lifecycle::{Phase, phase};
use access_core::domain::recipients::RecipientList;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::interaction::controls::ModalState;
use access_core::plan::{self, Copies, PlanInput, ReviewDisplay, copies};
use access_core::policy::{Mode, ReasonPolicy, Rules, Tally, open_request, tally_votes};
use access_core::record::{Record, truncated};
use access_core::render::Message;
use access_core::render::answers::{Names, answers};
use access_core::render::ephemeral::refused;
use access_core::render::modal::{notice, reason_modal};
use access_core::render::request_message::{Controls, Edition, shown_cluster};
use access_core::render::samples::Sample;
use access_core::render::thread_reply::{review_reply, vote_reply};
use access_core::render::view::View;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

/// A state that no release of Teleport has given a meaning yet.
const UNKNOWN_STATE: i32 = 5;
/// How long before now an expired request expired, and how long after now a deleted one would have.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Of a mode that counts nothing.
const NO_TALLY: Tally = Tally { approvals: 0, approvals_needed: 1, denials: 0, denials_needed: 1 };

/// A request with all that shapes its messages.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) request: AccessRequest,
    /// Whether Teleport has it.
    pub(crate) is_listed: bool,
    pub(crate) record: Record,
    pub(crate) cluster: String,
    pub(crate) is_enterprise: bool,
    pub(crate) web_proxy: Option<String>,
    /// Deciding in Slack; `None` if it is off.
    pub(crate) review: Option<Review>,
    pub(crate) now: Timestamp,
}

/// What the configuration and Teleport say of deciding in Slack.
#[derive(Clone, Debug)]
pub(crate) struct Review {
    /// The mode in effect.
    pub(crate) mode: Option<Mode>,
    pub(crate) rules: Rules,
}

/// Who sees it, or where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Audience {
    /// A channel, or a direct message to a user who is not the requester.
    #[value(alias = "direct-message")]
    Channel,
    /// The direct message to the requester.
    Requester,
    /// A direct message that Teleport's own plugin posted, which records no recipient.
    Unrecorded,
    /// Instead of each of these where Slack refuses their layout: a text.
    Plain,
    /// The thread: a reply for each review and each vote.
    Thread,
    /// The modal that a button opens, if the rules ask for a reason.
    Modal,
    /// The answers that only the person who clicked sees.
    Answer,
}

impl Audience {
    const ALL: [Self; 7] = [
        Self::Channel,
        Self::Requester,
        Self::Unrecorded,
        Self::Plain,
        Self::Thread,
        Self::Modal,
        Self::Answer,
    ];

    /// Whether it sees one message in each phase.
    pub(crate) fn sees_one(self) -> bool {
        matches!(self, Self::Channel | Self::Requester | Self::Unrecorded | Self::Plain)
    }

    /// The word for it in the options and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Requester => "requester",
            Self::Unrecorded => "unrecorded",
            Self::Plain => "plain",
            Self::Thread => "thread",
            Self::Modal => "modal",
            Self::Answer => "answer",
        }
    }

    /// The part of a phase's copies that is its own.
    fn copy(self, copies: &Copies) -> Option<&Message> {
        Some(match self {
            Self::Channel => copies.message(plan::Audience::Others),
            Self::Requester => copies.message(plan::Audience::Requester),
            Self::Unrecorded => copies.message(plan::Audience::Unknown),
            Self::Plain => copies.fallback(),
            Self::Thread | Self::Modal | Self::Answer => return None,
        })
    }
}

/// What goes to Slack.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Payload {
    Message(Message),
    Modal(View),
    /// A modal that only shows a notice.
    Notice(Value),
}

impl Payload {
    /// The bytes that the daemon sends.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and lists always serialize")
    }

    pub(crate) fn value(&self) -> Value {
        json!(self)
    }

    /// The same as Slack can judge it.
    pub(crate) fn sample(&self) -> Sample {
        match self {
            Self::Message(message) => Sample::Message(message.clone()),
            Self::Modal(_) | Self::Notice(_) => Sample::Modal(self.value()),
        }
    }
}

/// One message, modal or answer.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The phase that it shows; `None` for what stands in the thread whatever the phase.
    pub(crate) phase: Option<Phase>,
    /// Those who see it, and see the same.
    pub(crate) audiences: Vec<Audience>,
    /// Which one it is, where an audience may see several: `approve` or `deny` of modals, the word for an answer.
    pub(crate) name: &'static str,
    pub(crate) payload: Payload,
}

/// What there is, and why there is no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    pub(crate) items: Vec<Item>,
    pub(crate) notes: Vec<String>,
}

impl Subject {
    /// The request's own phase.
    pub(crate) fn phase(&self) -> Phase {
        phase(self.listed().as_ref(), self.record.known.as_ref(), self.now)
    }

    fn listed(&self) -> Option<AccessRequest> {
        self.is_listed.then(|| self.request.clone())
    }

    /// Everything of these phases for these audiences; of all if none is named.
    pub(crate) fn items(&self, phases: &[Phase], audiences: &[Audience]) -> Items {
        let phases = if phases.is_empty() { &Phase::ALL } else { phases };
        let is_chosen = |audience: &Audience| audiences.is_empty() || audiences.contains(audience);
        let audiences: Vec<_> = Audience::ALL.into_iter().filter(is_chosen).collect();
        let mut found = Items::default();
        for phase in phases {
            self.add_phase(&mut found, *phase, &audiences);
        }
        if audiences.contains(&Audience::Thread) {
            self.add_thread(&mut found);
        }
        found
    }

    fn add_phase(&self, found: &mut Items, phase: Phase, audiences: &[Audience]) {
        let (current, record) = self.staged(phase);
        let web_proxy = self.web_proxy.as_deref();
        let review = self.review.as_ref();
        let input = PlanInput {
            current: current.as_ref(),
            record: &record,
            is_absence_proved: true,
            recipients: &RecipientList::default(),
            destinations: &[],
            unresolved: &BTreeMap::new(),
            known_ids: &KnownIds::default(),
            cluster: &self.cluster,
            edition: if self.is_enterprise { Edition::Enterprise { web_proxy } } else { Edition::Community },
            review: review.map(|review| ReviewDisplay {
                mode: review.mode,
                rules: &review.rules,
                requester: &[],
            }),
            retry_at: &BTreeMap::new(),
            now: self.now,
        };
        let Some((_, copies)) = copies(&input) else { return };
        let first = found.items.len();
        for audience in audiences {
            let Some(message) = audience.copy(&copies) else { continue };
            let same = found.items[first..].iter_mut().find(|item| match &item.payload {
                Payload::Message(shown) => shown == message,
                Payload::Modal(_) | Payload::Notice(_) => false,
            });
            match same {
                Some(item) => item.audiences.push(*audience),
                None => found.items.push(Item {
                    phase: Some(phase),
                    audiences: vec![*audience],
                    name: "",
                    payload: Payload::Message(message.clone()),
                }),
            }
        }
        if audiences.iter().any(|audience| matches!(audience, Audience::Modal | Audience::Answer)) {
            self.add_clicks(found, phase, &input, audiences);
        }
    }

    /// What a click on the message leads to.
    fn add_clicks(&self, found: &mut Items, phase: Phase, input: &PlanInput<'_>, audiences: &[Audience]) {
        let mut add = |audience, name, payload| {
            if audiences.contains(&audience) {
                found.items.push(Item { phase: Some(phase), audiences: vec![audience], name, payload });
            }
        };
        let (Some(review), Some(display)) = (&self.review, input.review) else {
            return found
                .note("deciding in Slack is off, so there is nothing to press, no modal and no answer");
        };
        // The rules look at what was asked for, which no phase changes.
        let request = &self.request;
        if !matches!(display.controls(request), Controls::Buttons { .. }) {
            return found.note("the messages have no buttons, so there is no modal and no answer");
        }
        let reason = review.rules.effective_rule(request).reason;
        let asks = reason != ReasonPolicy::Off;
        match open_request(input.current, input.record, self.now) {
            Ok(request) => {
                for (name, decision) in [("approve", Decision::Approve), ("deny", Decision::Deny)] {
                    let state = self.modal_state(decision, reason == ReasonPolicy::Required);
                    if let Some(view) = reason_modal(request, &state).filter(|_| asks) {
                        add(Audience::Modal, name, Payload::Modal(view));
                    }
                }
                for (name, message) in self.answers(request, review) {
                    add(Audience::Answer, name, Payload::Message(message));
                }
            }
            Err(refusal) => {
                if let Some(view) = notice(&refusal).get("view").filter(|_| asks) {
                    add(Audience::Modal, "notice", Payload::Notice(view.clone()));
                }
                add(Audience::Answer, refusal.kind(), Payload::Message(refused(&refusal)));
            }
        }
        if !asks && audiences.contains(&Audience::Modal) {
            found.note("the rules ask for no reason, so no modal opens");
        }
    }

    fn add_thread(&self, found: &mut Items) {
        let reviews = self.request.reviews.iter().map(review_reply);
        let votes = self.record.votes.numbered().map(|(_, vote)| vote_reply(vote));
        let replies: Vec<_> = reviews.chain(votes).collect();
        if replies.is_empty() {
            found.note("there is no review and no vote, so nothing stands in the thread");
        }
        let item = |message| Item {
            phase: None,
            audiences: vec![Audience::Thread],
            name: "",
            payload: Payload::Message(message),
        };
        found.items.extend(replies.into_iter().map(item));
    }

    /// What Teleport and the record would say if the request were in this phase.
    fn staged(&self, wanted: Phase) -> (Option<AccessRequest>, Record) {
        let mut record = self.record.clone();
        let own = self.phase();
        if wanted == own {
            return (self.listed(), record);
        }
        let state = |state| AccessRequest { state, ..self.request.clone() };
        let gone = |expires| AccessRequest { expires: Some(expires), ..state(RequestState::Pending) };
        let listed = match wanted {
            Phase::Pending => state(RequestState::Pending),
            Phase::Approved => state(RequestState::Approved),
            Phase::Denied => state(RequestState::Denied),
            Phase::Promoted => state(RequestState::Promoted),
            Phase::Unknown => state(RequestState::Unknown(UNKNOWN_STATE)),
            // Of a request that is gone the record has the last word.
            Phase::Expired => {
                record.known = Some(truncated(&gone(self.now - HOUR)));
                return (None, record);
            }
            Phase::Deleted => {
                record.known = Some(truncated(&gone(self.now + HOUR)));
                return (None, record);
            }
        };
        (Some(listed), record)
    }

    /// Where the modal belongs, as the first message of the record says.
    fn modal_state(&self, decision: Decision, required: bool) -> ModalState {
        let delivery = self.record.deliveries.first();
        let (channel, ts) = delivery.map_or_else(
            || (ChannelId::new("C0123456789"), MessageTs::new("1700000000.000100")),
            |delivery| (delivery.channel.clone(), delivery.ts.clone()),
        );
        ModalState {
            request: self.request.id.clone(),
            decision,
            channel,
            ts,
            opened_at: self.now,
            required,
            cluster: shown_cluster(&self.cluster),
        }
    }

    /// The answers to clicks while the request is pending, those of the other mode left out.
    fn answers(&self, request: &AccessRequest, review: &Review) -> Vec<(&'static str, Message)> {
        let example = "bob@example.com".to_owned();
        let mut deciders = request.suggested_reviewers.clone();
        if deciders.is_empty() {
            deciders.push(example);
        }
        let user = &deciders[0];
        let names = Names {
            user,
            other_case: &user.to_uppercase(),
            role: request.roles.first().map_or("dba", String::as_str),
            deciders: &deciders,
            reason: "looks fine",
            cluster: &self.cluster,
            other_cluster: "other.example.com",
        };
        let (tally, other_mode) = match review.mode {
            Some(Mode::Resolver) => (tally_votes(&review.rules, request, &self.record.votes), "reviewed"),
            Some(Mode::Reviewer) | None => (NO_TALLY, "counted"),
        };
        let tally = Tally { approvals: tally.approvals.max(1), denials: tally.denials.max(1), ..tally };
        answers(&names, tally).into_iter().filter(|(name, _)| *name != other_mode).collect()
    }
}

impl Items {
    /// Says once why something is missing.
    fn note(&mut self, words: &str) {
        if !self.notes.iter().any(|note| note == words) {
            self.notes.push(words.to_owned());
        }
    }
}
