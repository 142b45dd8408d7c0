//! Review in Slack is enabled and cannot work: the daemon logs at start what is missing, and shows no button that does
//! nothing.

use std::time::Duration;

use access_sim::slack::faults as slack;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::certs::{CertOptions, Signer};
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::{Fixture, SecondFactor};
use access_sim::teleport::presets::{PLUGIN_USER, plugin_rules};
use access_sim::teleport::refusal::{Code, RpcError};
use access_sim::teleport::request::RequestState;
use access_sim::teleport::{Options, ServerVersion};
use jiff::SignedDuration;

use crate::harness::deciding::*;
use crate::harness::*;
use crate::modes::unapplied_approval;

#[test]
fn reviewer_mode_shows_no_buttons_if_teleport_takes_no_reviews() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let review = with_reason_policy("required").replace("resolver", "reviewer");
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let line =
            bed.until_warned(&daemon, "No user can decide in Slack (review.mode = \"reviewer\")").await;
        assert!(line.contains("its release 6.2.1 is too old"), "{line}");
        let id = bed.create_request();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_eq!(button_ids(&message), Vec::<&str>::new());
        let explanation = "No buttons: nobody can decide in Slack; decide it in Teleport.";
        assert!(format!("{:?}", message.blocks).contains(explanation), "{:#?}", message.blocks);
        bed.assert_untouched(&daemon, &id);
        daemon.stop().await;
    });
}

#[test]
fn a_missing_right_to_decide_is_logged_at_start_and_when_granted() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        bed.sign_as(PLUGIN_USER);
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let line = bed.until_warned(&daemon, "lacks the verb update on access_request").await;
        assert!(line.contains(" ERROR No user can decide in Slack"), "{line}");
        assert!(line.contains("{resources: ['access_request'], verbs: ['update']}"), "{line}");
        bed.teleport.edit_fixture(|fixture| {
            let mut rules = plugin_rules();
            rules[0].verbs.push("update".to_owned());
            fixture.role_mut("access-plugin").unwrap().allow.rules = rules;
        });
        bed.until_logged(&daemon, "The plugin's Teleport user may decide now").await;
        daemon.stop().await;
    });
}

#[test]
fn missing_scopes_for_review_are_logged_at_start() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        bed.slack.remove_scope("usergroups:read");
        let named = ANY_OF_THREE.replace("approvers = [", "approvers = [\"S0DBA0001\", ");
        let daemon = bed.start_with_review(Transport::Http, &named).await;
        let line = bed.until_warned(&daemon, "scope=usergroups:read").await;
        assert!(line.contains(" ERROR ") && line.contains("add it under OAuth & Permissions"), "{line}");
        daemon.stop().await;
        // Without a group in the rules the scope is not needed.
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let log = daemon.stop().await;
        assert!(!log.contains("usergroups:read"), "{log}");
        // Without this one nothing can be decided, so the start waits for it.
        bed.slack.remove_scope("users:read");
        let daemon = bed.launch_with_review(&bed.review_config(Transport::Http, ANY_OF_THREE));
        let line = bed.until_warned(&daemon, "needed: users:read").await;
        assert!(line.contains(" ERROR ") && line.contains("under OAuth & Permissions"), "{line}");
        daemon.stop().await;
    });
}

/// The remedy for a cluster that requires WebAuthn.
const WEBAUTHN_REMEDY: &str = "let a Machine ID bot (tbot) provide the plugin's identity, or sign it with `tctl auth sign` on the auth server itself";

/// A cluster of this version with this second factor.
async fn bed_with_second_factor(
    version: ServerVersion,
    second_factor: SecondFactor,
    advanced_access_workflows: bool,
) -> TestBed {
    let mut fixture = Fixture { second_factor, ..Fixture::golden() };
    fixture.role_mut("access-plugin-rw").unwrap().allow.submit_for_users = vec!["*".to_owned()];
    let options = Options { advanced_access_workflows, ..Options::new(version, fixture) };
    TestBed::with_options(options, full_workspace()).await
}

fn sign_with(bed: &TestBed, signer: Signer) {
    let credentials = bed.teleport.credentials(PLUGIN_RW, CertOptions { signer, ..CertOptions::default() });
    credentials.write_tls_files(bed.dir.path(), "auth").unwrap();
}

