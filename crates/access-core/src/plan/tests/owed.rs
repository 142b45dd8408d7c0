//! Who is owed the message of a decided request, under the names of before and of now.

use super::*;

fn keys(names: &[&str]) -> Vec<RecipientKey> {
    names.iter().map(|name| RecipientKey::new(*name)).collect()
}

/// The recipients `names`, each with where it leads; a name without a place is looked up.
fn with_places(fixture: &Fixture, names: &[(&str, Option<&str>)]) -> Fixture {
    let recipient = |name: &str| Recipient::parse(name).unwrap();
    let mut fixture = fixture.clone();
    fixture.recipients.recipients = names.iter().map(|(name, _)| recipient(name)).collect();
    let place = |(name, place): &(&str, Option<&str>)| {
        Some(Destination { post_to: (*place)?.to_owned(), recipient_keys: vec![recipient(name).key()] })
    };
    fixture.destinations = names.iter().filter_map(place).collect();
    fixture
}

/// A request that was approved while Slack refused the message to `late`, a minute ago.
fn decided_without(late: (&str, Option<&str>), known_ids: &[(&str, &str)]) -> Fixture {
    let key = Recipient::parse(late.0).unwrap().key();
    let mut fixture = with_places(&Fixture::new(&[]), &[("#team", Some("team")), late]);
    let fails = |operation: &Operation| *operation == Operation::Post(key.clone());
    assert_eq!(fixture.run_pass(fails), ["post to team: Pending"]);
    fixture.set_state(RequestState::Approved);
    fixture.know(known_ids);
    assert_eq!(fixture.run_pass(fails).len(), 1, "the update");
    fixture.now += SignedDuration::from_mins(1);
    fixture
}

impl Fixture {
    fn know(&mut self, known_ids: &[(&str, &str)]) {
        self.known_ids = KnownIds::default();
        known_ids.iter().for_each(|(name, id)| self.known_ids.insert(RecipientKey::new(*name), id));
    }

    fn reason_for(&self, key: &str) -> Option<SkipReason> {
        let operation = Some(Operation::Post(RecipientKey::new(key)));
        self.plan()
            .skipped
            .iter()
            .find(|skipped| skipped.operation == operation)
            .map(|skipped| skipped.reason)
    }
}

/// A name and where it leads.
type Place = (&'static str, Option<&'static str>);
/// Names and their ids.
type Ids = &'static [(&'static str, &'static str)];

#[test]
fn a_recipient_is_owed_a_message_under_any_name_that_leads_there() {
    const CAROL: Ids = &[("carol@example.com", "U0CAROL")];
    const DBA: Ids = &[("#dba", "C0DBA")];
    let id = ("U0CAROL", Some("U0CAROL"));
    let address = ("carol@example.com", Some("U0CAROL"));
    let not_found = ("carol@example.com", None);
    const DIRECT: Ids = &[("D0CAROL", "U0CAROL")];
    let direct = ("D0CAROL", Some("U0CAROL"));
    let table: [(Place, Ids, Place, Ids); 12] = [
        (direct, &[], address, &[]),
        (id, &[], direct, &[]),
        (("D0CAROL", Some("D0CAROL")), &[], id, DIRECT),
        (id, &[], address, &[]),
        (address, &[], id, &[]),
        (not_found, &[], id, CAROL),
        // The decision was noted while the name was known, and now it is not.
        (not_found, CAROL, id, &[]),
        (("#dba", Some("dba")), &[], ("C0DBA", Some("C0DBA")), DBA),
        (("#dba", Some("dba")), DBA, ("C0DBA", Some("C0DBA")), &[]),
        (("#dba", Some("C0DBA")), &[], ("C0DBA", Some("C0DBA")), &[]),
        (("C0DBA", Some("C0DBA")), &[], ("#dba", Some("dba")), DBA),
        (("C0DBA", Some("C0DBA")), &[], ("#dba", Some("C0DBA")), &[]),
    ];
    for (before, known_then, after, known_now) in table {
        let case = format!("{before:?} {after:?}");
        let mut fixture = decided_without(before, known_then);
        // Out of the configuration for a while, and the daemon notes nothing about it.
        let mut without = with_places(&fixture, &[("#team", Some("team"))]);
        assert!(without.run_pass(|_| false).is_empty(), "{case}");
        assert_eq!(without.record, fixture.record, "{case}");
        fixture = with_places(&without, &[("#team", Some("team")), after, ("C0NEW", Some("C0NEW"))]);
        fixture.know(known_now);
        let reason = fixture.reason_for("C0NEW");
        assert!(matches!(reason, Some(SkipReason::DecidedBefore | SkipReason::OwedUnclear)), "{case}");
        let posted = fixture.run_pass(|_| false);
        assert_eq!(posted, [format!("post to {}: Approved", after.1.unwrap())], "{case}");
        fixture.assert_pass(&[]);
    }
}

#[test]
fn the_record_says_when_all_have_their_message_under_whichever_name() {
    let mut fixture = decided_without(("carol@example.com", Some("U0CAROL")), &[]);
    assert_eq!(fixture.record.owed, Some(keys(&["carol@example.com", "U0CAROL"])));
    fixture = with_places(&fixture, &[("#team", Some("team")), ("U0CAROL", Some("U0CAROL"))]);
    fixture.know(&[("carol@example.com", "U0CAROL")]);
    fixture.assert_pass(&["post to U0CAROL: Approved"]);
    assert!(fixture.plan().owed.is_some());
    fixture.assert_pass(&[]);
    assert_eq!(fixture.record.owed, Some(vec![]));
}

#[test]
fn where_names_are_not_known_the_plan_says_that_it_is_unclear_and_posts_nothing() {
    let unclear = Some(SkipReason::OwedUnclear);
    for (before, after, other) in [
        (("#dba", Some("dba")), "C0DBA", "U0NEW"),
        (("C0DBA", Some("C0DBA")), "#dba", "U0NEW"),
        (("carol@example.com", None), "U0CAROL", "C0NEW"),
        (("U0CAROL", Some("U0CAROL")), "carol@example.com", "C0NEW"),
    ] {
        let place = (!after.contains('@')).then_some(after.trim_start_matches('#'));
        let fixture = decided_without(before, &[]);
        let mut later = with_places(&fixture, &[(after, place), (other, Some(other))]);
        assert!(later.run_pass(|_| false).is_empty());
        assert_eq!(
            (later.reason_for(after), later.reason_for(other)),
            (unclear, Some(SkipReason::DecidedBefore))
        );
        // It is known to be another one.
        later.know(&[
            ("#other", "C0DBA"),
            ("other@example.com", "U0CAROL"),
            ("#dba", "C0OTHER"),
            ("carol@example.com", "U0OTHER"),
        ]);
        assert_eq!(later.reason_for(after), Some(SkipReason::DecidedBefore), "{after}");
        // The name of then is a recipient beside it, and gets the message itself.
        let both = with_places(&fixture, &[(after, place), before]);
        assert_eq!(both.reason_for(after), Some(SkipReason::DecidedBefore), "{after}");
    }
}
