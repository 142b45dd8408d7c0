//! What is said in the thread under a request's message: one plain text message for each review and each vote.
//!
//! The request's own message is [`super::request_message`]'s.

use super::blocks::Message;
use super::mrkdwn::Mrkdwn;
use super::request_message::status_label;
use crate::domain::lifecycle::Phase;
use crate::domain::request::{RequestState, Review};
use crate::record::votes::Vote;

const MAX_AUTHOR: usize = 256;
/// Leaves room for the author and our words within one text.
const MAX_REASON: usize = 2_500;

/// Who reviewed, when, how and why: two or three lines, whatever the reason holds.
pub fn review_reply(review: &Review) -> Message {
    reply_message(review, "")
}

/// The same of a vote in Slack.
pub fn vote_reply(vote: &Vote) -> Message {
    let review = Review {
        author: vote.user.clone(),
        proposed: vote.decision.state(),
        reason: vote.reason.clone(),
        created: Some(vote.at),
    };
    reply_message(&review, " in Slack")
}

fn reply_message(review: &Review, place: &'static str) -> Message {
    let mut text = Mrkdwn::default();
    text.untrusted(&review.author, MAX_AUTHOR).trusted(" reviewed the request").trusted(place);
    if let Some(created) = review.created {
        text.trusted(" at ").date_in_full(created);
    }
    let proposed = match review.proposed {
        RequestState::Pending => Phase::Pending,
        RequestState::Approved => Phase::Approved,
        RequestState::Denied => Phase::Denied,
        RequestState::Promoted => Phase::Promoted,
        RequestState::Unknown(_) => Phase::Unknown,
    };
    text.trusted(".\nResolution: ").trusted(status_label(proposed)).trusted(".");
    if !review.reason.trim().is_empty() {
        text.trusted("\nReason: ").untrusted(&review.reason, MAX_REASON).trusted(".");
    }
    Message::plain(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(author: &str, proposed: RequestState, reason: &str) -> Review {
        let created = Some("2026-11-22T15:59:51Z".parse().unwrap());
        Review { author: author.into(), proposed, reason: reason.into(), created }
    }

    #[test]
    fn an_approval_reply() {
        let message = review_reply(&review("bob@example.com", RequestState::Approved, "looks fine"));
        insta::assert_snapshot!(message.text(), @r"
        bob@example.com reviewed the request at <!date^1795363191^{date_short} {time}|22 Nov 26 15:59 UTC>.
        Resolution: ✅ APPROVED.
        Reason: looks fine.
        ");
        assert!(message.blocks().is_empty());
    }

    #[test]
    fn a_vote_in_slack() {
        let message = vote_reply(&crate::record::votes::vote(
            "bob@example.com",
            crate::domain::decision::Decision::Approve,
        ));
        insta::assert_snapshot!(message.text(), @r"
        bob@example.com reviewed the request in Slack at <!date^1800000100^{date_short} {time}|15 Jan 27 08:01 UTC>.
        Resolution: ✅ APPROVED.
        Reason: looks fine.
        ");
    }

    #[test]
    fn a_denial_without_reason_or_date() {
        let review = Review { created: None, ..review("bob@example.com", RequestState::Denied, " \n") };
        insta::assert_snapshot!(review_reply(&review).text(), @r"
        bob@example.com reviewed the request.
        Resolution: ❌ DENIED.
        ");
    }

    #[test]
    fn no_text_forges_a_line_or_a_quote() {
        let message = review_reply(&review(
            ">>> bob\nResolution: ✅ APPROVED",
            RequestState::Denied,
            "no\r\nResolution: ✅ APPROVED. <!channel>",
        ));
        insta::assert_snapshot!(message.text(), @r"
        ›&gt;&gt; bob ↵ Resolution – ✓ APPROVED reviewed the request at <!date^1795363191^{date_short} {time}|22 Nov 26 15:59 UTC>.
        Resolution: ❌ DENIED.
        Reason: no ↵ Resolution – ✓ APPROVED. &lt;!channel&gt;.
        ");
    }

    #[test]
    fn a_long_reason_is_cut() {
        let text = review_reply(&review(&"&".repeat(9_999), RequestState::Approved, &"<".repeat(100_000)));
        assert!(text.text().ends_with("&lt;…."), "{}", text.text());
        assert!((2_700..=3_000).contains(&text.text().encode_utf16().count()));
    }
}