#[test]
fn a_user_signed_certificate_is_logged_if_teleport_requires_webauthn() {
    run_in_process(async {
        let bed = bed_with_second_factor(ServerVersion::V15, SecondFactor::WebAuthn, false).await;
        sign_with(&bed, Signer::User(BOB));
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let line = bed.until_warned(&daemon, "No user can decide in Slack").await;
        assert!(line.contains(" WARN ") && line.contains(WEBAUTHN_REMEDY), "{line}");
        assert!(line.ends_with("this one was signed by bob@example.com"), "{line}");

        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval is recorded, but Teleport asks me for a second factor (WebAuthn), which no program has; an administrator must have my certificate made by Machine ID (tbot) or signed on the auth server itself, or decide the request in Teleport."
        );
        let line = bed.until_logged(&daemon, "could not be applied").await;
        assert!(line.contains("requires MFA verification") && line.contains(WEBAUTHN_REMEDY), "{line}");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending);

        // The remedy.
        sign_with(&bed, Signer::AuthHost);
        bed.until_logged(&daemon, "Teleport asks the plugin for no second factor any more").await;
        let approved = || (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(());
        bed.until_within(Duration::from_secs(90), &daemon, "the approval", approved).await;
        assert_eq!(bed.decision_events(&id)[0].delegator.as_deref(), Some(BOB));
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_vote_that_was_not_recorded_is_not_confirmed() {
    run_in_process(async {
        for (words, expected) in [
            (
                "admin-level API request requires MFA verification",
                "Nothing was changed, because Teleport asks me for a second factor (WebAuthn), which no program has; an administrator must have my certificate made by Machine ID (tbot) or signed on the auth server itself, or you decide it in Teleport.",
            ),
            (
                "access denied to perform action \"update\" on \"access_request\"",
                "Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate.",
            ),
        ] {
            let bed = TestBed::with_review().await;
            // Bob's vote decided, and no daemon applied it in Teleport.
            let (id, message) = unapplied_approval(&bed, SignedDuration::from_mins(1)).await;
            let refused = Fault::Error(RpcError::new(Code::PermissionDenied, words));
            bed.teleport.faults().inject(Method::SetAccessRequestState, refused, Repeat::UntilCleared);
            let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
            assert_eq!(bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await, expected);
            assert!(!field(&bed.record(&id), "x_votes").contains(DAVE), "{:?}", bed.record(&id));
            bed.stop_and_check_secrets(daemon).await;
        }
    });
}

#[test]
fn a_review_refused_for_a_missing_second_factor_is_explained() {
    run_in_process(async {
        let bed = bed_with_second_factor(ServerVersion::V18, SecondFactor::WebAuthn, true).await;
        sign_with(&bed, Signer::User(BOB));
        let daemon =
            bed.start_with_review(Transport::Http, &ANY_OF_THREE.replace("resolver", "reviewer")).await;
        bed.until_warned(&daemon, "this one was signed by bob@example.com").await;
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(
            reply.starts_with("Nothing was changed, because Teleport asks me for a second factor"),
            "{reply}"
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn no_second_factor_is_logged_if_none_is_required() {
    run_in_process(async {
        for (factor, signer) in
            [(SecondFactor::WebAuthn, Signer::AuthHost), (SecondFactor::On, Signer::User(BOB))]
        {
            let bed = bed_with_second_factor(ServerVersion::V15, factor, false).await;
            sign_with(&bed, signer);
            let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
            bed.assert_bob_can_approve(&daemon, &message, &id).await;
            let log = daemon.stop().await;
            assert!(!log.contains("second factor"), "{log}");
        }
    });
}

#[test]
fn a_missing_scope_is_shown_to_each_user_and_logged_once() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.slack.remove_scope("users:read");
        let expected = "The Slack app lacks the scope users:read, so Slack does not tell me who may decide, and nothing was decided; an administrator must add it to the app and install the app again.";
        for user in ["U0BOB", "U0DAVE"] {
            assert_eq!(bed.press_for_reply(&daemon, user, &message, "approve").await, expected);
        }
        let line = bed.until_logged(&daemon, "Slack does not identify users").await;
        let remedy =
            "add the missing scope under OAuth & Permissions of the Slack app, then install it again";
        assert!(line.contains(" ERROR ") && line.contains(remedy), "{line}");
        assert!(line.contains("needed: users:read"), "{line}");
        bed.assert_untouched(&daemon, &id);
        bed.slack.add_scope("users:read");
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        assert_eq!(daemon.times_logged("Slack does not identify users"), 1, "{}", daemon.log());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_missing_user_group_scope_is_shown_to_each_user() {
    run_in_process(async {
        let workspace = full_workspace().add_group("S0DBA0001", "dba", &["U0BOB"]);
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        bed.sign_as(PLUGIN_RW);
        let group = r#"approvers = ["S0DBA0001"]"#;
        let named = r#"approvers = ["bob@example.com", "dave@example.com", "alice@example.com"]"#;
        let (daemon, id, message) =
            bed.start_with_buttons(Transport::Http, &ANY_OF_THREE.replace(named, group)).await;
        bed.slack.remove_scope("usergroups:read");
        for _ in 0..2 {
            let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert!(reply.starts_with("The Slack app lacks the scope usergroups:read, so "), "{reply}");
        }
        assert_eq!(daemon.times_logged("The user group S0DBA0001, which a rule names, cannot be read"), 1);
        bed.assert_untouched(&daemon, &id);
        bed.slack.add_scope("usergroups:read");
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_locked_plugin_is_explained_to_each_user() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.teleport.edit_fixture(|fixture| fixture.locked.push(PLUGIN_RW.to_owned()));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate."
        );
        bed.teleport.edit_fixture(|fixture| fixture.locked.clear());
        bed.assert_untouched(&daemon, &id);
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn no_reason_is_asked_for_where_no_user_can_decide() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let review = with_reason_policy("required");
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        daemon.stop().await;
        // Under the rules a press would open the form for the reason; in this mode Teleport 6.2.1 takes no reviews. The message
        // cannot be changed, so its buttons stay.
        let outage = slack::Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(slack::FaultRule::new("chat.update", outage));
        let daemon = bed.start_with_review(Transport::Http, &review.replace("resolver", "reviewer")).await;
        let pressed = bed.press("U0BOB", &message, "approve").await;
        let text = reply_text(&daemon, &pressed).await;
        assert!(text.contains("decide it in Teleport"), "{text}");
        assert!(pressed.modal().is_none(), "{pressed:?}");
        bed.assert_untouched(&daemon, &id);
        daemon.stop().await;
    });
}
