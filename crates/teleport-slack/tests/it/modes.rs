//! The call that sets a decision: how mode `auto` acts on each kind of cluster, and how older and newer
//! configurations are read.

use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::audit::AuditKind;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::Rule;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::refusal::{Code, RpcError};
use access_sim::teleport::request::{NewRequest, RequestState};
use jiff::{SignedDuration, Timestamp};

use crate::deciding::v18_options;
use crate::harness::deciding::*;
use crate::harness::*;

const AUTO: &str = "mode = \"auto\"";

/// The rules of `ANY_OF_THREE` in mode `auto`, with carol as one more approver.
fn auto_config() -> String {
    let review = ANY_OF_THREE.replace("mode = \"resolver\"", AUTO);
    review.replace("approvers = [", "approvers = [\"carol@example.com\", ")
}

/// A V18 cluster whose plugin may set states, and submit reviews for these users.
async fn v18_bed(for_users: &[&str]) -> TestBed {
    let mut options = v18_options();
    let role = options.fixture.role_mut("access-plugin").unwrap();
    role.allow.submit_for_users = for_users.iter().map(|name| (*name).to_owned()).collect();
    role.allow
        .rules
        .push(Rule { resources: vec!["access_request".to_owned()], verbs: vec!["update".to_owned()] });
    TestBed::with_options(options, full_workspace()).await
}

async fn pending(bed: &TestBed, review: &str) -> (Daemon, String, MessageView) {
    let (daemon, id, message) = bed.start_with_buttons(Transport::Http, review).await;
    (daemon, id, message)
}

