//! Before a decision, the daemon reads each earlier voter again: their account, their link, and their user groups.

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::workspace::SlackUser;
use access_sim::teleport::Options;
use access_sim::teleport::request::RequestState;

use crate::harness::deciding::*;
use crate::harness::*;

const CAROL: &str = "carol@example.com";
const ONE_OF_TWO: &str = "Your approval counts: 1 of 2 approvals.";
const APPROVED: &str = "The request is approved.";

/// Bob, dave and carol may decide, and two of them must.
fn two_of_three() -> String {
    ANY_OF_THREE.replace("\"alice@example.com\"]", "\"carol@example.com\"]") + "\napprovals = 2"
}

#[test]
fn a_vote_by_a_link_that_the_configuration_changed_does_not_count() {
    run_test(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &two_of_three()).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, ONE_OF_TWO);
        daemon.stop().await;
        // The two accounts were confused: bob's account is carol, and the other way round.
        let review = two_of_three()
            .replace("U0BOB = \"bob@example.com\"", "U0BOB = \"carol@example.com\"")
            .replace("U0CAROL = \"carol@example.com\"", "U0CAROL = \"bob@example.com\"");
        let daemon = bed.start_with_review(Transport::Http, &review).await;
        let reply = bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await;
        assert_eq!(reply, ONE_OF_TWO, "{}", daemon.log());
        bed.assert_undecided(&daemon, &id);
        // The right accounts may vote, the one whose vote went included.
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, APPROVED);
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [DAVE, CAROL]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_click_decides_nothing_while_an_earlier_voters_account_cannot_be_read() {
    run_test(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &two_of_three()).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await, ONE_OF_TWO);
        for fault in [
            Fault::Status { status: 503, body: String::new() },
            Fault::Error("internal_error".to_owned()),
            Fault::NotJson,
        ] {
            bed.slack.faults().add(FaultRule::new("users.info", fault).about_user("U0BOB"));
            assert_eq!(
                bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
                "Slack does not tell whether those who voted before you still may, so nothing was decided; try again in a minute.",
                "{}",
                daemon.log()
            );
            bed.slack.faults().clear();
            bed.assert_undecided(&daemon, &id);
            assert!(!field(&bed.record(&id), "x_votes").contains("U0DAVE"), "the vote must not be taken");
        }
        assert_eq!(bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await, APPROVED);
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// The figure in `docs/reliability.md`.
#[test]
fn a_deciding_click_reads_each_voter_once() {
    run_test(async {
        let voters: Vec<_> = (1..=5).map(|n| (format!("U0V{n}"), format!("v{n}@example.com"))).collect();
        let mut workspace = full_workspace();
        let mut review = "mode = \"resolver\"\n[review.users]\n".to_owned();
        for (account, user) in &voters {
            workspace = workspace.add_user(SlackUser::member(account, user.split_once('@').unwrap().0));
            review += &format!("{account} = {user:?}\n");
        }
        let channel = workspace.channels.iter_mut().find(|channel| channel.id == "C0TEAM").unwrap();
        channel.members.extend(voters.iter().map(|(account, _)| account.clone()));
        let approvers: Vec<_> = voters.iter().map(|(_, user)| user).collect();
        review += &format!(
            "[[review.rule]]\nroles = [\"*\"]\napprovers = {approvers:?}\nreason = \"off\"\napprovals = 5"
        );
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        bed.sign_as(PLUGIN_RW);
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, &review).await;
        let (last, earlier) = voters.split_last().unwrap();
        for (account, _) in earlier {
            bed.press_for_reply(&daemon, account, &message, "approve").await;
        }
        let before = bed.slack.calls_of("users.info").len();
        assert_eq!(bed.press_for_reply(&daemon, &last.0, &message, "approve").await, APPROVED);
        assert_eq!(bed.slack.calls_of("users.info").len() - before, voters.len());
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
        bed.stop_and_check_secrets(daemon).await;
    });
}
