//! From the wire to `access_core`'s words. Total: whatever decodes as protobuf converts, and nothing panics.
//!
//! Texts that are not UTF-8 are shown with replacement characters. Nothing is converted back: messages that
//! were read are trimmed and must not be written. `decisions.rs` and `plugin_data.rs` build what we write.

use std::collections::BTreeMap;

use access_core::domain::ids::{RequestId, is_id_charset};
use access_core::domain::request::{
    AccessRequest, RequestKind, RequestState, Resource, Review, Threshold, Version,
};
use bytes::Bytes;
use jiff::Timestamp;
use teleport_proto::auth as wire;

/// Go's zero time, the first moment of year 1, in seconds. Teleport sends it for "not set".
const GO_ZERO_TIME: i64 = -62_135_596_800;

/// A request from the wire; `None` if it has no name or only asks what would happen (a dry run).
pub fn access_request(message: wire::AccessRequestV3) -> Option<AccessRequest> {
    let metadata = message.metadata.unwrap_or_default();
    let spec = message.spec.unwrap_or_default();
    if spec.dry_run || metadata.name.is_empty() {
        return None;
    }
    let spec_expires = timestamp(spec.expires.as_ref());
    Some(AccessRequest {
        id: RequestId::new(text(&metadata.name)),
        user: text(&spec.user),
        roles: texts(&spec.roles),
        state: state(spec.state),
        reason: text(&spec.request_reason),
        resolve_reason: text(&spec.resolve_reason),
        created: timestamp(spec.created.as_ref()),
        access_until: timestamp(spec.max_duration.as_ref()).or(spec_expires),
        expires: timestamp(spec.resource_expiry.as_ref())
            .or_else(|| timestamp(metadata.expires.as_ref()))
            .or(spec_expires),
        assume_start: timestamp(spec.assume_start_time.as_ref()),
        thresholds: spec.thresholds.iter().map(threshold).collect(),
        reviews: spec.reviews.iter().filter_map(review).collect(),
        suggested_reviewers: texts(&spec.suggested_reviewers),
        kind: kind(spec.request_kind),
        promoted_to: spec.access_list.as_ref().and_then(access_list),
        version: Some(Version { revision: text(&metadata.revision), reviews: spec.reviews.len() })
            .filter(|version| is_id_charset(&version.revision)),
        resources: resources(spec.requested_resource_ids, spec.requested_resource_access_ids),
    })
}

/// Text of people or other programs, with replacement characters for what is not UTF-8.
pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn texts(all: &[Bytes]) -> Vec<String> {
    all.iter().map(text).collect()
}

/// A point in time; `None` for Go's zero time and for anything that is not a time.
pub(super) fn timestamp(wire: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let wire = wire.filter(|time| time.seconds > GO_ZERO_TIME && time.nanos >= 0)?;
    Timestamp::new(wire.seconds, wire.nanos).ok()
}

/// Named lists of values, such as traits.
pub(super) fn labels(wire: &wire::LabelValues) -> BTreeMap<String, Vec<String>> {
    let mut labels = BTreeMap::<_, Vec<_>>::new();
    for entry in &wire.values {
        let values = entry.value.as_ref().map(|values| texts(&values.values)).unwrap_or_default();
        labels.entry(text(&entry.key)).or_default().extend(values);
    }
    labels
}

fn state(number: i32) -> RequestState {
    match wire::RequestState::try_from(number) {
        Ok(wire::RequestState::Approved) => RequestState::Approved,
        Ok(wire::RequestState::Denied) => RequestState::Denied,
        Ok(wire::RequestState::Promoted) => RequestState::Promoted,
        Ok(wire::RequestState::Pending) => RequestState::Pending,
        // No server sends NONE of a request: it is there for filters.
        Ok(wire::RequestState::None) | Err(_) => RequestState::Unknown(number),
    }
}

fn kind(number: i32) -> RequestKind {
    match wire::RequestKind::try_from(number) {
        Ok(wire::RequestKind::ShortTerm) => RequestKind::ShortTerm,
        Ok(wire::RequestKind::LongTerm) => RequestKind::LongTerm,
        Ok(wire::RequestKind::Undefined) => RequestKind::Unstated,
        Err(_) => RequestKind::Unknown(number),
    }
}

fn threshold(wire: &wire::AccessReviewThreshold) -> Threshold {
    Threshold { name: text(&wire.name), filter: text(&wire.filter), approve: wire.approve, deny: wire.deny }
}

/// A review; `None` for proposals that are known to decide nothing.
fn review(wire: &wire::AccessReview) -> Option<Review> {
    let proposed = match wire::RequestState::try_from(wire.proposed_state) {
        Ok(wire::RequestState::Approved) => RequestState::Approved,
        Ok(wire::RequestState::Denied) => RequestState::Denied,
        Ok(wire::RequestState::None | wire::RequestState::Pending | wire::RequestState::Promoted) => {
            return None;
        }
        Err(_) => RequestState::Unknown(wire.proposed_state),
    };
    Some(Review {
        author: text(&wire.author),
        proposed,
        reason: text(&wire.reason),
        created: timestamp(wire.created.as_ref()),
    })
}

fn access_list(wire: &wire::PromotedAccessList) -> Option<String> {
    [&wire.title, &wire.name].into_iter().find(|label| !label.is_empty()).map(text)
}

/// The requested resources. Newer servers send them a second time, with constraints; that list wins.
fn resources(plain: Vec<wire::ResourceId>, constrained: Vec<wire::ResourceAccessId>) -> Vec<Resource> {
    let ids = if constrained.is_empty() {
        plain
    } else {
        constrained.into_iter().filter_map(|access| access.id).collect()
    };
    ids.iter()
        .map(|id| Resource {
            cluster: text(&id.cluster_name),
            kind: text(&id.kind),
            name: text(&id.name),
            sub_resource: text(&id.sub_resource_name),
        })
        .collect()
}

#[cfg(test)]
mod tests;