#[test]
fn auto_uses_the_rules_when_the_release_takes_no_reviews() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let (daemon, id, message) = pending(&bed, &auto_config()).await;
        let line = bed.until_logged(&daemon, "The rules decide in Slack").await;
        assert!(line.contains("its release 6.2.1 is too old") && line.contains("review.mode"), "{line}");
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        // The daemon knew it before any review was refused.
        assert_eq!(bed.teleport.call_log().count(Method::SubmitAccessReview), 0);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn auto_uses_the_rules_when_the_role_lacks_the_permission() {
    run_in_process(async {
        let bed = v18_bed(&[]).await;
        let (daemon, id, message) = pending(&bed, &auto_config()).await;
        let line = bed.until_logged(&daemon, "The rules decide in Slack").await;
        assert!(line.contains("allow.review_requests.submit_for_users"), "{line}");
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        assert_eq!(bed.teleport.call_log().count(Method::SubmitAccessReview), 0);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_refusal_for_one_user_does_not_switch_to_the_rules() {
    run_in_process(async {
        let bed = v18_bed(&[BOB, DAVE]).await;
        let (daemon, id, message) = pending(&bed, &auto_config()).await;
        // Teleport took no review yet. A rule names carol, and the daemon may set states.
        let refused = "Teleport does not let me submit a review for you (“carol@example.com”), so nothing was changed; decide it in Teleport.";
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await, refused);
        bed.assert_untouched(&daemon, &id);
        let line = bed.until_logged(&daemon, "Teleport did not take the review").await;
        assert!(line.contains("submit_for_users"), "{line}");
        // Nor does it switch when the daemon cannot read its own roles.
        let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "no"));
        bed.teleport.faults().inject(Method::GetCurrentUserRoles, denied, Repeat::UntilCleared);
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &message, "deny").await, refused);
        bed.assert_untouched(&daemon, &id);
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "The request is approved."
        );
        let audit = bed.decision_events(&id);
        assert_eq!((audit.len(), audit[0].kind), (1, AuditKind::Review), "{audit:?}");
        assert!(daemon.find_logged("The rules decide in Slack").is_none());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn auto_switches_to_the_rules_when_the_role_loses_the_permission() {
    run_in_process(async {
        let bed = v18_bed(&["*"]).await;
        let (daemon, id, message) = pending(&bed, &auto_config()).await;
        bed.teleport.edit_fixture(|fixture| {
            fixture.role_mut("access-plugin").unwrap().allow.submit_for_users.clear();
        });
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.until_logged(&daemon, "The rules decide in Slack").await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn no_buttons_are_shown_when_no_user_can_decide() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let review = auto_config();
        let (links, _) = review.split_once("[[review.rule]]").unwrap();
        let (daemon, _, message) = pending(&bed, links).await;
        assert_eq!(button_ids(&message), Vec::<&str>::new());
        let line = bed.until_logged(&daemon, "No user can decide in Slack, and no buttons are drawn").await;
        assert!(line.contains("too old") && line.contains("or add rules"), "{line}");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_configuration_of_0_x_lets_suggested_reviewers_decide_and_says_so() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let secret = bed.slack.app().signing_secret;
        let config = bed.config(&format!(
            "secret = {secret:?}\nchannel = \"team\"\nnotify_only = false\n[http]\nlisten = \"127.0.0.1:0\""
        ));
        bed.slack.set_socket_mode(false);
        let daemon = bed.launch_with_review(&config);
        bed.until_logged(&daemon, "Ready").await;
        bed.slack.set_request_url(Some(&callback_url(&bed, &daemon).await));
        let line = bed.until_logged(&daemon, "Deciding in Slack is on (mode resolver)").await;
        for part in ["WARN", "suggested reviewers", "e-mail address", "[[review.rule]]", "enabled = false"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let new = NewRequest { suggested_reviewers: vec![BOB.to_owned()], ..NewRequest::roles(&["dba"], "") };
        let id = bed.create_request_with(new);
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "Only this request's suggested reviewers may decide it in Slack: bob@example.com."
        );
        bed.assert_untouched(&daemon, &id);
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_configuration_of_the_newest_go_plugin_works_unchanged() {
    run_in_process(async {
        let bed = v18_bed(&["*"]).await;
        let app = bed.slack.app();
        for (name, secret) in [("token", &bed.slack.token()), ("app-token", &app.app_token)] {
            std::fs::write(bed.dir.path().join(name), format!("{secret}\n")).unwrap();
        }
        let path = |name: &str| bed.dir.path().join(name);
        let config = bed
            .config("recipients = [\"team\"]")
            .replace(&format!("token = \"{}\"", bed.slack.token()), &format!("token = {:?}", path("token")));
        let review = format!(
            "[review]\nenabled = true\napp_token = {:?}\nslack_user_id_trait = \"slack_uid\"\nallow_email_username_match = false\n[log]",
            path("app-token")
        );
        bed.slack.set_socket_mode(true);
        let daemon = bed.launch(&config.replace("[log]", &review));
        bed.until_logged(&daemon, "Ready").await;
        let sockets = bed.slack.sockets();
        bed.until(&daemon, "two sockets", || (sockets.count() >= 2).then_some(())).await;
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        // Dave's e-mail address equals the user name, and that is no mapping.
        assert!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve")
                .await
                .contains("linked to no Teleport user")
        );
        bed.assert_untouched(&daemon, &id);
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "The request is approved."
        );
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
        let audit = bed.decision_events(&id);
        assert_eq!((audit.len(), audit[0].reviewer.as_deref()), (1, Some(BOB)), "{audit:?}");
        assert_eq!(audit[0].submitted_by.as_deref(), Some(PLUGIN_USER));
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// A request whose record holds bob's approval of this age; the daemon that took it died before it set the state in
/// Teleport.
pub(crate) async fn unapplied_approval(bed: &TestBed, ago: SignedDuration) -> (String, MessageView) {
    let (daemon, id, message) = pending(bed, ANY_OF_THREE).await;
    bed.teleport.faults().inject(Method::SetAccessRequestState, Fault::unavailable(), Repeat::UntilCleared);
    let recorded = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
    assert!(recorded.starts_with("Your approval is recorded, but"), "{recorded}");
    daemon.kill().await;
    let mut record = bed.record(&id);
    let mut votes: serde_json::Value = serde_json::from_str(field(&record, "x_votes")).unwrap();
    for vote in votes["l"].as_array_mut().unwrap() {
        let at: Timestamp = vote["t"].as_str().unwrap().parse().unwrap();
        vote["t"] = (at - ago).to_string().into();
    }
    record.insert("x_votes".to_owned(), votes.to_string());
    let bytes = record.into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect();
    bed.teleport.set_plugin_data(&id, "slack", bytes).unwrap();
    bed.teleport.faults().clear();
    (id, message)
}

#[test]
fn recorded_votes_decide_only_when_the_rules_decide() {
    run_in_process(async {
        let bed = v18_bed(&["*"]).await;
        // Every user with the right to update plugin data can write the record; here Teleport decides.
        let (id, message) = unapplied_approval(&bed, SignedDuration::from_mins(1)).await;
        let daemon = bed.start_with_review(Transport::Http, &auto_config()).await;
        let later = bed.create_request();
        bed.until_clickable(&daemon, "C0TEAM", &later).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        let audit = bed.decision_events(&id);
        assert_eq!((audit.len(), audit[0].reviewer.as_deref()), (1, Some(DAVE)), "{audit:?}");
        bed.stop_and_check_secrets(daemon).await;

        let (id, _) = unapplied_approval(&bed, SignedDuration::from_mins(1)).await;
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        assert_eq!(bed.decision_events(&id)[0].delegator.as_deref(), Some(BOB));
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn tokens_of_two_slack_apps_end_the_start() {
    run_test(async {
        let bed = TestBed::with_review().await;
        bed.slack.set_socket_mode(true);
        let own = bed.slack.app().app_token;
        let other = own.replacen("A0BOT", "A0OTHER", 1);
        assert_ne!(own, other);
        let config = bed.review_config(Transport::Socket, ANY_OF_THREE).replace(&own, &other);
        let (status, output) = bed.launch_with_review(&config).wait_for_exit().await;
        assert_eq!(status.code(), Some(78), "{output}");
        let expected = "slack.token belongs to the Slack app A0BOT and review.app_token to the app \"A0OTHER\", so no click would ever be taken; copy both tokens from the pages of one app";
        assert!(output.contains(expected), "{output}");
        assert!(!output.contains(&other), "{output}");
        assert_eq!(bed.slack.sockets().count(), 0);
    });
}
