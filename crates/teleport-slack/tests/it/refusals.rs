//! Refusals that a person meets who presses a button in good faith: each has a sentence of its own, said to this
//! person only, and changes nothing. Those of attackers are in `attacks`, those of outages in `races`.

use access_sim::slack::interactive::forgery::{Alteration, Forgery};
use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::journal::Method;
use access_sim::teleport::request::{NewRequest, RequestState};
use access_sim::teleport::world::{User, World};
use access_sim::teleport::{Era, Options};

use crate::deciding::newest;
use crate::support::deciding::*;
use crate::support::*;

/// Bob presses a button that was still there for `id`, on its message `card`; `other` has one to press with.
async fn late(bed: &Bed, daemon: &Daemon, other: &MessageView, id: &str, card: &MessageView) -> String {
    let forgery = Forgery::altered(Alteration::value(id)).and(Alteration::message_ts(&card.ts));
    let click = bed.slack.click("U0BOB", &other.channel, &other.ts, "approve");
    told(daemon, &click.confirmed().forged(forgery).await.unwrap()).await
}

#[test]
fn promoted_and_long_term_requests() {
    story(async {
        let bed = Bed::with(newest(), crowd()).await;
        let review = ANY_OF_THREE.replace("resolver", "reviewer");
        let daemon = bed.start_deciding(Way::Http, &review).await;
        let other = bed.ask();
        let other = bed.until_clickable(&daemon, "C0TEAM", &other).await;

        let promoted = bed.ask();
        let card = bed.until_clickable(&daemon, "C0TEAM", &promoted).await;
        bed.teleport.promote(&promoted, "DBAs").unwrap();
        let sentence = "This request became membership of an access list; there is nothing left to decide.";
        assert_eq!(late(&bed, &daemon, &other, &promoted, &card).await, sentence);
        assert_eq!(bed.teleport.request(&promoted).unwrap().state, RequestState::Promoted);

        let lasting = bed.ask_for(NewRequest { long_term: true, ..NewRequest::roles(&["dba"], "") });
        let card = bed.until_clickable(&daemon, "C0TEAM", &lasting).await;
        let sentence = "This request is for lasting access; decide it in Teleport's web UI.";
        assert_eq!(late(&bed, &daemon, &other, &lasting, &card).await, sentence);
        bed.assert_untouched(&daemon, &lasting);
        assert_eq!(bed.teleport.journal().count(Method::SubmitAccessReview), 0);
        bed.end(daemon).await;
    });
}

#[test]
fn roles_that_no_rule_covers_or_that_are_left_to_teleport() {
    story(async {
        let bed = Bed::deciding().await;
        let only =
            "\n[[review.rule]]\nroles = [\"admin\"]\napprovers = [\"bob@example.com\"]\nteleport_only = true";
        let review = format!("{}{only}", ANY_OF_THREE.replace("roles = [\"*\"]", "roles = [\"dba\"]"));
        let daemon = bed.start_deciding(Way::Http, &review).await;
        let other = bed.ask();
        let other = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        for (role, sentence) in [
            ("prod-a", "No rule lets anybody decide on role “prod-a” in Slack; decide it in Teleport."),
            ("admin", "The rules leave this role to Teleport; open the request there to decide it."),
        ] {
            let id = bed.ask_for(NewRequest::roles(&[role], ""));
            let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            assert_eq!(late(&bed, &daemon, &other, &id, &card).await, sentence);
            bed.assert_untouched(&daemon, &id);
        }
        bed.end(daemon).await;
    });
}

fn user(name: &str, slack_id: &str) -> User {
    let traits = [("slack_uid".to_owned(), vec![slack_id.to_owned()])];
    User {
        name: name.to_owned(),
        roles: vec!["reviewer".to_owned()],
        traits: traits.into(),
        ..User::default()
    }
}

