//! Every kind of account, every kind of link, and the ways in which links contradict each other.

use proptest::prelude::*;

use super::*;
use crate::policy::user_index::{Candidates, UserIndex};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub(crate) fn installation() -> AppInstallation {
    AppInstallation {
        app_id: "A0OURS".into(),
        team_id: "T0US".into(),
        enterprise_id: None,
        is_org_install: false,
    }
}

pub(crate) fn bob() -> SlackProfile {
    SlackProfile {
        team_id: Some("T0US".into()),
        email: Some("bob@example.com".into()),
        is_email_confirmed: Some(true),
        ..SlackProfile::bare(SlackUserId::new("U0BOB"))
    }
}

fn explicit(entries: &[(&str, &str)]) -> BTreeMap<SlackUserId, String> {
    entries.iter().map(|(id, user)| (SlackUserId::new(*id), (*user).to_owned())).collect()
}

fn user(name: &str, slack_ids: &[&str]) -> TeleportUser {
    let ids = slack_ids.iter().map(|id| (*id).to_owned()).collect();
    TeleportUser { name: name.into(), traits: BTreeMap::from([("slack_uid".to_owned(), ids)]), expires: None }
}

fn users() -> Vec<TeleportUser> {
    vec![
        user("alice@example.com", &["U0ALICE"]),
        user("bob@example.com", &[]),
        user("bob", &[]),
        user("carol", &["U0CAROL"]),
    ]
}

fn mapping(entries: &[(&str, &str)], with_trait: bool, email_match: bool) -> UserMapping {
    UserMapping {
        explicit: explicit(entries),
        id_trait: with_trait.then(|| "slack_uid".to_owned()),
        email_match,
        ignore_email_case: false,
    }
}

#[track_caller]
fn assert_identified(
    profile: &SlackProfile,
    links: &UserMapping,
    users: &[TeleportUser],
    expected: Result<(&str, MappingSource), Refusal>,
) {
    let person = identify(&profile.id, profile, &installation(), links, Users::Listed(users), now());
    assert_eq!(person.map(|p| (p.user, p.source)), expected.map(|(user, link)| (user.to_owned(), link)));
}

fn ambiguous(users: &[&str]) -> Result<(&'static str, MappingSource), Refusal> {
    Err(Refusal::AmbiguousUser { users: users.iter().map(|user| (*user).to_owned()).collect() })
}

#[test]
fn accounts_that_are_not_to_be_trusted() {
    let all = mapping(&[("U0BOB", "bob"), ("USLACKBOT", "bob")], true, true);
    assert_identified(&bob(), &all, &users(), Ok(("bob", MappingSource::Explicit)));
    type Change = fn(&mut SlackProfile);
    let cases: [(Change, AccountIneligible); 11] = [
        (|p| p.deleted = true, AccountIneligible::Deactivated),
        (|p| p.is_bot = true, AccountIneligible::Bot),
        (|p| p.is_workflow_bot = true, AccountIneligible::WorkflowBot),
        (|p| p.is_connector_bot = true, AccountIneligible::ConnectorBot),
        (|p| p.is_restricted = true, AccountIneligible::Guest),
        (|p| (p.is_restricted, p.is_ultra_restricted) = (true, true), AccountIneligible::SingleChannelGuest),
        (|p| p.is_stranger = true, AccountIneligible::External),
        (|p| p.is_invited_user = true, AccountIneligible::NeverSignedIn),
        (|p| p.team_id = Some("T0THEM".into()), AccountIneligible::OtherWorkspace),
        (|p| p.team_id = None, AccountIneligible::OtherWorkspace),
        (|p| p.id = SlackUserId::new("USLACKBOT"), AccountIneligible::Slackbot),
    ];
    for (change, ineligible) in cases {
        let mut profile = bob();
        change(&mut profile);
        assert_identified(&profile, &all, &users(), Err(Refusal::AccountIneligible(ineligible)));
    }
    let clicked = SlackUserId::new("U0EVE");
    let other = identify(&clicked, &bob(), &installation(), &all, Users::Listed(&users()), now());
    assert_eq!(other, Err(Refusal::AccountIneligible(AccountIneligible::IdMismatch)));
}

#[test]
fn an_account_without_a_person_behind_it_is_automated() {
    type Change = fn(&mut SlackProfile);
    let automated: [Change; 4] = [
        |p| p.is_bot = true,
        |p| p.is_workflow_bot = true,
        |p| p.is_connector_bot = true,
        |p| p.id = SlackUserId::new("USLACKBOT"),
    ];
    let people: [Change; 4] = [
        |_| {},
        |p| p.deleted = true,
        |p| (p.is_restricted, p.is_ultra_restricted) = (true, true),
        |p| (p.is_stranger, p.is_invited_user) = (true, true),
    ];
    for (changes, expected) in [(automated, true), (people, false)] {
        for change in changes {
            let mut profile = bob();
            change(&mut profile);
            assert_eq!(profile.is_automated(), expected, "{profile:?}");
        }
    }
}

