//! `SubmitAccessReview`: whose review it is, whether it is allowed, and what it decides.

use tonic::Code;

use super::audit::AuditKind;
use super::caller::Caller;
use super::lifecycle::NOT_BY_PROMOTION;
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::request::{AccessRequest, PromotedTo, RequestState, Review, Submission};
use super::state::State;
use super::text::{require_reason_fits, text};

impl State {
    /// Adds a review; returns the request as it then is, with the revision that it had before.
    pub(super) fn review(
        &mut self,
        caller: &Caller,
        id: &str,
        submission: Submission,
    ) -> Result<AccessRequest, RpcError> {
        self.user_record(caller)?;
        if submission.proposed == RequestState::Promoted {
            return Err(RpcError::bad_parameter(NOT_BY_PROMOTION));
        }
        require_reason_fits(self.options.version, "access review reason", &submission.reason)?;
        let name = caller.name().unwrap_or_default().to_owned();
        let author = if submission.author.is_empty() { name.clone() } else { submission.author.clone() };
        let for_user = author != name;
        if for_user && *caller != Caller::Tctl {
            self.require_submit_for(caller, &author, &submission)?;
        }
        let Some(reviewer) = self.fixture.user(&author, self.now) else {
            return Err(RpcError::not_found(format!("user {author:?} not found")));
        };
        if for_user && reviewer.bot {
            return Err(RpcError::denied(format!("bot {author:?} cannot be the author of a review")));
        }
        if !self.reviews_at_all(reviewer) {
            return Err(RpcError::denied(format!("user {author:?} cannot submit reviews")));
        }
        if submission.proposed == RequestState::Pending {
            let message = "invalid state proposal: PENDING (expected approval/denial)";
            return Err(RpcError::bad_parameter(message));
        }
        let Some(request) = self.requests.get(id) else {
            // `review-missing`; the words of earlier releases are assumed.
            return Err(RpcError::not_found(match self.options.version >= ServerVersion::V15 {
                true => format!("cannot apply review to access request {id:?} (not found)"),
                false => format!("access request {id:?} not found"),
            }));
        };
        let named = |role: &String| submission.roles.contains(role);
        if !submission.roles.is_empty() && !request.roles.iter().all(named) {
            let message = "role subselection is not yet supported in reviews, try omitting role list";
            return Err(RpcError::new(Code::Unimplemented, message));
        }
        if !self.may_review(reviewer, request) {
            return Err(RpcError::denied(format!("user {author:?} cannot review this request")));
        }
        // In this order (T8), then resolved ones (T7; assumed of 13).
        if request.reviews.iter().any(|review| review.author == author) {
            return Err(RpcError::denied(format!("user {author:?} has already reviewed this request")));
        }
        let resolved = request.state != RequestState::Pending;
        if resolved && self.options.version != ServerVersion::V6 {
            let state = request.state.name().to_lowercase();
            return Err(RpcError::denied(format!("the access request has been already {state}")));
        }
        if for_user && request.long_term {
            return Err(RpcError::denied("long-term access requests cannot be reviewed by a plugin"));
        }

        let counting = (0u32..).zip(&request.thresholds).filter(|(_, threshold)| {
            threshold.reviewer_role.as_ref().is_none_or(|role| reviewer.roles.contains(role))
        });
        let threshold_indexes = counting.map(|(index, _)| index).collect();
        let submitted_by = for_user.then_some(name);
        let mut request = request.clone();
        let before = request.revision;
        request.reviews.push(Review {
            author: author.clone(),
            proposed: submission.proposed,
            reason: submission.reason.clone(),
            roles: submission.roles,
            assume_start: submission.assume_start,
            created: self.now,
            threshold_indexes,
            submitted_by: submitted_by.clone(),
        });
        if !resolved && let Some(state) = request.verdict() {
            request.state = state;
            request.resolve_reason.clone_from(&submission.reason);
            request.assume_start = submission.assume_start.or(request.assume_start);
            if self.options.version >= ServerVersion::V15 {
                // There, though it names no list (`event-put-denied-by-review`).
                request.promoted_to = Some(PromotedTo::default());
            }
            // From 15.1.9 on a denial lives as long (`review-one-denies`).
            if state == RequestState::Approved || self.options.version >= ServerVersion::V15 {
                request.expiry = request.access_expiry;
            }
        }
        let mut line = self.audit_event(AuditKind::Review, caller, &request);
        line.proposed_state = Some(submission.proposed);
        line.reviewer = Some(author);
        line.submitted_by = submitted_by;
        line.reason = text(&submission.reason);
        self.put(request.clone());
        self.push_audit(line);
        request.revision = before;
        Ok(request)
    }

    /// Whether this caller may send a review in the name of another user.
    fn require_submit_for(
        &self,
        caller: &Caller,
        author: &str,
        submission: &Submission,
    ) -> Result<(), RpcError> {
        let name = caller.name().unwrap_or_default();
        let known = self.options.version == ServerVersion::V18 && self.options.advanced_access_workflows;
        if !known || !submission.by_plugin || !self.may_submit_for(caller, author)? {
            let message = format!("user {name:?} cannot submit reviews on behalf of {author:?}");
            return Err(RpcError::denied(message));
        }
        if !submission.submitted_by.is_empty() && submission.submitted_by != name {
            return Err(RpcError::denied("a review cannot be submitted in the name of another plugin"));
        }
        Ok(())
    }
}
