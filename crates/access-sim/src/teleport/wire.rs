//! The simulator's records as messages of Teleport's API, and back.
//!
//! Written like Teleport's own marshallers: a time that is not set is the year 1, messages that Go holds by
//! value are present though empty, and what came in as text is stored as valid UTF-8.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use prost_types::Timestamp as PbTimestamp;
use teleport_proto::auth as pb;

use super::fixture::{Conditions, Labels, Role, Rule, SecondFactor, User};
use super::options::ServerVersion;
use super::plugin_item::{Entry, PluginItem, PluginUpdate};
use super::refusal::RpcError;
use super::request::{AccessRequest, NewRequest, RequestState, Resource, Review, StateChange, Submission};
use super::text::text;

/// Seconds of Go's zero time, which unset times are written as.
pub(super) const YEAR_ONE: i64 = -62_135_596_800;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn byte_list(list: &[String]) -> Vec<Bytes> {
    list.iter().map(|text| bytes(text)).collect()
}

fn text_list(list: &[Bytes]) -> Vec<String> {
    list.iter().map(|item| text(item)).collect()
}

/// 6.2.1 stores JSON, in which what is not UTF-8 becomes U+FFFD; from 15.1.9 on it passes unchanged (T9).
fn stored(bytes: &[u8], version: ServerVersion) -> Vec<u8> {
    if version >= ServerVersion::V15 { bytes.to_vec() } else { text(bytes).into_bytes() }
}