#[test]
fn all_users_are_listed_only_for_links_that_need_it() {
    // No trait can be asked for by its value, nor a name whatever its capitals.
    let exact = |with_trait, email_match| mapping(&[("U0BOB", "bob")], with_trait, email_match);
    let any_case = |mapping| UserMapping { ignore_email_case: true, ..mapping };
    assert!(!exact(false, false).lists_users());
    assert!(!exact(false, true).lists_users());
    assert!(!any_case(exact(false, false)).lists_users());
    assert!(any_case(exact(false, true)).lists_users());
    assert!(exact(true, false).lists_users());
    assert!(exact(true, true).lists_users());
}

#[test]
fn users_of_the_same_organization_are_not_external() {
    let our = AppInstallation { enterprise_id: Some("E0US".into()), ..installation() };
    let links = mapping(&[("W0BOB", "bob")], false, false);
    let profile = SlackProfile {
        team_id: Some("T0SISTER".into()),
        enterprise_id: Some("E0US".into()),
        enterprise_user_id: Some(SlackUserId::new("W0BOB")),
        ..bob()
    };
    for clicked in ["U0BOB", "W0BOB"] {
        let clicked = SlackUserId::new(clicked);
        let person = identify(&clicked, &profile, &our, &links, Users::Listed(&users()), now()).unwrap();
        let both = ["U0BOB", "W0BOB"].map(SlackUserId::new);
        assert_eq!(person.accounts(), both, "either is this person's");
        assert_eq!((person.user.as_str(), person.slack_user), ("bob", clicked));
    }
    let foreign = SlackProfile { enterprise_id: Some("E0THEM".into()), ..profile };
    let refused = identify(&foreign.id, &foreign, &our, &links, Users::Listed(&users()), now());
    assert_eq!(refused, Err(Refusal::AccountIneligible(AccountIneligible::OtherWorkspace)));
    // No organization on both sides is nothing in common.
    let nobodys = SlackProfile { enterprise_id: None, ..foreign };
    assert_eq!(
        identify(&nobodys.id, &nobodys, &installation(), &links, Users::Listed(&users()), now()),
        Err(Refusal::AccountIneligible(AccountIneligible::OtherWorkspace))
    );
}

#[test]
fn the_strongest_link_wins() {
    let by_trait = |id: &str| [users(), vec![user("trudy", &[id])]].concat();
    assert_identified(
        &bob(),
        &mapping(&[("U0BOB", "bob")], true, true),
        &users(),
        Ok(("bob", MappingSource::Explicit)),
    );
    assert_identified(
        &bob(),
        &mapping(&[("U0X", "carol")], true, true),
        &by_trait("U0BOB"),
        Ok(("trudy", MappingSource::Trait)),
    );
    assert_identified(
        &bob(),
        &mapping(&[], true, true),
        &users(),
        Ok(("bob@example.com", MappingSource::Email)),
    );
    assert_identified(
        &bob(),
        &mapping(&[("U0BOB", "trudy")], true, true),
        &by_trait("U0BOB"),
        Ok(("trudy", MappingSource::Explicit)),
    );
}

/// Signing in helps only where a trait can link.
fn unmapped(sign_in_may_help: bool) -> Refusal {
    Refusal::UnmappedUser { sign_in_may_help }
}

#[test]
fn no_kind_stands_in_for_another_unasked() {
    // A trait is configured and bob has none: the e-mail address is not used unless the operator said so.
    assert_identified(&bob(), &mapping(&[], true, false), &users(), Err(unmapped(true)));
    assert_identified(&bob(), &mapping(&[("U0X", "carol")], false, false), &users(), Err(unmapped(false)));
    assert_identified(&bob(), &mapping(&[], false, false), &users(), Err(unmapped(false)));
    // What cannot be asked is not skipped.
    let unreadable = |links: &UserMapping| {
        identify(&bob().id, &bob(), &installation(), links, Users::Unreadable, now()).map(|p| p.user)
    };
    assert_eq!(unreadable(&mapping(&[], true, true)), Err(Refusal::UsersUnreadable));
    // Nor for a person in the table: the trait may name the requester.
    assert_eq!(unreadable(&mapping(&[("U0BOB", "bob")], true, true)), Err(Refusal::UsersUnreadable));
    assert_eq!(unreadable(&mapping(&[("U0BOB", "bob")], false, true)), Ok("bob".into()));
    assert_eq!(unreadable(&mapping(&[], false, true)), Ok("bob@example.com".into()));
}

