//! Deciding in Slack is switched on and cannot work: it is said at start, with what is missing, and nobody is given a button
//! that leads nowhere.

use access_sim::teleport::presets::{PLUGIN_USER, plugin_rules};

use crate::support::deciding::*;
use crate::support::*;

#[test]
fn the_mode_reviewer_draws_no_buttons_where_teleport_takes_no_reviews() {
    story(async {
        let bed = Bed::deciding().await;
        let review = asking("required").replace("resolver", "reviewer");
        let daemon = bed.start_deciding(Way::Http, &review).await;
        let line = bed.until_told(&daemon, "Nobody can decide in Slack (review.mode = \"reviewer\")").await;
        assert!(line.contains("its release 6.2.1 is too old"), "{line}");
        let id = bed.ask();
        let card = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_eq!(buttons(&card), Vec::<&str>::new());
        let why = "No buttons: nobody can decide in Slack; decide it in Teleport.";
        assert!(format!("{:?}", card.blocks).contains(why), "{:#?}", card.blocks);
        bed.assert_untouched(&daemon, &id);
        daemon.stop().await;
    });
}

#[test]
fn a_right_to_decide_that_is_missing_is_told_at_start_and_when_it_is_there() {
    story(async {
        let bed = Bed::deciding().await;
        bed.sign_as(PLUGIN_USER);
        let daemon = bed.start_deciding(Way::Http, ANY_OF_THREE).await;
        let line = bed.until_told(&daemon, "lacks the verb update on access_request").await;
        assert!(line.contains(" ERROR Nobody can decide in Slack"), "{line}");
        assert!(line.contains("{resources: ['access_request'], verbs: ['update']}"), "{line}");
        bed.teleport.edit_world(|world| {
            let mut rules = plugin_rules();
            rules[0].verbs.push("update".to_owned());
            world.role_mut("access-plugin").unwrap().allow.rules = rules;
        });
        bed.until_logged(&daemon, "The plugin's Teleport user may decide now").await;
        daemon.stop().await;
    });
}

#[test]
fn scopes_that_deciding_needs_are_named_at_start() {
    story(async {
        let bed = Bed::deciding().await;
        bed.slack.remove_scope("usergroups:read");
        let named = ANY_OF_THREE.replace("approvers = [", "approvers = [\"S0DBA0001\", ");
        let daemon = bed.start_deciding(Way::Http, &named).await;
        let line = bed.until_told(&daemon, "scope=usergroups:read").await;
        assert!(line.contains(" ERROR ") && line.contains("add it under OAuth & Permissions"), "{line}");
        daemon.stop().await;
        // Without a group in the rules it is not needed.
        let daemon = bed.start_deciding(Way::Http, ANY_OF_THREE).await;
        let log = daemon.stop().await;
        assert!(!log.contains("usergroups:read"), "{log}");
    });
}
