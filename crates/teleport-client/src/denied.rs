//! Why the cluster does not let the plugin do something, read from the status and the server's words, and what helps.
//!
//! A server says "not found" of two things: of what was asked for, and of who asked. Releases from 15 on answer a deleted
//! plugin user, and a caller without a certificate, with the code NotFound on every call, Ping included (observed on 15.1.9).
//! A caller that took the second for the first would believe that a request is gone. `refusal.rs` reads refused decisions
//! about a user.

use tonic::Code;

use super::call::Call;

/// Why the plugin is not let in, or not to this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessDenied {
    /// Refused without a reason. So servers answer a locked user, and servers before 15 also a deleted one.
    Locked,
    /// The plugin's own user is gone.
    UserDeleted,
    /// No certificate reached the server.
    NoCertificate,
    /// The cluster wants a second factor for what administrators do.
    MfaRequired,
    /// A verb is missing: the server names the action that it does not permit.
    MissingPermission,
    /// Refused in unknown words. They prove nothing, least of all that a right is missing.
    Unrecognized,
}

impl AccessDenied {
    /// What the answer to any call says about the plugin itself; `None` if it says something else.
    pub(super) fn classify(code: Code, message: &str) -> Option<Self> {
        let message = message.to_lowercase();
        let words = without_quotes(&message);
        let says_denied = words.contains("access denied");
        match code {
            Code::PermissionDenied | Code::Unauthenticated => {}
            Code::NotFound if says_denied => return Some(Self::UserDeleted),
            // Teleport's name for an unknown caller.
            Code::NotFound if message.contains(r#"user "nop" not found"#) => {
                return Some(Self::NoCertificate);
            }
            // A refusal that was wrapped on its way through the server comes with a general code.
            Code::Unknown | Code::Internal | Code::Unavailable if says_denied => {}
            _ => return None,
        }
        Some(if mentions_mfa(&words) {
            Self::MfaRequired
        } else if words.trim() == "access denied" || words.contains("lock targeting") {
            Self::Locked
        } else if words.contains("access denied to perform action") {
            Self::MissingPermission
        } else {
            Self::Unrecognized
        })
    }

    /// What helps, as the end of a sentence.
    pub(super) fn remedy(self, call: Call) -> String {
        match self {
            Self::Locked => "the plugin's Teleport user is shut out: look for a lock on it with `tctl get locks`, and take it away with `tctl rm lock/NAME`; if there is none, look whether the user is still there with `tctl get users`".to_owned(),
            Self::UserDeleted => "the plugin's Teleport user was deleted: make it again with its role (`tctl create -f`); its certificate is good as before then".to_owned(),
            Self::NoCertificate => "no client certificate reached the auth server: check that nothing between here and there opens TLS (a proxy, a load balancer)".to_owned(),
            Self::MfaRequired => MFA_REMEDY.to_owned(),
            Self::MissingPermission => match call.required_permission() {
                Some(right) => format!("the plugin's Teleport user needs a role whose {right}, and a certificate that the cluster still accepts"),
                None => NEW_CERTIFICATE.to_owned(),
            },
            Self::Unrecognized => match call.required_permission() {
                Some(right) => format!("these words are not known here: check that the plugin's Teleport user has a role whose {right}, and a certificate that the cluster still accepts"),
                None => NEW_CERTIFICATE.to_owned(),
            },
        }
    }
}

const NEW_CERTIFICATE: &str = "the cluster does not accept the plugin's certificate: sign a new one with `tctl auth sign`, or check that tbot renews it";

/// What spares the plugin the second factor. Measured on 15.1.9 for the host's certificates, read for bots.
pub const MFA_REMEDY: &str = "the cluster asks administrators for a second factor (WebAuthn), which no program has: let a Machine ID bot (tbot) provide the plugin's identity, or sign it with `tctl auth sign` on the auth server itself; a certificate that a logged-in person signed does not do";

/// Whether a refusal asks for a second factor; `words` are in lower case and without names.
pub(super) fn mentions_mfa(words: &str) -> bool {
    words.split(|c: char| !c.is_alphanumeric()).any(|word| word == "mfa")
        || ["multi-factor", "second factor"].iter().any(|text| words.contains(text))
}

/// The text without what stands in double quotes: names, which may read like anything.
pub(super) fn without_quotes(text: &str) -> String {
    let mut bare = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            _ if !quoted => bare.push(c),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    bare
}

#[cfg(test)]
mod tests {
    use access_core::domain::decision::Decision;
    use access_core::domain::ids::RequestId;
    use access_sim::teleport::fixture::Fixture;
    use access_sim::teleport::presets::PLUGIN_USER;
    use access_sim::teleport::{Options, ServerVersion};

    use super::super::error::ErrorKind;
    use super::super::refusal::Refusal;
    use super::*;
    use crate::decisions::{DecideError, SetState};
    use crate::tests::scripted_server::sim_client;

