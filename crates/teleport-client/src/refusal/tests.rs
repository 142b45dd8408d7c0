use super::*;

const BOB: &str = "bob@example.com";

fn review(code: Code, message: &str) -> Option<Refusal> {
    classify(Call::SubmitAccessReview, &Status::new(code, message), BOB)
}

fn set(code: Code, message: &str) -> Option<Refusal> {
    classify(Call::SetAccessRequestState, &Status::new(code, message), BOB)
}

#[test]
fn words_of_servers_are_understood() {
    use super::super::denied::AccessDenied as Shut;
    use Code::{InvalidArgument as Bad, NotFound, PermissionDenied as Denied};
    for (code, message, expected) in [
        // As captured from 6.2.1.
        (Denied, r#"user "access-plugin" cannot submit reviews"#, Refusal::NotSupported),
        (Denied, r#"user "bob@example.com" cannot submit reviews"#, Refusal::AuthorNotEligible),
        (
            Denied,
            r#"user "access-plugin" cannot submit reviews on behalf of "bob@example.com""#,
            Refusal::NotSupported,
        ),
        (Denied, r#"user "bob@example.com" has already reviewed this request"#, Refusal::AlreadyReviewed),
        // As newer releases say it, or may.
        (Denied, "the access request has been already approved", Refusal::AlreadyResolved),
        (Denied, "The access request has already been DENIED", Refusal::AlreadyResolved),
        (Denied, r#"user "bob@example.com" cannot review this request"#, Refusal::AuthorNotEligible),
        (Denied, "users may not review their own requests", Refusal::AuthorNotEligible),
        (Denied, "bots are not allowed as authors of reviews", Refusal::AuthorNotEligible),
        (Denied, "long-term access requests cannot be reviewed by a plugin", Refusal::LongTerm),
        (Denied, "admin-level API request requires MFA verification", Refusal::MfaRequired),
        (NotFound, r#"user "bob@example.com" not found"#, Refusal::AuthorUnknown),
        (NotFound, r#"key "/web/users/bob@example.com/params" is not found"#, Refusal::AuthorUnknown),
        (Denied, r#"the login of user "bob@example.com" has expired"#, Refusal::AuthorUnknown),
        (Denied, "unknown user", Refusal::AuthorUnknown),
        (NotFound, r#"access request "0193-…" not found"#, Refusal::NotFound),
        (NotFound, "", Refusal::NotFound),
        (Code::AlreadyExists, "whatever", Refusal::AlreadyReviewed),
        (Code::Unimplemented, "unknown method", Refusal::NotSupported),
        (Code::Unknown, "rpc error: access denied", Refusal::Other),
        (
            NotFound,
            "access denied\n\tuser \"access-plugin\" not found",
            Refusal::AccessDenied(Shut::UserDeleted),
        ),
        (NotFound, r#"user "Nop" not found"#, Refusal::AccessDenied(Shut::NoCertificate)),
        (NotFound, "access denied\n\tuser \"bob@example.com\" not found", Refusal::AuthorUnknown),
        (Code::Unknown, r#"wrapped: user "x" has already reviewed this request"#, Refusal::AlreadyReviewed),
        // Not ours: refused, nothing more is known.
        (Denied, "", Refusal::Other),
        (Denied, "access denied", Refusal::AccessDenied(Shut::Locked)),
        (Denied, "доступ запрещён", Refusal::Other),
        (Denied, r#"user "access-plugin" not found"#, Refusal::Other),
        (Bad, "review reason is too long", Refusal::Other),
        (Code::Unauthenticated, "who are you", Refusal::Other),
    ] {
        assert_eq!(review(code, message), Some(expected), "{code:?} {message}");
    }
}

#[test]
fn words_about_setting_the_state_are_understood() {
    for (code, message, expected) in [
        (
            Code::PermissionDenied,
            r#"access denied to perform action "update" on "access_request""#,
            Refusal::NotPermitted,
        ),
        (Code::PermissionDenied, "anything", Refusal::Other),
        (Code::Unknown, "access denied", Refusal::AccessDenied(AccessDenied::Locked)),
        (Code::Unknown, "wrapped: access denied", Refusal::Other),
        (Code::Unknown, "wrapped: access denied to perform action", Refusal::NotPermitted),
        (Code::PermissionDenied, "access denied", Refusal::AccessDenied(AccessDenied::Locked)),
        (
            Code::NotFound,
            "access denied\n\tuser \"access-plugin\" not found",
            Refusal::AccessDenied(AccessDenied::UserDeleted),
        ),
        (Code::PermissionDenied, "requires MFA verification", Refusal::MfaRequired),
        (Code::NotFound, r#"cannot set state of access request "x" (not found)"#, Refusal::NotFound),
        (
            Code::InvalidArgument,
            r#"cannot set request-state "APPROVED" (already denied)"#,
            Refusal::AlreadyResolved,
        ),
        (Code::InvalidArgument, "bad reason", Refusal::Other),
    ] {
        assert_eq!(set(code, message), Some(expected), "{code:?} {message}");
    }
}

#[test]
fn calls_that_went_wrong_are_no_refusals() {
    for code in [
        Code::Cancelled,
        Code::Unknown,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
    ] {
        assert_eq!(review(code, "the backend is away"), None, "{code:?}");
        assert_eq!(set(code, "the backend is away"), None, "{code:?}");
    }
}

#[test]
fn names_cannot_imitate_words() {
    for name in
        ["has already been approved", "mfa", r#"\" on behalf of \"x"#, "long-term", "already reviewed"]
    {
        let message = format!("user \"{name}\" cannot submit reviews");
        assert_eq!(review(Code::PermissionDenied, &message), Some(Refusal::NotSupported), "{message}");
    }
    // Quotes that do not match, and texts of any length, are borne.
    assert_eq!(review(Code::PermissionDenied, "\"\\"), Some(Refusal::Other));
    assert_eq!(review(Code::PermissionDenied, &"\"é\\".repeat(100_000)), Some(Refusal::Other));
}
