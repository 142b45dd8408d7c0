//! Earlier votes and later changes: of rules, accounts, user mappings and groups, or an administrator reverted a
//! decision. Only the state at the moment of the decision counts.

use std::time::{Duration, Instant};

use access_sim::slack::faults as slack;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::{SlackUser, SlackUserKind, UserGroup};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::Rule;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use access_sim::teleport::{Options, ServerVersion};
use jiff::SignedDuration;

use crate::harness::deciding::*;
use crate::harness::*;
use crate::modes::unapplied_approval;

const CAROL: &str = "carol@example.com";
const NO_LONGER_VALID: &str = "does not hold any more";
const NO_GROUP_REPLY: &str = "Slack does not answer who is in a user group that the rules name, so nothing was decided; try again in a minute.";

const GONE_GROUP_REPLY: &str = "A user group that the rules name is gone from Slack, so I cannot tell whether you may decide; an administrator must correct the rules.";

/// The user mapping of [`ANY_OF_THREE`], with these rules.
fn with_rules(rules: &str) -> String {
    let (links, _) = ANY_OF_THREE.split_once("[[review.rule]]").unwrap();
    format!("{links}{rules}")
}

fn rule(roles: &str, approvers: &str, more: &str) -> String {
    format!("[[review.rule]]\nroles = [{roles:?}]\napprovers = {approvers}\nreason = \"off\"\n{more}\n")
}

fn group(id: &str, users: &[&str]) -> UserGroup {
    UserGroup {
        id: id.to_owned(),
        handle: id.to_lowercase(),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        disabled: false,
    }
}

impl TestBed {
    /// `id` is undecided, whatever votes there are.
    pub(crate) fn assert_undecided(&self, daemon: &Daemon, id: &str) {
        assert_eq!(self.teleport.request(id).unwrap().state, RequestState::Pending, "{}", daemon.log());
        assert!(self.decision_events(id).is_empty(), "{:?}\n{}", self.decision_events(id), daemon.log());
    }

    /// As `tctl` does it.
    fn set_state_as_admin(&self, id: &str, state: RequestState) {
        self.teleport.set_state(TCTL, id, state, "", "").unwrap();
    }

    /// Changes the votes in the record.
    pub(crate) fn edit_votes(&self, id: &str, edit: impl FnOnce(&mut serde_json::Value)) {
        let mut record = self.record(id);
        let mut votes: serde_json::Value = serde_json::from_str(field(&record, "x_votes")).unwrap();
        edit(&mut votes);
        record.insert("x_votes".to_owned(), votes.to_string());
        let bytes = record.into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect();
        self.teleport.set_plugin_data(id, "slack", bytes).unwrap();
    }
}

/// Bob's approval decided under the usual rules, Teleport does not know it, and the daemon restarts with these rules.
async fn restarted_with(
    review: &str,
    edit: impl FnOnce(&TestBed, &str),
) -> (TestBed, Daemon, String, MessageView) {
    let bed = TestBed::with_review().await;
    let (id, message) = unapplied_approval(&bed, SignedDuration::from_mins(1)).await;
    edit(&bed, &id);
    let daemon = bed.start_with_review(Transport::Http, review).await;
    (bed, daemon, id, message)
}