/// A cluster of this era with 500 more users; the trait links bob to one user and dave to two.
fn many(era: Era) -> Options {
    let mut options = Options { era, server_version: "18.11.0".to_owned(), ..newest() };
    let more = |number: usize| user(&format!("user-{number}@example.com"), &format!("U0{number}"));
    options.world.users.extend((0..500).map(more));
    options.world.users.push(user("david@example.com", "U0DAVE"));
    give(&mut options.world, DAVE, "U0DAVE");
    options
}

fn give(world: &mut World, name: &str, slack_id: &str) {
    let user = world.user_mut(name).unwrap();
    user.traits.insert("slack_uid".to_owned(), vec![slack_id.to_owned()]);
}

const BY_TRAIT: &str = "mode = \"reviewer\"\nslack_user_id_trait = \"slack_uid\"";

#[test]
fn by_the_trait_people_are_found_without_listing_everybody_for_each_click() {
    story(async {
        let bed = Bed::with(many(Era::Newest), crowd()).await;
        let daemon = bed.start_deciding(Way::Http, BY_TRAIT).await;
        let mut cards = Vec::new();
        for _ in 0..5 {
            let id = bed.ask();
            cards.push((bed.until_clickable(&daemon, "C0TEAM", &id).await, id));
        }
        let listings = || bed.teleport.journal().count(Method::GetUsers);
        for (card, _) in &cards[..3] {
            assert_eq!(bed.told(&daemon, "U0BOB", card, "approve").await, "The request is approved.");
        }
        assert_eq!(listings(), 1, "{}", daemon.log());
        let twice = "Your Slack account does not lead to exactly one Teleport user (dave@example.com, david@example.com); an administrator must correct the links.";
        assert_eq!(bed.told(&daemon, "U0DAVE", &cards[3].0, "approve").await, twice);
        assert_eq!(listings(), 1, "{}", daemon.log());
        // Whoever loses the trait is nobody at once, although the list is still young.
        bed.teleport.edit_world(|world| {
            world.user_mut(BOB).unwrap().traits.clear();
            world.user_mut("david@example.com").unwrap().traits.clear();
        });
        let nobody = bed.told(&daemon, "U0BOB", &cards[3].0, "approve").await;
        assert!(nobody.starts_with("Your Slack account is linked to no Teleport user"), "{nobody}");
        assert_eq!(bed.told(&daemon, "U0DAVE", &cards[4].0, "deny").await, "The request is denied.");
        bed.assert_untouched(&daemon, &cards[3].1);
        bed.end(daemon).await;
    });
}

#[test]
fn many_clicks_at_once_share_one_list_of_users() {
    story(async {
        let bed = Bed::with(many(Era::Newest), crowd()).await;
        let daemon = bed.start_deciding(Way::Http, BY_TRAIT).await;
        let mut cards = Vec::new();
        for _ in 0..10 {
            let id = bed.ask();
            cards.push(bed.until_clickable(&daemon, "C0TEAM", &id).await);
        }
        let clicks = cards.iter().map(|card| async { bed.told(&daemon, "U0BOB", card, "approve").await });
        for text in futures_util::future::join_all(clicks).await {
            assert_eq!(text, "The request is approved.");
        }
        // One that the first asked for, and at most one more for those who came while it was read.
        assert!(bed.teleport.journal().count(Method::GetUsers) <= 2, "{}", daemon.log());
        bed.end(daemon).await;
    });
}

#[test]
fn links_that_contradict_each_other_or_lead_nowhere() {
    story(async {
        let mut options = many(Era::Newest);
        // Carol's record went away when her login from single sign-on ended.
        options.world.users.retain(|user| user.name != "carol@example.com");
        let bed = Bed::with(options, crowd()).await;
        let review = format!(
            "{BY_TRAIT}\n[review.users]\nU0BOB = \"david@example.com\"\nU0CAROL = \"carol@example.com\""
        );
        let daemon = bed.start_deciding(Way::Http, &review).await;
        let id = bed.ask();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.told(&daemon, "U0BOB", &card, "approve").await,
            "Your Slack account does not lead to exactly one Teleport user (bob@example.com, david@example.com); an administrator must correct the links."
        );
        assert_eq!(
            bed.told(&daemon, "U0CAROL", &card, "approve").await,
            "Teleport knows no user “carol@example.com”; if you use single sign-on, sign in to Teleport once and try again."
        );
        bed.assert_untouched(&daemon, &id);
        bed.end(daemon).await;
    });
}

