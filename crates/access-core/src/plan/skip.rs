//! What a plan leaves out, and why.

use std::fmt;

use jiff::Timestamp;

use crate::domain::lifecycle::Phase;
use crate::domain::recipients::MAX_RECIPIENTS;
use crate::record::{MAX_DELIVERIES, MAX_IN_DOUBT, Operation};

/// Something that the plan leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The operation; `None` if the reason is about the request as a whole.
    pub operation: Option<Operation>,
    /// What keeps it out of the plan.
    pub reason: SkipReason,
}

/// Why a plan leaves something out. Its `Display` is one sentence without a full stop, for the log; it holds no text from
/// outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Teleport does not list the request, and the record holds nothing of it.
    NothingKnown,
    /// Teleport lists the request no more; its last phase.
    NotListed(Phase),
    /// Another version posted the messages and did not record the recipients.
    NotifiedByGoPlugin,
    /// The recipient is none of those who lacked a message when the request was decided.
    DecidedBefore,
    /// It is not known whether the recipient is one of those, by another name.
    OwedUnclear,
    /// No recipient is configured or suggested.
    NoRecipients,
    /// There are more recipients than are notified.
    TooManyRecipients {
        /// How many are left out.
        omitted: usize,
    },
    /// Names of suggested reviewers that no user can have.
    InvalidReviewers {
        /// How many.
        count: usize,
    },
    /// Where in Slack the recipient is is not known.
    Unresolved {
        /// Why not.
        why: Unresolved,
        /// When the daemon looks again, if it waits.
        retry_at: Option<Timestamp>,
    },
    /// An earlier post is to be repeated, and its recipient is not one any more.
    NoLongerRecipient,
    /// Another recipient's message is in the same place.
    SharesDestination,
    /// The record has no room for another message.
    RecordFull,
    /// As many posts as the record can hold as in doubt are planned already.
    TooManyInDoubt,
    /// A post to a channel's name goes first: it may be the same channel.
    WaitsForNames,
    /// The message was deleted, or Slack refuses to edit it for good.
    Unreachable,
    /// The message is a duplicate and is deleted.
    Duplicate,
    /// It failed, or a rate limit holds; it is tried at this time.
    RetryAt(Timestamp),
    /// It may have been posted; the daemon looks for it in Slack at this time.
    VerifyAt(Timestamp),
    /// Teleport shows the request no more, which does not prove that it was deleted. At this time it expires, if ever.
    DeletionUnconfirmed(Option<Timestamp>),
    /// Others are first at its destination; its turn comes by this time.
    WaitsForTurn(Timestamp),
    /// Another instance works on the request; this one looks again at this time.
    ClaimedByOther(Timestamp),
}

/// Why it is not known where in Slack a recipient is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The look-up has not ended.
    InProgress,
    /// The recipient is the requester, who is never asked.
    Requester,
    /// No user matches.
    NoSuchUser,
    /// The user is deactivated in Slack.
    Deactivated,
    /// Slack or Teleport did not answer the look-up, or refused it.
    LookupFailed,
}