pub(super) fn time(time: Timestamp) -> PbTimestamp {
    PbTimestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// A time that Go holds by value.
fn time_or_zero(value: Option<Timestamp>) -> PbTimestamp {
    value.map_or(PbTimestamp { seconds: YEAR_ONE, nanos: 0 }, time)
}

/// A time from outside; absent, year 1 and nonsense are all "not set".
pub(super) fn from_time(time: Option<&PbTimestamp>) -> Option<Timestamp> {
    let time = time.filter(|time| time.seconds > YEAR_ONE)?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

pub(super) fn state_number(state: RequestState) -> i32 {
    match state {
        RequestState::Pending => pb::RequestState::Pending.into(),
        RequestState::Approved => pb::RequestState::Approved.into(),
        RequestState::Denied => pb::RequestState::Denied.into(),
        RequestState::Promoted => pb::RequestState::Promoted.into(),
    }
}

fn from_state(state: i32) -> Result<RequestState, RpcError> {
    match pb::RequestState::try_from(state) {
        Ok(pb::RequestState::Pending) => Ok(RequestState::Pending),
        Ok(pb::RequestState::Approved) => Ok(RequestState::Approved),
        Ok(pb::RequestState::Denied) => Ok(RequestState::Denied),
        Ok(pb::RequestState::Promoted) => Ok(RequestState::Promoted),
        // `set-state-none`; the answer to an unknown number is assumed.
        Ok(pb::RequestState::None) | Err(_) => Err(RpcError::bad_parameter("missing request state")),
    }
}

fn labels(labels: &Labels) -> pb::LabelValues {
    let entry = |(key, values): (&String, &Vec<String>)| pb::LabelEntry {
        key: bytes(key),
        value: Some(pb::StringValues { values: byte_list(values) }),
    };
    pb::LabelValues { values: labels.iter().map(entry).collect() }
}

fn from_labels(labels: Option<&pb::LabelValues>) -> Labels {
    let entry = |entry: &pb::LabelEntry| {
        (text(&entry.key), entry.value.as_ref().map(|value| text_list(&value.values)).unwrap_or_default())
    };
    labels.map(|labels| labels.values.iter().map(entry).collect()).unwrap_or_default()
}

fn metadata(name: &str, expires: Option<Timestamp>, revision: i64, version: ServerVersion) -> pb::Metadata {
    let id = if version == ServerVersion::V18 { 0 } else { revision };
    // A random UUID with each write, as 15.1.9 and 15.3.1 do it; 6.2.1 knows none. Of 12, 13 and 18 it is assumed.
    let unique = format!("{:08x}-0000-4000-8000-{:012x}", revision >> 48, revision & 0xffff_ffff_ffff);
    let has_revision = revision != 0 && !matches!(version, ServerVersion::V6 | ServerVersion::V13);
    let revision = if has_revision { unique } else { String::new() };
    let (name, expires) = (bytes(name), expires.map(time));
    pb::Metadata { name, namespace: "default".to_owned(), expires, id, revision: bytes(&revision) }
}

pub(super) fn request(request: &AccessRequest, version: ServerVersion) -> pb::AccessRequestV3 {
    let modern = version == ServerVersion::V18;
    let thresholds = request.thresholds.iter().map(|threshold| pb::AccessReviewThreshold {
        name: bytes(&threshold.name),
        filter: bytes(&threshold.filter()),
        approve: threshold.approve,
        deny: threshold.deny,
    });
    let mapping = request.role_thresholds.iter().map(|(role, sets)| pb::RoleThresholdEntry {
        key: bytes(role),
        value: Some(pb::ThresholdIndexSets {
            sets: sets.iter().map(|set| pb::ThresholdIndexSet { indexes: set.clone() }).collect(),
        }),
    });
    let resources: Vec<pb::ResourceId> = request.resources.iter().map(resource).collect();
    let kind = if request.long_term { pb::RequestKind::LongTerm } else { pb::RequestKind::ShortTerm };
    pb::AccessRequestV3 {
        kind: "access_request".to_owned(),
        sub_kind: String::new(),
        version: "v3".to_owned(),
        // The newest servers keep a request's own expiry in the spec alone.
        metadata: Some(metadata(&request.id, (!modern).then_some(request.expiry), request.revision, version)),
        spec: Some(pb::AccessRequestSpecV3 {
            user: bytes(&request.user),
            roles: byte_list(&request.roles),
            state: request.raw.state.unwrap_or_else(|| state_number(request.state)),
            created: Some(time(request.created)),
            expires: Some(time(request.access_expiry)),
            request_reason: request.request_reason.clone().into(),
            resolve_reason: request.resolve_reason.clone().into(),
            resolve_annotations: Some(labels(&request.resolve_annotations)),
            system_annotations: Some(labels(&request.system_annotations)),
            thresholds: thresholds.collect(),
            role_threshold_mapping: mapping.collect(),
            reviews: request
                .reviews
                .iter()
                .map(|item| {
                    let sent = review(item, version);
                    let proposed_state = request.raw.proposed.unwrap_or(sent.proposed_state);
                    pb::AccessReview { proposed_state, ..sent }
                })
                .collect(),
            suggested_reviewers: byte_list(&request.suggested_reviewers),
            requested_resource_access_ids: match modern {
                true => resources.iter().map(|id| pb::ResourceAccessId { id: Some(id.clone()) }).collect(),
                false => Vec::new(),
            },
            requested_resource_ids: resources,
            dry_run: false,
            max_duration: (version >= ServerVersion::V15).then(|| time_or_zero(request.max_duration)),
            session_ttl: (version >= ServerVersion::V15).then(|| time_or_zero(request.session_ttl)),
            access_list: request
                .promoted_to
                .as_ref()
                .map(|list| pb::PromotedAccessList { name: bytes(&list.name), title: bytes(&list.title) }),
            assume_start_time: request.assume_start.map(time),
            resource_expiry: modern.then(|| time(request.expiry)),
            request_kind: request.raw.kind.unwrap_or(if modern { kind.into() } else { 0 }),
        }),
    }
}

fn resource(resource: &Resource) -> pb::ResourceId {
    pb::ResourceId {
        cluster_name: bytes(&resource.cluster),
        kind: bytes(&resource.kind),
        name: bytes(&resource.name),
        sub_resource_name: bytes(&resource.sub_resource),
    }
}

fn review(review: &Review, version: ServerVersion) -> pb::AccessReview {
    let submitted_by = review.submitted_by.as_deref().filter(|_| version == ServerVersion::V18);
    pb::AccessReview {
        author: bytes(&review.author),
        roles: byte_list(&review.roles),
        assume_start_time: review.assume_start.map(time),
        proposed_state: state_number(review.proposed),
        reason: review.reason.clone().into(),
        created: Some(time(review.created)),
        annotations: Some(pb::LabelValues::default()),
        threshold_indexes: review.threshold_indexes.clone(),
        submitted_by: bytes(submitted_by.unwrap_or_default()),
        is_submitted_by_plugin: submitted_by.is_some(),
        ..pb::AccessReview::default()
    }
}

/// The first message of a stream that watches these kinds.
pub(super) fn init_event(kinds: Vec<pb::WatchKind>) -> pb::Event {
    let status = pb::WatchStatus {
        kind: "watch_status".to_owned(),
        sub_kind: String::new(),
        version: "v1".to_owned(),
        metadata: Some(metadata("watch-status", None, 0, ServerVersion::V18)),
        spec: Some(pb::WatchStatusSpec { kinds }),
    };
    pb::Event { r#type: pb::Operation::Init.into(), resource: Some(pb::event::Resource::WatchStatus(status)) }
}

pub(super) fn put_event(item: &AccessRequest, version: ServerVersion) -> pb::Event {
    let resource = pb::event::Resource::AccessRequest(request(item, version));
    pb::Event { r#type: pb::Operation::Put.into(), resource: Some(resource) }
}

pub(super) fn delete_event(id: &str) -> pb::Event {
    let header = pb::ResourceHeader {
        kind: "access_request".to_owned(),
        sub_kind: String::new(),
        version: "v3".to_owned(),
        metadata: Some(metadata(id, None, 0, ServerVersion::V18)),
    };
    let resource = pb::event::Resource::ResourceHeader(header);
    pb::Event { r#type: pb::Operation::Delete.into(), resource: Some(resource) }
}

fn entries(entry: &Entry) -> Vec<pb::StringEntry> {
    let field = |(key, value): (&Vec<u8>, &Vec<u8>)| pb::StringEntry {
        key: key.clone().into(),
        value: value.clone().into(),
    };
    entry.iter().map(field).collect()
}

pub(super) fn plugin_data(id: &str, item: &PluginItem, version: ServerVersion) -> pb::PluginDataV3 {
    let plugin = |(plugin, entry): (&String, &Entry)| pb::PluginEntry {
        key: bytes(plugin),
        value: Some(pb::PluginDataEntry { data: entries(entry) }),
    };
    pb::PluginDataV3 {
        kind: "plugin_data".to_owned(),
        sub_kind: "access_request".to_owned(),
        version: "v3".to_owned(),
        metadata: Some(metadata(id, Some(item.expires), item.revision, version)),
        spec: Some(pb::PluginDataSpecV3 { entries: item.entries.iter().map(plugin).collect() }),
    }
}

pub(super) fn user(user: &User) -> pb::UserV2 {
    pb::UserV2 {
        kind: "user".to_owned(),
        sub_kind: String::new(),
        version: "v2".to_owned(),
        metadata: Some(metadata(&user.name, user.expires, 0, ServerVersion::V18)),
        spec: Some(pb::UserSpecV2 {
            roles: byte_list(&user.roles),
            traits: Some(labels(&user.traits)),
            expires: Some(time_or_zero(user.expires)),
        }),
    }
}

/// A role; releases before the newest have no `submit_for_users` and drop it.
pub(super) fn role(role: &Role, version: ServerVersion) -> pb::RoleV6 {
    let side = |side: &Conditions| {
        let for_users = if version == ServerVersion::V18 { side.submit_for_users.as_slice() } else { &[] };
        let rule = |rule: &Rule| pb::Rule {
            resources: byte_list(&rule.resources),
            verbs: byte_list(&rule.verbs),
            r#where: Bytes::new(),
        };
        pb::RoleConditions {
            rules: side.rules.iter().map(rule).collect(),
            review_requests: Some(pb::AccessReviewConditions { submit_for_users: byte_list(for_users) }),
        }
    };
    pb::RoleV6 {
        kind: "role".to_owned(),
        version: "v6".to_owned(),
        metadata: Some(metadata(&role.name, None, 0, version)),
        spec: Some(pb::RoleSpecV6 { allow: Some(side(&role.allow)), deny: Some(side(&role.deny)) }),
    }
}

/// What a client asks for: id, user, dry run and the rest.
pub(super) fn from_request(
    message: pb::AccessRequestV3,
    now: Timestamp,
    version: ServerVersion,
) -> Result<(String, String, bool, NewRequest), RpcError> {
    let (spec, metadata) = (message.spec.unwrap_or_default(), message.metadata.unwrap_or_default());
    // How far ahead a wish lies; 6.2.1 is asked without wishes, so what it makes of them is not known.
    let ahead = |instant: Option<&PbTimestamp>| {
        let instant = from_time(instant).filter(|_| version >= ServerVersion::V15)?;
        Duration::try_from(instant.duration_since(now)).ok()
    };
    if from_state(spec.state)? != RequestState::Pending {
        return Err(RpcError::bad_parameter("an access request is made in the state PENDING"));
    }
    let new = NewRequest {
        roles: text_list(&spec.roles),
        reason: stored(&spec.request_reason, version),
        suggested_reviewers: text_list(&spec.suggested_reviewers),
        resources: spec
            .requested_resource_ids
            .iter()
            .map(|id| Resource {
                cluster: text(&id.cluster_name),
                kind: text(&id.kind),
                name: text(&id.name),
                sub_resource: text(&id.sub_resource_name),
            })
            .collect(),
        pending_ttl: ahead(metadata.expires.as_ref()),
        max_duration: ahead(spec.max_duration.as_ref()),
        assume_start: from_time(spec.assume_start_time.as_ref()),
        long_term: spec.request_kind == i32::from(pb::RequestKind::LongTerm),
        ..NewRequest::default()
    };
    Ok((text(&metadata.name), text(&spec.user), spec.dry_run, new))
}

pub(super) fn from_setter(
    message: &pb::RequestStateSetter,
    version: ServerVersion,
) -> Result<StateChange, RpcError> {
    Ok(StateChange {
        state: from_state(message.state)?,
        reason: stored(&message.reason, version),
        delegator: text(&message.delegator),
        annotations: from_labels(message.annotations.as_ref()),
        roles: text_list(&message.roles),
        assume_start: from_time(message.assume_start_time.as_ref()),
    })
}

pub(super) fn from_review(review: &pb::AccessReview, version: ServerVersion) -> Result<Submission, RpcError> {
    if (!review.roles.is_empty() && version < ServerVersion::V15)
        || review.annotations.as_ref().is_some_and(|labels| !labels.values.is_empty())
    {
        let message = "reviews of some of the roles, or with annotations, are not implemented";
        return Err(RpcError::new(tonic::Code::Unimplemented, message));
    }
    Ok(Submission {
        author: text(&review.author),
        proposed: from_state(review.proposed_state)?,
        reason: stored(&review.reason, version),
        roles: text_list(&review.roles),
        assume_start: from_time(review.assume_start_time.as_ref()),
        by_plugin: review.is_submitted_by_plugin,
        submitted_by: text(&review.submitted_by),
    })
}

pub(super) fn from_update(message: pb::PluginDataUpdateParams, version: ServerVersion) -> PluginUpdate {
    let set = |entry: &pb::StringEntry| (stored(&entry.key, version), stored(&entry.value, version));
    PluginUpdate {
        set: message.set.iter().map(set).collect(),
        // Compared as sent, so that what a test planted raw can be expected raw.
        expect: message.expect.iter().map(|entry| (entry.key.to_vec(), entry.value.to_vec())).collect(),
        kind: message.kind,
        resource: message.resource,
        plugin: message.plugin,
    }
}

/// The preference's second factor: a word, and of the newest releases a list instead (assumed: that the word is empty then).
pub(super) fn auth_preference(factor: SecondFactor, version: ServerVersion) -> pb::AuthPreferenceV2 {
    use pb::SecondFactorType::{Otp, Webauthn};
    let (word, list) = match factor {
        SecondFactor::Off => ("off", vec![]),
        SecondFactor::On => ("on", vec![Otp.into(), Webauthn.into()]),
        SecondFactor::WebAuthn => ("webauthn", vec![Webauthn.into()]),
    };
    let (word, list) =
        if version == ServerVersion::V18 && !list.is_empty() { ("", list) } else { (word, vec![]) };
    pb::AuthPreferenceV2 {
        spec: Some(pb::AuthPreferenceSpecV2 { second_factor: word.into(), second_factors: list }),
    }
}