#[test]
fn a_decision_that_the_rules_no_longer_support_is_not_applied() {
    let names_dave = rule("*", "[\"dave@example.com\"]", "");
    let only = rule("*", "[\"bob@example.com\", \"dave@example.com\"]", "teleport_only = true");
    let others = rule("web", "[\"bob@example.com\", \"dave@example.com\"]", "");
    let more = rule("*", "[\"bob@example.com\", \"dave@example.com\"]", "approvals = 2");
    for (rules, expected) in [
        (names_dave, "The request is denied."),
        (only, "The rules leave this role to Teleport; open the request there to decide it."),
        (others, "No rule lets anybody decide on role “dba” in Slack; decide it in Teleport."),
        (more, "The request is denied."),
    ] {
        run_in_process(async move {
            let (bed, daemon, id, message) = restarted_with(&with_rules(&rules), |_, _| {}).await;
            bed.until_logged(&daemon, NO_LONGER_VALID).await;
            bed.assert_undecided(&daemon, &id);
            // It blocks no other vote, and no denial applies it.
            assert_eq!(
                bed.press_for_reply(&daemon, "U0DAVE", &message, "deny").await,
                expected,
                "{}",
                daemon.log()
            );
            let decided = bed.decision_events(&id);
            assert!(decided.iter().all(|line| line.delegator.as_deref() == Some(DAVE)), "{decided:?}");
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_click_that_meets_an_unsupported_decision_counts_for_itself() {
    run_in_process(async {
        let names_dave = with_rules(&rule("*", "[\"dave@example.com\"]", ""));
        let bed = TestBed::with_review().await;
        // Only the daemon that took it may apply it yet, so no reconcile does before the click.
        let (id, message) = unapplied_approval(&bed, SignedDuration::from_secs(-55)).await;
        let daemon = bed.start_with_review(Transport::Http, &names_dave).await;
        let early = bed.press_for_reply(&daemon, "U0DAVE", &message, "deny").await;
        assert!(early.starts_with("This request already has enough approvals"), "{early}");
        bed.edit_votes(&id, |votes| votes["l"][0]["t"] = "2020-01-01T00:00:00Z".into());
        let reply = bed.press_for_reply(&daemon, "U0DAVE", &message, "deny").await;
        assert_eq!(reply, "The request is denied.", "{}", daemon.log());
        assert_eq!(bed.teleport.request(&id).unwrap().resolve_annotations["teleport_users"], [DAVE]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_decision_of_a_former_approver_is_not_applied() {
    type Change = fn(&TestBed, &str);
    let deactivated: Change =
        |bed, _| bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Deactivated));
    let guest: Change =
        |bed, _| bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Guest));
    let requester: Change = |bed, id| {
        bed.edit_votes(id, |votes| {
            votes["l"][0]["u"] = ALICE.into();
            votes["l"][0]["s"] = "U0ALICE".into();
        });
    };
    let other_link: Change = |bed, id| bed.edit_votes(id, |votes| votes["l"][0]["s"] = "U0CAROL".into());
    // Without the right to read users a deleted one would not be noticed.
    let deleted: Change = |bed, _| {
        bed.teleport.edit_fixture(|fixture| {
            let rules = &mut fixture.role_mut("access-plugin-rw").unwrap().allow.rules;
            rules.push(Rule { resources: vec!["user".to_owned()], verbs: vec!["read".to_owned()] });
            fixture.users.retain(|user| user.name != BOB);
        });
    };
    for change in [deactivated, guest, requester, other_link, deleted] {
        run_in_process(async move {
            let (bed, daemon, id, message) = restarted_with(ANY_OF_THREE, change).await;
            bed.until_logged(&daemon, NO_LONGER_VALID).await;
            bed.assert_undecided(&daemon, &id);
            assert_eq!(
                bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
                "The request is approved."
            );
            assert_eq!(bed.teleport.request(&id).unwrap().resolve_annotations["teleport_users"], [DAVE]);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_decision_waits_until_the_voters_can_be_read() {
    run_in_process(async {
        let error = slack::Fault::Status { status: 503, body: String::new() };
        let rule = slack::FaultRule::new("users.info", error);
        let change = |bed: &TestBed, _: &str| {
            bed.slack.faults().add(rule);
        };
        let (bed, daemon, id, _) = restarted_with(ANY_OF_THREE, change).await;
        bed.until_logged(&daemon, "what that depends on cannot be read").await;
        bed.until(&daemon, "a second try", || {
            (bed.slack.calls_of("users.info").iter().filter(|call| !call.succeeded()).count() >= 2)
                .then_some(())
        })
        .await;
        bed.assert_undecided(&daemon, &id);
        assert_eq!(daemon.times_logged("what that depends on cannot be read"), 1);
        bed.slack.faults().clear();
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        assert_eq!(bed.decision_events(&id)[0].delegator.as_deref(), Some(BOB));
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// A Teleport 15 cluster, where an administrator can revert an approval; bob's approval decided.
async fn approved_on_v15(review: &str) -> (TestBed, Daemon, String, MessageView) {
    let bed =
        TestBed::with_options(Options { version: ServerVersion::V15, ..Options::golden() }, full_workspace())
            .await;
    bed.sign_as(PLUGIN_RW);
    let (daemon, id, message) = bed.start_with_buttons(Transport::Http, review).await;
    assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, "The request is approved.");
    let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
    bed.until_replies(&daemon, &message, 1).await;
    (bed, daemon, id, message)
}

#[test]
fn old_votes_do_not_repeat_a_reverted_approval() {
    run_in_process(async {
        let (bed, daemon, id, _) = approved_on_v15(ANY_OF_THREE).await;
        bed.set_state_as_admin(&id, RequestState::Pending);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_eq!(button_ids(&message), ["approve", "deny"]);
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "deny").await,
            "The request is denied.",
            "{}",
            daemon.log()
        );
        let delegators: Vec<_> = bed.decision_events(&id).into_iter().map(|line| line.delegator).collect();
        assert_eq!(delegators, [Some(BOB.to_owned()), None, Some(DAVE.to_owned())]);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "❌ DENIED").await;
        let replies = bed.until_replies(&daemon, &message, 2).await;
        assert!(replies[1].text.starts_with("dave@example.com reviewed the request in Slack"), "{replies:?}");
        assert!(
            block_text(&message, 3).contains("Decided by dave@example.com in Slack"),
            "{:?}",
            message.blocks
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn earlier_voters_may_vote_again_after_a_reverted_approval() {
    run_in_process(async {
        let (bed, daemon, id, _) = approved_on_v15(&format!("{ANY_OF_THREE}\napprovals = 1")).await;
        // The daemon is down meanwhile, for longer than the daemon that took the deciding vote has to apply it.
        daemon.kill().await;
        bed.edit_votes(&id, |votes| votes["l"][0]["t"] = "2020-01-01T00:00:00Z".into());
        bed.set_state_as_admin(&id, RequestState::Pending);
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "x_votes").starts_with("{\"v\":2")).await;
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending, "{}", daemon.log());
        assert_eq!(bed.decision_events(&id).len(), 2);
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "The request is approved.",
            "{}",
            daemon.log()
        );
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        // The first vote gets one thread reply, and so does the second.
        bed.until_replies(&daemon, &message, 2).await;
        assert_eq!(bed.decision_events(&id).len(), 3);
        bed.stop_and_check_secrets(daemon).await;
    });
}

const UNSEEN: &str = "revoked while no teleport-slack saw it";

#[test]
fn an_approval_reverted_while_no_daemon_watched_spends_the_votes() {
    run_in_process(async {
        let bed = TestBed::with_options(
            Options { version: ServerVersion::V15, ..Options::golden() },
            full_workspace(),
        )
        .await;
        bed.sign_as(PLUGIN_RW);
        let review = &format!("{ANY_OF_THREE}\napprovals = 2");
        let daemon = bed.start_with_review(Transport::Http, review).await;
        let (id, other) = (bed.create_request(), bed.create_request());
        for id in [&id, &other] {
            let message = bed.until_clickable(&daemon, "C0TEAM", id).await;
            let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert_eq!(reply, "Your approval counts: 1 of 2 approvals.");
        }
        daemon.kill().await;
        bed.set_state_as_admin(&id, RequestState::Approved);
        bed.set_state_as_admin(&id, RequestState::Pending);
        let daemon = bed.start_with_review(Transport::Http, review).await;
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let reply = bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await;
        assert_eq!(reply, "Your approval counts: 1 of 2 approvals.", "{}", daemon.log());
        assert_eq!(daemon.times_logged(UNSEEN), 1);
        assert_eq!(bed.decision_events(&id).len(), 2, "{:?}", bed.decision_events(&id));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "The request is approved."
        );
        // The other request was neither approved nor reverted.
        let message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn an_applied_and_reverted_call_is_not_repeated_and_a_lost_one_is() {
    for is_unavailable in [false, true] {
        run_in_process(async move {
            let bed = TestBed::with_options(
                Options { version: ServerVersion::V15, ..Options::golden() },
                full_workspace(),
            )
            .await;
            bed.sign_as(PLUGIN_RW);
            let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
            // Neither the answer nor the event arrives.
            bed.teleport.faults().drop_events(Repeat::UntilCleared);
            let fault = if is_unavailable { Fault::unavailable() } else { Fault::LoseResponse };
            bed.teleport.faults().inject(Method::SetAccessRequestState, fault, Repeat::UntilCleared);
            let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            assert!(reply.starts_with("Your approval is recorded, but"), "{reply}");
            daemon.kill().await;
            bed.teleport.faults().clear();
            bed.edit_votes(&id, |votes| votes["l"][0]["t"] = "2020-01-01T00:00:00Z".into());
            if is_unavailable {
                let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
                bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
                assert_eq!(bed.decision_events(&id)[0].delegator.as_deref(), Some(BOB));
                return bed.stop_and_check_secrets(daemon).await;
            }
            assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
            bed.set_state_as_admin(&id, RequestState::Pending);
            let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
            bed.until_logged(&daemon, UNSEEN).await;
            assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending, "{}", daemon.log());
            assert_eq!(bed.decision_events(&id).len(), 2, "{:?}", bed.decision_events(&id));
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            assert_eq!(
                bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
                "The request is approved."
            );
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn the_vote_of_a_deactivated_account_does_not_count() {
    run_in_process(async {
        let review = ANY_OF_THREE.replace("\"alice@", "\"carol@") + "\napprovals = 2";
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Deactivated));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals.",
            "{}",
            daemon.log()
        );
        bed.assert_undecided(&daemon, &id);
        bed.until(&daemon, "1 of 2 on the message", || {
            bed.message_about("C0TEAM", &id)
                .filter(|message| block_text(message, 3).contains("1 of 2 approvals"))
        })
        .await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
            "The request is approved."
        );
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [DAVE, CAROL]);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        let line = block_text(&message, 3);
        assert!(line.contains("Decided by dave@example.com, carol@example.com in Slack"), "{line}");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_vote_of_a_user_who_left_the_group_does_not_count() {
    run_in_process(async {
        let review = with_rules(&rule("*", "[\"S0DBA\"]", "approvals = 2"));
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0BOB", "U0DAVE", "U0CAROL"]));
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );
        daemon.kill().await;
        bed.slack.put_group(group("S0DBA", &["U0DAVE", "U0CAROL"]));
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );
        bed.assert_undecided(&daemon, &id);
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
            "The request is approved."
        );
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [DAVE, CAROL]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn an_unreadable_group_rejects_no_user_and_decides_nothing() {
    run_in_process(async {
        let review = with_rules(&rule("*", "[\"S0DBA\", \"dave@example.com\"]", "approvals = 2"));
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0BOB"]));
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        let method = "usergroups.users.list";
        for error in [
            slack::Fault::Error("fatal_error".to_owned()),
            slack::Fault::Status { status: 503, body: String::new() },
            slack::Fault::NotJson,
        ] {
            bed.slack.faults().add(slack::FaultRule::new(method, error));
            assert_eq!(
                bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
                NO_GROUP_REPLY,
                "{}",
                daemon.log()
            );
            bed.slack.faults().clear();
            bed.assert_untouched(&daemon, &id);
        }
        bed.slack.remove_scope("usergroups:read");
        let lasting = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert!(lasting.starts_with("The Slack app lacks the scope usergroups:read, so"), "{lasting}");
        bed.slack.add_scope("usergroups:read");
        bed.slack.put_group(UserGroup { disabled: true, ..group("S0DBA", &["U0BOB"]) });
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, GONE_GROUP_REPLY);
        bed.assert_untouched(&daemon, &id);
        bed.slack.put_group(group("S0DBA", &["U0BOB"]));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );

        // The rule names dave directly, but bob's vote depends on the group.
        daemon.kill().await;
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let error = slack::Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(slack::FaultRule::new(method, error));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            NO_GROUP_REPLY,
            "{}",
            daemon.log()
        );
        bed.assert_undecided(&daemon, &id);
        bed.slack.faults().clear();
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_deleted_group_blocks_no_user_and_approves_nothing() {
    for is_account in [false, true] {
        run_in_process(async move {
            let approvers = "[\"S0DBA\", \"dave@example.com\", \"carol@example.com\"]";
            let review = with_rules(&rule("*", approvers, "approvals = 2"));
            let bed = TestBed::with_review().await;
            bed.slack.put_group(group("S0DBA", &["U0BOB"]));
            let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
            let one_of_two = "Your approval counts: 1 of 2 approvals.";
            assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, one_of_two);
            // The restart drops the cached group.
            daemon.kill().await;
            if is_account {
                bed.slack.remove_user("U0BOB");
            } else {
                bed.slack.put_group(UserGroup { disabled: true, ..group("S0DBA", &["U0BOB"]) });
            }
            let daemon = bed.start_with_review(Transport::Http, &review).await;
            assert_eq!(
                bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
                one_of_two,
                "{}",
                daemon.log()
            );
            bed.assert_undecided(&daemon, &id);
            assert!(field(&bed.record(&id), "x_votes").contains("U0DAVE"), "the vote of dave is recorded");
            assert_eq!(
                bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
                "The request is approved."
            );
            let request = bed.teleport.request(&id).unwrap();
            assert_eq!(request.resolve_annotations["teleport_users"], [DAVE, CAROL]);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_denial_of_a_deleted_group_denies_nothing_and_blocks_approvals() {
    run_in_process(async {
        let rules = |approvers: &str| with_rules(&rule("*", approvers, "denials = 2"));
        let review = rules("[\"S0DBA\", \"dave@example.com\", \"carol@example.com\"]");
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0BOB"]));
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        let one_of_two = "Your denial counts: 1 of 2 denials.";
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "deny").await, one_of_two);
        daemon.kill().await;
        bed.slack.put_group(UserGroup { disabled: true, ..group("S0DBA", &["U0BOB"]) });
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "deny").await,
            one_of_two,
            "{}",
            daemon.log()
        );
        let reply = bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await;
        assert!(reply.contains("nobody can tell whether their denials still count"), "{reply}");
        bed.assert_undecided(&daemon, &id);
        // Removing the group from the rules means that its denials count no more.
        daemon.kill().await;
        let review = rules("[\"dave@example.com\", \"carol@example.com\"]");
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await,
            "The request is approved."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn groups_are_read_only_when_needed_and_once_for_many_clicks() {
    run_in_process(async {
        let review = with_rules(&rule("*", "[\"S0DBA\", \"dave@example.com\"]", "approvals = 3"));
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0ALICE", "U0BOB", "U0CAROL"]));
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        let reads = || bed.slack.calls_of("usergroups.users.list").len();
        for _ in 0..30 {
            let own = bed.press_for_reply(&daemon, "U0ALICE", &message, "approve").await;
            assert_eq!(own, "This is your own request; somebody else must decide it.");
        }
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "Your approval counts: 1 of 3 approvals."
        );
        let again = "You already approved this request in Slack; that cannot be changed.";
        assert_eq!(bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await, again);
        assert_eq!(reads(), 0, "the requester, and dave who is named by name");
        let presses =
            (0..15).flat_map(|_| ["U0BOB", "U0CAROL"]).map(|user| bed.press(user, &message, "deny"));
        futures_util::future::join_all(presses).await;
        bed.until_interactions(&daemon, 30 + 2 + 30).await;
        assert_eq!(reads(), 1);
        // A denial needs one.
        bed.until_status(&daemon, "C0TEAM", &id, "❌ DENIED").await;
        assert_eq!(bed.decision_events(&id).len(), 1, "{:?}", bed.decision_events(&id));
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_new_group_member_may_decide_within_seconds() {
    run_in_process(async {
        let review = with_rules(&rule("*", "[\"S0DBA\"]", ""));
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0DAVE"]));
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        let refused = "You may not decide on role “dba” in Slack: its rule names user group S0DBA.";
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, refused);
        bed.slack.put_group(group("S0DBA", &["U0BOB"]));
        let began = tokio::time::Instant::now();
        while bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await == refused {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", daemon.log());
            // A person, not a machine.
            let pressed = Instant::now();
            let rested = || (pressed.elapsed() >= Duration::from_millis(500)).then_some(());
            bed.until(&daemon, "half a second since the press", rested).await;
        }
        assert_eq!(bed.decision_events(&id)[0].delegator.as_deref(), Some(BOB));
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_former_group_member_decides_nothing_ten_seconds_later() {
    run_in_process(async {
        let review = with_rules(&rule("*", "[\"S0DBA\"]", ""));
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0BOB"]));
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let (first, id) = (bed.create_request(), bed.create_request());
        let message = bed.until_clickable(&daemon, "C0TEAM", &first).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "The request is approved."
        );
        let asked = Instant::now();
        bed.slack.put_group(group("S0DBA", &["U0DAVE"]));
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        // The click caches the group; the vote takes until the cached group is too old.
        let old = || (asked.elapsed() >= Duration::from_secs(6)).then_some(());
        bed.until(&daemon, "six seconds since the group was read", old).await;
        let slow = Fault::Delay(Duration::from_secs(6));
        bed.teleport.faults().inject(Method::UpdatePluginData, slow, Repeat::Next(1));
        let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert_eq!(reply, "Your approval counts: 0 of 1 approvals.", "{}", daemon.log());
        bed.assert_undecided(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_vote_of_a_member_of_nine_groups_counts() {
    run_in_process(async {
        let eight: Vec<_> = (1..=8).map(|n| format!("S0G{n}")).collect();
        let rules =
            rule("*", &format!("{eight:?}"), "approvals = 2") + &rule("dba", "[\"S0G9\"]", "approvals = 2");
        let bed = TestBed::with_review().await;
        for n in 1..=9 {
            bed.slack.put_group(group(&format!("S0G{n}"), &["U0BOB", "U0DAVE"]));
        }
        let (daemon, _, message) = bed.start_with_buttons(Transport::Http, &with_rules(&rules)).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "The request is approved."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// Bob's account has dave's address: one person with two Teleport users that the rule names. Carol requests a role that
/// needs two approvals.
async fn one_account_two_users() -> (TestBed, Daemon, String, MessageView) {
    let bed = TestBed::with_review().await;
    bed.slack.put_user(SlackUser::member("U0BOB", "bob").email(DAVE));
    let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
    let id = bed.teleport.request_access(CAROL, NewRequest::roles(&["admin"], "")).unwrap();
    let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
    (bed, daemon, id, message)
}

#[test]
fn one_person_counts_once_as_two_users_in_either_order() {
    run_in_process(async {
        let (bed, daemon, id, message) = one_account_two_users().await;
        bed.teleport.review(DAVE, &id, Decision::Approve, "").unwrap();
        bed.until_replies(&daemon, &message, 1).await;
        let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert_eq!(reply, "You already approved this request in Teleport; that cannot be changed.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending);
        bed.stop_and_check_secrets(daemon).await;
    });
    run_in_process(async {
        let (bed, daemon, id, message) = one_account_two_users().await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );
        bed.teleport.review(DAVE, &id, Decision::Approve, "").unwrap();
        bed.until_replies(&daemon, &message, 2).await;
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert!(block_text(&message, 3).contains("1 of 2 approvals"), "{:?}", message.blocks);
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending, "{}", daemon.log());
        // Another user gives the second approval.
        assert_eq!(
            bed.press_for_reply(&daemon, "U0ALICE", &message, "approve").await,
            "The request is approved."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_reasons_of_all_voters_are_in_teleports_audit_log() {
    run_in_process(async {
        let review = format!("{}\napprovals = 2\ndenials = 2", with_reason_policy("required"));
        let review =
            review.replace("\"alice@example.com\"]", "\"alice@example.com\", \"carol@example.com\"]");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        for (user, button, reason) in [
            ("U0BOB", "approve", "the *backup* is due"),
            ("U0CAROL", "deny", "not on a Friday"),
            ("U0DAVE", "approve", "checked with ops"),
        ] {
            let view = opened_modal(&daemon, &bed.press(user, &message, button).await).await;
            let sent = bed.slack.submit_view(user, &view.id, &[("reason", reason)]).await.unwrap();
            reply_text(&daemon, &sent.outcome).await;
        }
        let audit = bed.decision_events(&id);
        assert_eq!((audit.len(), audit[0].reason.as_str()), (1, "checked with ops"), "{audit:?}");
        assert_eq!(
            audit[0].annotations["slack_reasons"],
            [
                "bob@example.com approved: the *backup* is due",
                "carol@example.com denied: not on a Friday",
                "dave@example.com approved: checked with ops"
            ]
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn many_clicks_do_not_exceed_slacks_limit_on_groups() {
    run_in_process(async {
        let review = with_rules(&rule("*", "[\"S0DBA\"]", ""));
        let bed = TestBed::with_review().await;
        bed.slack.put_group(group("S0DBA", &["U0BOB"]));
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        let limited = slack::Fault::RateLimited { retry_after: 5 };
        bed.slack.faults().add(slack::FaultRule::new("usergroups.users.list", limited).times(1));
        for _ in 0..5 {
            assert_eq!(
                bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
                NO_GROUP_REPLY,
                "{}",
                daemon.log()
            );
        }
        assert_eq!(bed.slack.calls_of("usergroups.users.list").len(), 1, "none while Slack asks to wait");
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}
