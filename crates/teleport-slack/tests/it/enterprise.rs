//! Enterprise Grid: people with ids of the organisation, an app that one team installed or the whole organisation, and
//! clicks that come through another team or organisation than ours.

use access_sim::slack::interactive::forgery::Alteration;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::Person;
use access_sim::teleport::Options;
use serde_json::{Value, json};

use crate::support::deciding::*;
use crate::support::*;

/// Bob's account is the organisation's. Dave's is of the team and of the organisation, under two ids, and so is his
/// place in the group.
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

/// A team of an organisation, and a pending request in it.
async fn pending(installed: bool, way: Way) -> (Bed, Daemon, String, MessageView) {
    let workspace = workspace()
        .in_enterprise(installed)
        .add_person(Person::member("W0BOB", "wbob"))
        .add_person(Person::member("U0DAVE2", "dave2").known_to_enterprise_as("W0DAVE"))
        .add_group("S0OPS", "ops", &["W0DAVE"]);
    let bed = Bed::with(Options::golden(), workspace).await;
    bed.sign_as(PLUGIN_RW);
    let daemon = bed.start_deciding(way, REVIEW).await;
    let id = bed.ask();
    let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
    (bed, daemon, id, card)
}

/// Both ids are understood, and both votes are counted.
async fn both_decide(bed: &Bed, daemon: &Daemon, card: &MessageView, id: &str) {
    assert_eq!(
        bed.told(daemon, "W0BOB", card, "approve").await,
        "Your approval counts: 1 of 2 approvals.",
        "{}",
        daemon.log()
    );
    assert_eq!(bed.told(daemon, "U0DAVE2", card, "approve").await, "The request is approved.");
    let request = bed.teleport.request(id).unwrap();
    assert_eq!(request.resolve_annotations["slack_users"], ["W0BOB", "U0DAVE2"]);
    assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
    assert_eq!(bed.decided(id).len(), 1);
}

fn organisation(id: Value) -> Alteration {
    Alteration::Set(vec![("/enterprise".to_owned(), id)])
}

#[test]
fn a_team_that_installed_the_app_decides_and_its_sisters_do_not() {
    story(async {
        let (bed, daemon, id, card) = pending(false, Way::Http).await;
        let sister = |fields: Value| Alteration::Set(vec![("/team".to_owned(), fields)]);
        for foreign in [
            // The same organisation is not enough.
            sister(json!({ "id": "T0SISTER", "domain": "sister", "enterprise_id": "E0ORG" })),
            sister(json!({ "id": "E0ORG", "domain": "org", "enterprise_id": "E0ORG" })),
            sister(json!({ "domain": "demo", "enterprise_id": "E0ORG" })),
            // What an organisation's installation would send.
            Alteration::no_team(),
            Alteration::team("T0SISTER"),
        ] {
            bed.is_ignored(&daemon, "W0BOB", &card, foreign).await;
        }
        bed.assert_untouched(&daemon, &id);
        both_decide(&bed, &daemon, &card, &id).await;
        bed.end(daemon).await;
    });
}

#[test]
fn an_organisation_that_installed_the_app_sends_no_team() {
    for way in [Way::Http, Way::Socket] {
        story(async move {
            let (bed, daemon, id, card) = pending(true, way).await;
            for foreign in [
                organisation(json!({ "id": "E0OTHER", "name": "Other" })),
                organisation(json!({ "name": "Org" })),
                organisation(json!("E0ORG")),
                organisation(Value::Null),
            ] {
                bed.is_ignored(&daemon, "W0BOB", &card, foreign).await;
            }
            bed.assert_untouched(&daemon, &id);
            both_decide(&bed, &daemon, &card, &id).await;
            bed.end(daemon).await;
        });
    }
}