impl SkipReason {
    /// One word for the reason, whatever its times and numbers are.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NothingKnown => "nothing_known",
            Self::NotListed(_) => "not_listed",
            Self::NotifiedByGoPlugin => "notified_by_go_plugin",
            Self::DecidedBefore => "decided_before",
            Self::OwedUnclear => "owed_unclear",
            Self::NoRecipients => "no_recipients",
            Self::TooManyRecipients { .. } => "too_many_recipients",
            Self::InvalidReviewers { .. } => "invalid_reviewers",
            Self::Unresolved { why, .. } => match why {
                Unresolved::InProgress => "lookup_in_progress",
                Unresolved::Requester => "requester",
                Unresolved::NoSuchUser => "no_such_user",
                Unresolved::Deactivated => "deactivated",
                Unresolved::LookupFailed => "lookup_failed",
            },
            Self::NoLongerRecipient => "no_longer_recipient",
            Self::SharesDestination => "shares_destination",
            Self::RecordFull => "record_full",
            Self::TooManyInDoubt => "too_many_in_doubt",
            Self::WaitsForNames => "waits_for_names",
            Self::Unreachable => "unreachable",
            Self::Duplicate => "duplicate",
            Self::RetryAt(_) => "retry",
            Self::VerifyAt(_) => "verify",
            Self::DeletionUnconfirmed(_) => "deletion_unconfirmed",
            Self::WaitsForTurn(_) => "waits_for_turn",
            Self::ClaimedByOther(_) => "claimed_by_other",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingKnown => f.write_str("Teleport does not list the request, and there is no record of it"),
            Self::NotListed(Phase::Expired) => f.write_str("the request has expired"),
            Self::NotListed(Phase::Deleted) => f.write_str("the request was deleted"),
            Self::NotListed(_) => f.write_str("the request is decided and no longer listed by Teleport"),
            Self::NotifiedByGoPlugin => f.write_str(
                "Teleport's own plugin posted the messages without recording the recipients, so no recipient is notified again",
            ),
            Self::DecidedBefore => f.write_str("when the request was decided, no message to this recipient was due"),
            Self::OwedUnclear => f.write_str(
                "when the request was decided, a message was due to a recipient of another name; Slack does not show whether that is this one",
            ),
            Self::NoRecipients => f.write_str("no recipient is configured or suggested for this request"),
            Self::TooManyRecipients { omitted } => {
                write!(f, "the request has {omitted} recipients more than the {MAX_RECIPIENTS} that are notified")
            }
            Self::InvalidReviewers { count: 1 } => {
                f.write_str("1 suggested reviewer has a name that no user can have")
            }
            Self::InvalidReviewers { count } => {
                write!(f, "{count} suggested reviewers have names that no user can have")
            }
            Self::Unresolved { why, retry_at } => {
                f.write_str(match why {
                    Unresolved::InProgress => "the recipient is being looked up",
                    Unresolved::Requester => "the recipient is the requester, who is never asked",
                    Unresolved::NoSuchUser => "no user in Slack matches the recipient",
                    Unresolved::Deactivated => "the recipient is deactivated in Slack",
                    Unresolved::LookupFailed => "the recipient could not be looked up",
                })?;
                retry_at.map_or(Ok(()), |at| write!(f, "; the next look-up is at {}", Seconds(at)))
            }
            Self::NoLongerRecipient => {
                f.write_str("an earlier post may be repeated, but its recipient is no longer notified of this request")
            }
            Self::SharesDestination => f.write_str("the destination has this request's message for another recipient"),
            Self::RecordFull => {
                write!(f, "the request has {MAX_DELIVERIES} messages already, and its record holds no more")
            }
            Self::TooManyInDoubt => {
                write!(f, "{MAX_IN_DOUBT} posts are on their way already; this one follows after them")
            }
            Self::WaitsForNames => f.write_str("it waits for a post to a channel's name, which may be the same channel"),
            Self::Unreachable => f.write_str("the message was deleted, or Slack refuses to edit it for good"),
            Self::Duplicate => f.write_str("the message is a duplicate, so it is deleted instead"),
            Self::RetryAt(at) => write!(f, "Slack failed or refused it, or its rate limit holds; the next try is at {}", Seconds(*at)),
            Self::VerifyAt(at) => {
                write!(f, "it may be in Slack already; the daemon looks for it at {}", Seconds(*at))
            }
            Self::DeletionUnconfirmed(at) => {
                f.write_str("Teleport does not show the request, which does not prove that it was deleted")?;
                at.map_or(Ok(()), |at| write!(f, "; it expires at {}", Seconds(at)))
            }
            Self::WaitsForTurn(at) => {
                write!(f, "others are first at its destination; its turn comes by {}", Seconds(*at))
            }
            Self::ClaimedByOther(at) => {
                write!(f, "another instance works on this request; the next look is at {}", Seconds(*at))
            }
        }
    }
}

/// A time in whole seconds.
struct Seconds(Timestamp);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}