#[test]
fn contradicting_links_choose_no_user() {
    let eve = SlackProfile { id: SlackUserId::new("U0EVE"), ..bob() };
    // Two users claim the account.
    let claimed = [users(), vec![user("x", &["U0BOB"]), user("y", &["U9", "U0BOB"])]].concat();
    assert_identified(&bob(), &mapping(&[], true, true), &claimed, ambiguous(&["x", "y"]));
    // The table and the trait disagree.
    assert_identified(
        &bob(),
        &mapping(&[("U0BOB", "bob")], true, true),
        &claimed[..5],
        ambiguous(&["bob", "x"]),
    );
    // Eve took bob's e-mail address; the table or the trait knows that bob is another person.
    assert_identified(
        &eve,
        &mapping(&[("U0BOB", "bob@example.com")], false, true),
        &users(),
        ambiguous(&["bob@example.com"]),
    );
    let mut with_trait = users();
    with_trait[1] = user("bob@example.com", &["U0BOB"]);
    assert_identified(&eve, &mapping(&[], true, true), &with_trait, ambiguous(&["bob@example.com"]));
    assert_identified(&eve, &mapping(&[], true, false), &with_trait, Err(unmapped(true)));
    // A trait adds no account to a user of the table.
    let added = vec![user("bob", &["U0EVE"])];
    assert_identified(&eve, &mapping(&[("U0BOB", "bob")], true, true), &added, ambiguous(&["bob"]));
    // Two ids of one account in the table.
    let two = SlackProfile { enterprise_user_id: Some(SlackUserId::new("W0BOB")), ..bob() };
    assert_identified(
        &two,
        &mapping(&[("U0BOB", "bob"), ("W0BOB", "carol")], false, false),
        &users(),
        ambiguous(&["bob", "carol"]),
    );
    assert_identified(
        &two,
        &mapping(&[("U0BOB", "bob"), ("W0BOB", "bob")], false, false),
        &users(),
        Ok(("bob", MappingSource::Explicit)),
    );
}

#[test]
fn an_email_address_links_only_if_it_is_exact_unique_and_not_unconfirmed() {
    let links = mapping(&[], false, true);
    let with = |email: Option<&str>| SlackProfile { email: email.map(str::to_owned), ..bob() };
    assert_identified(&with(None), &links, &users(), Err(unmapped(false)));
    assert_identified(&with(Some("")), &links, &users(), Err(unmapped(false)));
    let other_capitals =
        Refusal::UserCaseMismatch { user: "bob@example.com".into(), mapped: "Bob@example.com".into() };
    assert_identified(&with(Some("Bob@example.com")), &links, &users(), Err(other_capitals));
    assert_identified(
        &with(Some("eve@example.com")),
        &links,
        &users(),
        Err(Refusal::TeleportUserUnknown { user: "eve@example.com".into() }),
    );
    let both = [users(), vec![user("Bob@example.com", &[])]].concat();
    assert_identified(&bob(), &links, &both, ambiguous(&["bob@example.com", "Bob@example.com"]));
    let unconfirmed = SlackProfile { is_email_confirmed: Some(false), ..bob() };
    assert_identified(&unconfirmed, &links, &users(), Err(Refusal::EmailUnconfirmed));
    assert_identified(
        &SlackProfile { is_email_confirmed: None, ..bob() },
        &links,
        &users(),
        Ok(("bob@example.com", MappingSource::Email)),
    );
    // Where the address is not the link, it does not matter.
    assert_identified(
        &unconfirmed,
        &super::tests::mapping(&[("U0BOB", "bob")], false, true),
        &users(),
        Ok(("bob", MappingSource::Explicit)),
    );
}

