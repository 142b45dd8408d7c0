//! What it means when Teleport refuses a decision, read from the status code and the server's words.
//!
//! The words are not part of any contract: the comparison ignores case and the names in them, and unknown words are a
//! refusal all the same. `access_core::policy::refusal` decides what the user reads.

use tonic::{Code, Status};

use super::call::Call;
use super::denied::{AccessDenied, mentions_mfa, without_quotes};

/// Why Teleport refused a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The server does not let this plugin submit reviews, for users at all or for this one; the words do not say
    /// which. [`super::review_support`] does.
    NotSupported,
    /// The plugin's role may not set the state of requests.
    NotPermitted,
    /// Teleport rejects the plugin itself, on every call: locked, deleted, or without a certificate.
    AccessDenied(AccessDenied),
    /// The user may not review this request: not eligible, the requester, or a bot.
    AuthorNotEligible,
    /// The user reviewed it before; the first review counts.
    AlreadyReviewed,
    /// The request is not pending any more.
    AlreadyResolved,
    /// There is no such Teleport user, or their login has expired.
    AuthorUnknown,
    /// Long-term requests are decided in Teleport only.
    LongTerm,
    /// The request is gone.
    NotFound,
    /// The cluster wants a second factor from the plugin: [`AccessDenied::MfaRequired`].
    MfaRequired,
    /// Anything else, unknown words included.
    Other,
}

/// What a failed call says about a decision of `user`; `None` if it is no refusal, but a call that went wrong.
pub(super) fn classify(call: Call, status: &Status, user: &str) -> Option<Refusal> {
    let message = status.message().to_lowercase();
    let words = without_quotes(&message);
    let say = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
    let has_word =
        |wanted: &[&str]| words.split(|c: char| !c.is_alphanumeric()).any(|word| wanted.contains(&word));
    let reviewing = call == Call::SubmitAccessReview;

    if mentions_mfa(&words) {
        return Some(Refusal::MfaRequired);
    }
    if say(&["on behalf of"]) {
        return Some(Refusal::NotSupported);
    }
    if say(&["already reviewed"]) {
        return Some(Refusal::AlreadyReviewed);
    }
    if say(&["already been", "been already", "already approved", "already denied", "already promoted"])
        || say(&["already resolved", "already expired"])
    {
        return Some(Refusal::AlreadyResolved);
    }
    if say(&["long-term", "long term", "long_term"]) {
        return Some(Refusal::LongTerm);
    }
    let about_user = message.contains(&user.to_lowercase());
    let denied = AccessDenied::classify(status.code(), status.message());
    if let Some(denied @ (AccessDenied::Locked | AccessDenied::UserDeleted | AccessDenied::NoCertificate)) =
        denied
        && !about_user
    {
        return Some(Refusal::AccessDenied(denied));
    }
    let unknown = status.code() == Code::NotFound || say(&["not found", "does not exist", "unknown user"]);
    if unknown || say(&["expired"]) {
        // Of the two things that may be missing, requests are named in words and users also in paths. Another
        // user than ours is the plugin's own.
        let names_no_user = words.len() == message.len();
        if !say(&["access request", "access_request"])
            && message.contains("user")
            && (about_user || names_no_user)
        {
            return Some(Refusal::AuthorUnknown);
        }
        if status.code() == Code::NotFound {
            return Some(Refusal::NotFound);
        }
    }
    if reviewing && say(&["cannot submit reviews"]) {
        // Either the user or the plugin itself has no right to review anything.
        return Some(if about_user { Refusal::AuthorNotEligible } else { Refusal::NotSupported });
    }
    if reviewing
        && (has_word(&["bot", "bots"])
            || say(&["not review", "not allowed to review", "own access request", "own request"]))
    {
        return Some(Refusal::AuthorNotEligible);
    }

    match status.code() {
        Code::Unimplemented => Some(Refusal::NotSupported),
        Code::AlreadyExists if reviewing => Some(Refusal::AlreadyReviewed),
        _ if !reviewing && denied == Some(AccessDenied::MissingPermission) => Some(Refusal::NotPermitted),
        Code::PermissionDenied
        | Code::Unauthenticated
        | Code::AlreadyExists
        | Code::InvalidArgument
        | Code::OutOfRange => Some(Refusal::Other),
        // A refusal that was wrapped on its way through the server comes with a general code.
        Code::Unknown | Code::Internal | Code::Unavailable if say(&["access denied"]) => Some(Refusal::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