    #[tokio::test]
    async fn a_rejected_plugin_takes_nothing_for_gone() {
        for version in [ServerVersion::V15, ServerVersion::V15_3] {
            let (sim, client) = sim_client(Options::new(version, Fixture::golden()), PLUGIN_USER).await;
            for (denied, shut_out) in [
                (AccessDenied::Locked, Fixture { locked: vec![PLUGIN_USER.to_owned()], ..Fixture::golden() }),
                (AccessDenied::UserDeleted, Fixture { users: Vec::new(), ..Fixture::golden() }),
            ] {
                sim.edit_fixture(|fixture| *fixture = shut_out);
                let id = RequestId::new("11111111-2222-4333-8444-555555555555");
                let errors = [
                    client.ping().await.unwrap_err(),
                    client.get_request(&id).await.unwrap_err(),
                    client.get_record(&id).await.unwrap_err(),
                    client.get_user("bob@example.com").await.unwrap_err(),
                    client.list_requests().await.unwrap_err(),
                ];
                for error in errors {
                    assert_eq!(
                        (error.kind(), error.denied()),
                        (ErrorKind::Unauthorized, Some(denied)),
                        "{error}"
                    );
                    assert!(error.to_string().contains(&denied.remedy(Call::Ping)), "{error}");
                }
                let set = SetState {
                    id,
                    decision: Decision::Approve,
                    delegator: "bob@example.com".to_owned(),
                    reason: String::new(),
                    annotations: Default::default(),
                };
                let refused = client.set_state(&set).await.unwrap_err();
                let DecideError::Refused { refusal, .. } = &refused else { panic!("{refused}") };
                assert_eq!(*refusal, Refusal::AccessDenied(denied), "{refused}");
            }
        }
    }

    #[test]
    fn an_unknown_caller_differs_from_an_unknown_request() {
        use Code::{NotFound, PermissionDenied as No};
        for (code, message, expected) in [
            // As captured from 15.1.9 and 6.2.1.
            (NotFound, "access denied\n\tuser \"access-plugin\" not found", Some(AccessDenied::UserDeleted)),
            (NotFound, r#"user "Nop" not found"#, Some(AccessDenied::NoCertificate)),
            (No, "access denied", Some(AccessDenied::Locked)),
            (
                No,
                r#"access denied to perform action "update" on "access_plugin_data""#,
                Some(AccessDenied::MissingPermission),
            ),
            (No, "admin-level API request requires MFA verification", Some(AccessDenied::MfaRequired)),
            (NotFound, r#"user "zed@example.com" not found"#, None),
            (NotFound, r#"no access request matching "11111111-2222-4333-8444-555555555555""#, None),
            (NotFound, r#"cannot set state of access request "x" (not found)"#, None),
            // As other releases say it, or may.
            (No, r#"lock targeting User:"access-plugin" is in force"#, Some(AccessDenied::Locked)),
            (
                Code::Unknown,
                "rpc error: Access denied to perform action",
                Some(AccessDenied::MissingPermission),
            ),
            // What is not known is not a missing right.
            (No, "", Some(AccessDenied::Unrecognized)),
            (No, "the moon is full", Some(AccessDenied::Unrecognized)),
            (No, r#"access denied: user "x" must renew its session"#, Some(AccessDenied::Unrecognized)),
            (No, r#"role "access denied to perform action" is new here"#, Some(AccessDenied::Unrecognized)),
            (Code::Unauthenticated, "who are you", Some(AccessDenied::Unrecognized)),
            (Code::Unavailable, "access denied", Some(AccessDenied::Locked)),
            (Code::FailedPrecondition, "access denied", None),
            (Code::Unknown, "the backend is away", None),
            // Names are not taken for words.
            (NotFound, r#"access request "access denied" not found"#, None),
            (NotFound, r#"user "x\" access denied \"y" not found"#, None),
            (
                No,
                r#"access denied to perform action "mfa" on "lock targeting""#,
                Some(AccessDenied::MissingPermission),
            ),
        ] {
            assert_eq!(AccessDenied::classify(code, message), expected, "{code:?} {message}");
        }
    }

    #[test]
    fn each_remedy_names_what_to_check() {
        let remedy = |denied: AccessDenied| denied.remedy(Call::UpdatePluginData);
        assert!(remedy(AccessDenied::Locked).contains("`tctl get locks`"));
        assert!(remedy(AccessDenied::UserDeleted).contains("was deleted: make it again"));
        assert!(remedy(AccessDenied::NoCertificate).contains("opens TLS"));
        assert!(
            remedy(AccessDenied::MfaRequired).contains("tbot")
                && remedy(AccessDenied::MfaRequired).contains("on the auth server itself")
        );
        assert!(
            remedy(AccessDenied::MissingPermission)
                .contains("{resources: ['access_plugin_data'], verbs: ['update']}")
        );
        assert!(
            AccessDenied::MissingPermission
                .remedy(Call::Ping)
                .contains("does not accept the plugin's certificate")
        );
        assert!(
            remedy(AccessDenied::Unrecognized).contains("not known here"),
            "{}",
            remedy(AccessDenied::Unrecognized)
        );
        assert!(
            AccessDenied::Unrecognized
                .remedy(Call::Ping)
                .contains("does not accept the plugin's certificate")
        );
    }
}