#[test]
fn capitals_count_unless_the_operator_says_that_they_do_not() {
    let carol = SlackProfile { email: Some("carol@example.com".into()), ..bob() };
    let exact = mapping(&[], false, true);
    let any_case = UserMapping { ignore_email_case: true, ..exact.clone() };
    let called = |names: &[&str]| names.iter().map(|name| user(name, &[])).collect::<Vec<_>>();
    let one = called(&["Carol@Example.com", "carol@example.org"]);
    let other_capitals =
        Refusal::UserCaseMismatch { user: "Carol@Example.com".into(), mapped: "carol@example.com".into() };
    assert_identified(&carol, &exact, &one, Err(other_capitals));
    assert_identified(&carol, &any_case, &one, Ok(("Carol@Example.com", MappingSource::Email)));
    // Two fit, even if one of them does exactly.
    let two = called(&["Carol@Example.com", "carol@example.com"]);
    for links in [&exact, &any_case] {
        assert_identified(&carol, links, &two, ambiguous(&["Carol@Example.com", "carol@example.com"]));
    }
    // A stronger link speaks of the user that the address would lead to.
    let table = UserMapping {
        explicit: [(SlackUserId::new("U9"), "Carol@Example.com".to_owned())].into(),
        ..any_case.clone()
    };
    assert_identified(&carol, &table, &one, ambiguous(&["Carol@Example.com"]));
    let by_trait = UserMapping { id_trait: mapping(&[], true, true).id_trait, ..any_case.clone() };
    assert_identified(
        &carol,
        &by_trait,
        &[user("Carol@Example.com", &["U9"])],
        ambiguous(&["Carol@Example.com"]),
    );
    // Without the list it is unknown who else fits, and the address stands for itself.
    let unlisted = identify(&carol.id, &carol, &installation(), &any_case, Users::Unreadable, now()).unwrap();
    assert_eq!(unlisted.user, "carol@example.com");
    // The table does not lead to a user with other capitals either, and the refusal says why.
    let linked = UserMapping {
        explicit: [(SlackUserId::new("U0BOB"), "carol@example.com".to_owned())].into(),
        ..exact
    };
    let refusal =
        Refusal::UserCaseMismatch { user: "Carol@Example.com".into(), mapped: "carol@example.com".into() };
    assert_identified(&carol, &linked, &one, Err(refusal));
}

#[test]
fn a_user_must_exist_and_not_have_expired() {
    let table = mapping(&[("U0BOB", "gone")], false, false);
    assert_identified(&bob(), &table, &users(), Err(Refusal::TeleportUserUnknown { user: "gone".into() }));
    let ends = |second: i64| TeleportUser {
        expires: Some(now() + jiff::SignedDuration::from_secs(second)),
        ..user("gone", &[])
    };
    assert_identified(&bob(), &table, &[ends(0)], Err(Refusal::TeleportUserExpired { user: "gone".into() }));
    assert_identified(&bob(), &table, &[ends(1)], Ok(("gone", MappingSource::Explicit)));
    let long = "u".repeat(129);
    assert_identified(
        &bob(),
        &mapping(&[("U0BOB", &long)], false, false),
        &[user(&long, &[])],
        Err(unmapped(false)),
    );
}

#[test]
fn the_requester_is_known_under_every_name() {
    let second = SlackProfile { email: Some("Alice@Example.com".into()), ..bob() };
    let person = |links: &UserMapping, users: &[TeleportUser]| {
        identify(&second.id, &second, &installation(), links, Users::Listed(users), now()).unwrap()
    };
    // A second account is linked to another user, but has the same address.
    let alices = person(&mapping(&[("U0BOB", "carol")], true, false), &users());
    assert!(alices.is("alice@example.com") && alices.is("CAROL") && alices.is(" carol "));
    assert!(!alices.is("bob") && !alices.is(""));
}

proptest! {
    /// An identified user is listed, and the strongest link that says anything leads to that user.
    #[test]
    fn no_user_is_identified_by_chance(
        table_user in proptest::option::of(0..4usize),
        other_table in proptest::option::of(0..4usize),
        traits in proptest::collection::vec(proptest::sample::subsequence(vec!["U0BOB", "U0EVE"], 0..=2), 4),
        with_trait: bool, email_match: bool,
    ) {
        let names = ["bob@example.com", "b", "c", "d"];
        let all: Vec<_> = names.iter().zip(&traits).map(|(name, ids)| user(name, ids)).collect();
        let mut entries: Vec<_> = table_user.map(|n| ("U0BOB", names[n])).into_iter().collect();
        entries.extend(other_table.map(|n| ("U0EVE", names[n])));
        let links = mapping(&entries, with_trait, email_match);
        if let Ok(person) = identify(&bob().id, &bob(), &installation(), &links, Users::Listed(&all), now()) {
            let claims: Vec<_> = (0..4).filter(|n| with_trait && traits[*n].contains(&"U0BOB")).collect();
            let chosen = names.iter().position(|name| *name == person.user).unwrap();
            match person.source {
                MappingSource::Explicit => prop_assert_eq!(Some(chosen), table_user),
                MappingSource::Trait => prop_assert!(table_user.is_none() && claims == [chosen] && other_table != Some(chosen)),
                MappingSource::Email => {
                    prop_assert!(email_match && table_user.is_none() && claims.is_empty() && chosen == 0);
                    prop_assert!(other_table != Some(0) && (!with_trait || traits[0].is_empty()));
                }
            }
            prop_assert!(claims.iter().all(|claim| *claim == chosen));
        }
    }
}