#[test]
fn without_the_right_to_read_users_the_trait_finds_nobody() {
    story(async {
        let bed = Bed::deciding().await;
        let review = ANY_OF_THREE
            .replace("mode = \"resolver\"", "mode = \"resolver\"\nslack_user_id_trait = \"slack_uid\"");
        let review = review.replace("U0DAVE = \"dave@example.com\"", "");
        let daemon = bed.start_deciding(Way::Http, &review).await;
        let id = bed.ask();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        for _ in 0..2 {
            assert_eq!(
                bed.told(&daemon, "U0DAVE", &card, "approve").await,
                "I may not read Teleport's users, so I cannot tell who you are there; an administrator must allow it."
            );
        }
        let line = bed.until_logged(&daemon, "People cannot be found by slack_user_id_trait").await;
        assert!(line.contains("{resources: ['user'], verbs: ['list', 'read']}"), "{line}");
        assert_eq!(
            daemon.times_logged("People cannot be found by slack_user_id_trait"),
            1,
            "{}",
            daemon.log()
        );
        bed.assert_untouched(&daemon, &id);
        // Whom the table names needs no list.
        bed.assert_bob_can(&daemon, &card, &id).await;
        bed.end(daemon).await;
    });
}

#[test]
fn the_requester_does_not_decide_on_any_surface() {
    for way in [Way::Http, Way::Socket] {
        story(async move {
            let bed = Bed::deciding().await;
            let group = access_sim::slack::workspace::UserGroup {
                id: "S0DBA".to_owned(),
                handle: "dba".to_owned(),
                users: vec!["U0ALICE".to_owned(), "U0BOB".to_owned()],
                disabled: false,
            };
            bed.slack.put_group(group);
            let review = ANY_OF_THREE.replace("\"off\"", "\"required\"");
            let review = review.replace("approvers = [", "approvers = [\"S0DBA\", ");
            let daemon = bed.start_deciding(way, &review).await;
            // She suggests herself, so that she has a copy of her own.
            let suggested_reviewers = vec![ALICE.to_owned(), BOB.to_owned()];
            let id = bed.ask_for(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "") });
            let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let own = "This is your own request; somebody else must decide it.";
            let copy = bed.until_clickable(&daemon, "U0ALICE", &id).await;
            assert_eq!(buttons(&copy), Vec::<&str>::new(), "her copy has no buttons");
            // The channel's buttons, and her copy's as if it had some.
            for button in ["approve", "deny"] {
                assert_eq!(bed.told(&daemon, "U0ALICE", &card, button).await, own);
            }
            let place = Alteration::channel(&copy.channel);
            let forgery = Forgery::altered(place).and(Alteration::message_ts(&copy.ts));
            let click = bed.slack.click("U0ALICE", &card.channel, &card.ts, "approve");
            assert_eq!(told(&daemon, &click.forged(forgery).await.unwrap()).await, own);
            // Bob's dialogue, sent by her.
            let view = dialogue(&daemon, &bed.press("U0BOB", &card, "approve").await).await;
            let before = bed.slack.ephemerals("U0ALICE").len();
            let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]);
            sent.forged(Forgery::altered(Alteration::user("U0ALICE"))).await.unwrap();
            let answer = bed
                .until(&daemon, "an answer to alice", || bed.slack.ephemerals("U0ALICE").get(before).cloned())
                .await;
            assert_eq!(answer.text, own);
            bed.assert_untouched(&daemon, &id);
            bed.end(daemon).await;
        });
    }
}
