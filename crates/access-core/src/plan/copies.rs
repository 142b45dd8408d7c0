//! A request's message as each audience gets it. The copies differ only in the buttons.

use super::PlanInput;
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::{Destination, Recipient, RecipientKey, is_direct_message};
use crate::domain::request::{AccessRequest, RequestKind};
use crate::policy::{Mode, Rules, tally_votes};
use crate::record::{Delivery, DisplayedState};
use crate::render::Message;
use crate::render::request_message::{
    Controls, MessageInput, NoButtons, ReviewSection, fallback_message, request_message_with_review,
};

/// What deciding in Slack needs to know to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct ReviewDisplay<'a> {
    /// The mode in effect; `None` if no user can decide in Slack although that is switched on.
    pub mode: Option<Mode>,
    /// The rules of the configuration: `[[review.rule]]`.
    pub rules: &'a Rules,
    /// Recipients that are known to be the requester, by Slack id or other addresses. An address that equals the
    /// requester's user name is known anyway.
    pub requester: &'a [RecipientKey],
}

impl<'a> ReviewDisplay<'a> {
    /// The controls of a message to a user who is not the requester.
    pub fn controls(self, request: &'a AccessRequest) -> Controls<'a> {
        let terms = self.rules.effective_rule(request);
        let no_buttons = match self.mode {
            None => Some(NoButtons::NotPossible),
            Some(Mode::Reviewer) => None,
            Some(Mode::Resolver) if self.rules.0.is_empty() => {
                request.suggested_reviewers.is_empty().then_some(NoButtons::NoSuggestedReviewer)
            }
            Some(Mode::Resolver) => terms.uncovered_role().map(|role| match role {
                "" => NoButtons::NoRole,
                role => NoButtons::NoMatchingRule { role },
            }),
        };
        if request.kind == RequestKind::LongTerm {
            Controls::Link(NoButtons::LongTerm)
        } else if let RequestKind::Unknown(_) = request.kind {
            Controls::Link(NoButtons::UnknownKind)
        } else if terms.teleport_only {
            Controls::Link(NoButtons::TeleportOnly)
        } else if let Some(why) = no_buttons {
            Controls::Link(why)
        } else {
            Controls::Buttons { confirm: terms.confirm }
        }
    }
}

/// The recipients that a message is rendered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The requester, in a direct message.
    Requester,
    /// Perhaps the requester: a direct message of the Go plugin, which did not record its recipient, or one of which Slack does not
    /// show whose it is.
    Unknown,
    /// A channel, or any other user.
    Others,
}

/// A message in its two lengths and what it shows.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    pub(super) message: Message,
    pub(super) fallback: Message,
    pub(super) displayed: DisplayedState,
}

/// The message for every audience.
#[derive(Clone, Debug)]
pub struct Copies {
    for_requester: Rendered,
    for_unknown: Rendered,
    for_others: Rendered,
    /// The recipients who are the requester.
    requester: Vec<RecipientKey>,
}

impl Copies {
    pub(super) fn render(input: &PlanInput<'_>, request: &AccessRequest, phase: Phase) -> Self {
        let message_input = MessageInput { request, phase, cluster: input.cluster, edition: input.edition };
        let render = |audience| {
            let message = request_message_with_review(&message_input, &review_section(input, audience));
            let displayed = DisplayedState { phase, digest: message.digest() };
            Rendered { message, fallback: fallback_message(&message_input), displayed }
        };
        Self {
            for_requester: render(Audience::Requester),
            for_unknown: render(Audience::Unknown),
            for_others: render(Audience::Others),
            requester: requester_keys(input, request),
        }
    }

    /// The message of an audience.
    pub fn message(&self, audience: Audience) -> &Message {
        &self.of_audience(audience).message
    }

    /// What is shown instead where Slack refuses the message: a text, the same for each audience.
    pub fn fallback(&self) -> &Message {
        &self.for_others.fallback
    }

    /// What a delivered message is to show.
    pub(super) fn of_delivery(&self, delivery: &Delivery) -> &Rendered {
        self.of_audience(audience_of(delivery, &self.requester))
    }

    /// What a new message there is to show.
    pub(super) fn of_destination(&self, to: &Destination) -> &Rendered {
        let is_requester = to.recipient_keys.iter().any(|key| self.requester.contains(key));
        self.of_audience(match is_requester {
            true => Audience::Requester,
            false if is_direct_message(&to.post_to) => Audience::Unknown,
            false => Audience::Others,
        })
    }

    fn of_audience(&self, audience: Audience) -> &Rendered {
        match audience {
            Audience::Requester => &self.for_requester,
            Audience::Unknown => &self.for_unknown,
            Audience::Others => &self.for_others,
        }
    }
}

/// The part of a message about deciding in Slack.
fn review_section<'a>(input: &PlanInput<'a>, audience: Audience) -> ReviewSection<'a> {
    let votes = Some(&input.record.votes);
    let unnotified = Some(&input.record.unnotified);
    let (Some(review), Some(request)) = (input.review, input.current) else {
        return ReviewSection { votes, unnotified, ..ReviewSection::default() };
    };
    let controls = match audience {
        Audience::Requester => Controls::Link(NoButtons::SelfReview),
        Audience::Unknown => Controls::Link(NoButtons::UnknownRecipient),
        Audience::Others => review.controls(request),
    };
    let tally = (review.mode == Some(Mode::Resolver))
        .then(|| tally_votes(review.rules, request, &input.record.votes));
    ReviewSection { controls, tally, votes, unnotified }
}

/// The recipients who are the requester.
fn requester_keys(input: &PlanInput<'_>, request: &AccessRequest) -> Vec<RecipientKey> {
    let known = input.review.map(|review| review.requester).unwrap_or_default();
    // A user name that is no address may be the name of a channel.
    let own = Recipient::parse(&request.user).ok().filter(|own| matches!(own, Recipient::Email(_)));
    known.iter().cloned().chain(own.map(|own| own.key())).collect()
}

/// The audience of a delivered message. The Go plugin sent the requester one and did not record which, so any of its
/// direct messages may be that one.
fn audience_of(delivery: &Delivery, requester: &[RecipientKey]) -> Audience {
    match &delivery.key {
        Some(key) if requester.contains(key) => Audience::Requester,
        Some(key) if is_direct_message(key.as_str()) && delivery.user.is_none() => Audience::Unknown,
        None if delivery.channel.as_str().starts_with('D') => Audience::Unknown,
        Some(_) | None => Audience::Others,
    }
}