#[test]
fn all_users_who_could_be_meant_are_candidates() {
    let two = SlackProfile { enterprise_user_id: Some(SlackUserId::new("W0BOB")), ..bob() };
    let both = [("U0BOB", "bob"), ("W0BOB", "robert"), ("U0EVE", "eve")];
    assert_eq!(Candidates::named(&two, &mapping(&both, true, false)).names(), ["bob", "robert"]);
    let names = Candidates::named(&two, &mapping(&both[1..], false, true));
    assert_eq!(names.names(), ["bob@example.com", "robert"]);
    assert_eq!(Candidates::named(&bob(), &mapping(&[], false, false)).names(), Vec::<String>::new());
}

#[test]
fn the_accounts_of_a_user_are_found_by_each_link() {
    let links = mapping(&[("U0BOB", "bob"), ("W0BOB", "bob"), ("U0EVE", "eve")], true, false);
    let ids = |accounts: Vec<SlackUserId>| accounts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(links.explicit_accounts("bob").collect()), ["U0BOB", "W0BOB"]);
    assert_eq!(ids(links.explicit_accounts("Bob").collect()), [""; 0]);
    let carol = user("carol", &["U0CAROL", " ", "W0CAROL"]);
    assert_eq!(ids(links.trait_accounts(&carol).collect()), ["U0CAROL", "W0CAROL"]);
    let without = UserMapping { id_trait: None, ..links };
    assert_eq!(ids(without.trait_accounts(&carol).collect()), [""; 0]);
}

#[test]
fn only_the_full_list_resolves_an_ambiguous_name() {
    let called = |names: &[&str]| names.iter().map(|name| user(name, &[])).collect::<Vec<_>>();
    let open = |links: &UserMapping, found: &[&str]| {
        Candidates::named(&bob(), links).is_incomplete(&called(found), links)
    };
    let table = |email_match| mapping(&[("U0BOB", "bob")], false, email_match);
    let email = mapping(&[], false, true);
    let any_case = |links: UserMapping| UserMapping { ignore_email_case: true, ..links };
    assert!(!open(&table(false), &["bob"]), "the user in the table is there");
    assert!(
        open(&table(false), &["carol"]) && open(&table(false), &[]),
        "another user may have a similar name"
    );
    assert!(!open(&table(true), &["bob"]), "the table speaks, so the address does not matter");
    assert!(!open(&any_case(table(true)), &["bob"]));
    assert!(!open(&email, &["carol", "bob@example.com"]));
    assert!(open(&email, &["carol"]) && open(&email, &[]));
    assert!(open(&any_case(email), &["bob@example.com"]), "another user may fit as well");
    assert!(!open(&any_case(mapping(&[], false, false)), &[]), "no link leads to anybody");
}

#[test]
fn an_index_is_used_while_the_users_confirm_it() {
    let before = [user("bob", &["U0BOB"]), user("carol", &["U0CAROL"])];
    let confirmed = |links: &UserMapping, now: &[TeleportUser]| {
        UserIndex::new(&before, links).candidates(&bob(), links).are_confirmed_by(now, &bob(), links)
    };
    let by_trait = mapping(&[], true, true);
    let both = mapping(&[("U0BOB", "carol")], true, true);
    let table = mapping(&[("U0BOB", "carol")], false, true);
    assert!(confirmed(&by_trait, &before[..1]));
    assert!(confirmed(&by_trait, &[user("bob", &["U9", "U0BOB"])]));
    assert!(!confirmed(&by_trait, &[user("bob", &["U9"])]), "the trait names the account no more");
    assert!(!confirmed(&by_trait, &[]) && !confirmed(&by_trait, &before[1..]), "the user is gone");
    assert!(confirmed(&table, &before[1..]));
    assert!(!confirmed(&table, &before[..1]), "the user in the table is gone");
    assert!(confirmed(&both, &before));
    assert!(!confirmed(&both, &before[..1]) && !confirmed(&both, &before[1..]));
    // An address alone is no statement: the index could have missed a user that a trait names since.
    assert!(!confirmed(&mapping(&[], true, true), &[user("bob@example.com", &[])]));
    let unlinked = SlackProfile { id: SlackUserId::new("U0EVE"), ..bob() };
    let found = UserIndex::new(&before, &by_trait).candidates(&unlinked, &by_trait);
    assert!(!found.are_confirmed_by(&[user("bob@example.com", &[])], &unlinked, &by_trait));
}
