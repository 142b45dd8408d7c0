//! Enterprise Grid: users with ids of the organization, an app that one team or the whole organization installed, and
//! clicks that come through another team or organization.

use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::submit::SubmitResult;
use access_sim::slack::workspace::{Channel, SlackUser, SlackUserKind, Workspace};
use access_sim::teleport::Options;
use serde_json::{Value, json};

use crate::harness::deciding::*;
use crate::harness::*;

/// Bob's account belongs to the organization. Dave's belongs to the team and to the organization, under two ids; the
/// group lists the organization's id.
const REVIEW: &str = r#"
    mode = "resolver"
    [review.users]
    W0BOB = "bob@example.com"
    W0DAVE = "dave@example.com"
    [[review.rule]]
    roles = ["*"]
    approvers = ["bob@example.com", "S0OPS"]
    approvals = 2
    reason = "off"
"#;

/// The team, and a user of a sister team who is in #team.
fn organization_with_sister(installed: bool) -> Workspace {
    let sister = SlackUserKind::Sister { team_id: "T0SISTER".to_owned() };
    let mut workspace = workspace().in_enterprise(installed);
    let bot = workspace.bot.user_id.clone();
    workspace.channels.retain(|channel| channel.id != "C0TEAM");
    let team = Channel::public("C0TEAM", "team").with_members(&[&bot, "W0SUE"]);
    workspace.with_channel(team).add_user(SlackUser::member("W0SUE", "sue").kind(sister))
}

/// A team of an organization, and a pending request in it.
async fn pending(installed: bool, transport: Transport) -> (TestBed, Daemon, String, MessageView) {
    let workspace = organization_with_sister(installed)
        .add_user(SlackUser::member("W0BOB", "wbob"))
        .add_user(SlackUser::member("U0DAVE2", "dave2").known_to_enterprise_as("W0DAVE"))
        .add_group("S0OPS", "ops", &["W0DAVE"]);
    let bed = TestBed::with_options(Options::golden(), workspace).await;
    bed.sign_as(PLUGIN_RW);
    let (daemon, id, message) = bed.start_with_buttons(transport, REVIEW).await;
    (bed, daemon, id, message)
}

/// Asserts that the daemon understands both ids and counts both votes.
async fn assert_both_decide(bed: &TestBed, daemon: &Daemon, message: &MessageView, id: &str) {
    assert_eq!(
        bed.press_for_reply(daemon, "W0BOB", message, "approve").await,
        "Your approval counts: 1 of 2 approvals.",
        "{}",
        daemon.log()
    );
    assert_eq!(bed.press_for_reply(daemon, "U0DAVE2", message, "approve").await, "The request is approved.");
    let request = bed.teleport.request(id).unwrap();
    assert_eq!(request.resolve_annotations["slack_users"], ["W0BOB", "U0DAVE2"]);
    assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
    assert_eq!(bed.decision_events(id).len(), 1);
}

fn alter_organization(id: Value) -> Alteration {
    Alteration::Set(vec![("/enterprise".to_owned(), id)])
}

#[test]
fn a_team_that_installed_the_app_decides_and_its_sisters_do_not() {
    run_in_process(async {
        let (bed, daemon, id, message) = pending(false, Transport::Http).await;
        let sister = |fields: Value| Alteration::Set(vec![("/team".to_owned(), fields)]);
        for foreign in [
            // The same organization is not enough.
            sister(json!({ "id": "T0SISTER", "domain": "sister", "enterprise_id": "E0ORG" })),
            sister(json!({ "id": "E0ORG", "domain": "org", "enterprise_id": "E0ORG" })),
            sister(json!({ "domain": "demo", "enterprise_id": "E0ORG" })),
            // What an organization's installation would send.
            Alteration::no_team(),
            Alteration::team("T0SISTER"),
        ] {
            bed.assert_rejected_with_reply(&daemon, "W0BOB", &message, foreign).await;
        }
        bed.assert_untouched(&daemon, &id);
        assert_both_decide(&bed, &daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// Sue may decide, with a modal.
const SUE_APPROVER_CONFIG: &str = r#"
    mode = "resolver"
    [review.users]
    W0SUE = "carol@example.com"
    W0BOB = "bob@example.com"
    [[review.rule]]
    roles = ["*"]
    approvers = ["carol@example.com"]
    reason = "required"
"#;

#[test]
fn a_user_of_a_sister_team_decides_in_a_shared_channel() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let bed = TestBed::with_options(Options::golden(), organization_with_sister(false)).await;
            bed.sign_as(PLUGIN_RW);
            let (daemon, id, message) = bed.start_with_buttons(transport, SUE_APPROVER_CONFIG).await;
            let view = opened_modal(&daemon, &bed.press("W0SUE", &message, "approve").await).await;
            let submitted =
                bed.slack.submit_view("W0SUE", &view.id, &[("reason", "as agreed")]).await.unwrap();
            assert!(matches!(submitted.result, SubmitResult::Closed), "{submitted:?}");
            let sent = bed.slack.interaction(submitted.outcome.seq().unwrap()).unwrap().payload;
            assert_eq!(
                (&sent["team"]["id"], &sent["view"]["app_installed_team_id"]),
                (&json!("T0SISTER"), &json!("T0DEMO")),
                "as Slack sends it"
            );
            assert_eq!(reply_text(&daemon, &submitted.outcome).await, "The request is approved.");
            assert_eq!(bed.decision_events(&id).len(), 1);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_modal_of_another_installation_decides_nothing() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let bed = TestBed::with_options(Options::golden(), organization_with_sister(false)).await;
            bed.sign_as(PLUGIN_RW);
            let (daemon, id, message) = bed.start_with_buttons(transport, SUE_APPROVER_CONFIG).await;
            for (alteration, sentence) in [
                (Alteration::set("/view/app_installed_team_id", json!("T0SISTER")), OTHER_INSTALLATION_REPLY),
                (Alteration::set("/view/app_installed_team_id", json!(null)), OTHER_INSTALLATION_REPLY),
                (Alteration::app("A0OTHER"), UNKNOWN_ORIGIN_REPLY),
                (Alteration::set("/view/callback_id", json!("survey")), UNKNOWN_ORIGIN_REPLY),
            ] {
                let view = opened_modal(&daemon, &bed.press("W0SUE", &message, "approve").await).await;
                let submission = bed.slack.submit_view("W0SUE", &view.id, &[("reason", "as agreed")]);
                let submitted = submission.forged(Forgery::altered(alteration.clone())).await.unwrap();
                let SubmitResult::Updated(view) = submitted.result else {
                    panic!("{alteration:?}: {:?}\n{}", submitted.result, daemon.log())
                };
                assert_eq!(view.blocks[0]["text"]["text"], sentence, "{alteration:?}");
                assert_eq!((view.title.as_str(), view.submit), ("Nothing was decided", None));
            }
            bed.assert_untouched(&daemon, &id);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn an_organization_that_installed_the_app_sends_no_team() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let (bed, daemon, id, message) = pending(true, transport).await;
            for foreign in [
                alter_organization(json!({ "id": "E0OTHER", "name": "Other" })),
                alter_organization(json!({ "name": "Org" })),
                alter_organization(json!("E0ORG")),
                alter_organization(Value::Null),
            ] {
                bed.assert_rejected_with_reply(&daemon, "W0BOB", &message, foreign).await;
            }
            bed.assert_untouched(&daemon, &id);
            assert_both_decide(&bed, &daemon, &message, &id).await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}
