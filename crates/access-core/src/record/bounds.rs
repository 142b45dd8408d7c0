//! What the record may hold of a request: enough for any message, far below the server's limit.

use crate::domain::ids::RequestId;
use crate::domain::recipients::{MAX_RECIPIENTS, RecipientKey};
use crate::domain::request::{AccessRequest, Review};
use crate::domain::text::truncate;

/// Long texts are kept up to this many characters: more than a message shows. A server sends the records of all requests
/// in one message, so what a requester can write into one must stay small.
pub(super) const MAX_TEXT: usize = 1_500;
/// Names (users, roles, resources) are kept up to this many characters.
const MAX_NAME: usize = 256;
/// Lists are kept up to this many entries.
const MAX_LIST: usize = 60;

/// The names of recipients who are owed a message are kept up to this many bytes in all.
const MAX_OWED: usize = 4_096;

/// Keeps the first names, as far as the record may hold them.
pub(super) fn truncate_owed(owed: &mut Vec<RecipientKey>) {
    let mut len = 0;
    let is_beyond = |key: &RecipientKey| {
        len += key.as_str().len();
        len > MAX_OWED
    };
    let kept = owed.iter().position(is_beyond).unwrap_or(owed.len());
    // Each may be there by name and by id.
    owed.truncate(kept.min(2 * MAX_RECIPIENTS));
}

/// A request cut to what the record may hold. Cutting twice changes nothing.
pub fn truncated(request: &AccessRequest) -> AccessRequest {
    let name = |text: &String| truncate(text, MAX_NAME);
    let names = |list: &[String]| list.iter().take(MAX_LIST).map(name).collect();
    AccessRequest {
        id: RequestId::new(truncate(request.id.as_str(), MAX_NAME)),
        user: name(&request.user),
        roles: names(&request.roles),
        state: request.state,
        reason: truncate(&request.reason, MAX_TEXT),
        resolve_reason: truncate(&request.resolve_reason, MAX_TEXT),
        created: request.created,
        access_until: request.access_until,
        expires: request.expires,
        assume_start: request.assume_start,
        thresholds: Vec::new(),
        reviews: request.reviews.iter().take(MAX_LIST).map(truncated_review).collect(),
        suggested_reviewers: Vec::new(),
        resources: request
            .resources
            .iter()
            .take(MAX_LIST)
            .map(|r| {
                let mut resource = r.clone();
                for part in [
                    &mut resource.cluster,
                    &mut resource.kind,
                    &mut resource.name,
                    &mut resource.sub_resource,
                ] {
                    *part = truncate(part, MAX_NAME);
                }
                resource
            })
            .collect(),
        kind: request.kind,
        promoted_to: request.promoted_to.as_ref().map(name),
        version: None,
    }
}

/// A review without its reason, which the thread shows and nothing else.
fn truncated_review(review: &Review) -> Review {
    Review { author: truncate(&review.author, MAX_NAME), reason: String::new(), ..review.clone() }
}
