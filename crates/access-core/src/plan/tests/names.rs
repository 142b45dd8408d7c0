//! Which posts wait for others, and under which name a post is made again.

use super::*;

fn post(name: &str) -> Operation {
    Operation::Post(RecipientKey::new(name))
}

#[test]
fn posts_to_channels_wait_for_names_that_are_tried_within_five_seconds() {
    let mut fixture = Fixture::new(&["team", "C0DBA"]);
    assert!(fixture.plan().waits_for_names);
    for (seconds, waits) in [(0, true), (5, true), (6, false)] {
        fixture.retry_at.insert(post("team"), fixture.now + SignedDuration::from_secs(seconds));
        assert_eq!(fixture.plan().waits_for_names, waits, "{seconds} s");
    }
    let mut names_alone = Fixture::new(&["team", "ops"]);
    assert!(!names_alone.plan().waits_for_names);
    names_alone.destinations.pop();
    assert!(!names_alone.plan().waits_for_names);
}

#[test]
fn a_name_that_leads_elsewhere_by_now_makes_no_post_again() {
    let mut fixture = Fixture::new(&["U0BOB", "W0BOB"]);
    // The name of the post in doubt leads to the other account now.
    fixture.destinations[0].recipient_keys = vec![RecipientKey::new("bob@example.com")];
    fixture.destinations[1].recipient_keys = vec![RecipientKey::new("U0BOB")];
    let in_doubt = InDoubtPost::new(post("U0BOB"), "U0BOB".into(), fixture.now, fixture.now);
    fixture.record.in_doubt.push(InDoubtPost { may_retry: true, ..in_doubt });
    let plan = fixture.plan();
    let mut posts: Vec<_> = plan.posts().collect();
    posts.sort();
    assert_eq!(posts, [(post("U0BOB"), "W0BOB".to_owned()), (post("bob@example.com"), "U0BOB".to_owned())]);
}

/// What Slack answers to a post to a channel's name: the channel's id.
fn posted(key: &str, ts: &str) -> Outcome {
    let displayed = Some(DisplayedState { phase: Phase::Pending, digest: "0".into() });
    let (channel, ts) = (ChannelId::new("C0DBA"), MessageTs::new(ts));
    Outcome::Posted { key: RecipientKey::new(key), channel, ts, displayed, user: None }
}

fn lead_to(fixture: &mut Fixture, post_to: &str, key: &str) {
    fixture.destinations =
        vec![Destination { post_to: post_to.to_owned(), recipient_keys: vec![RecipientKey::new(key)] }];
}

#[test]
fn a_channel_has_one_message_by_its_id_and_by_a_name_that_is_not_looked_up() {
    let mut fixture = Fixture::new(&[]);
    lead_to(&mut fixture, "C0DBA", "C0DBA");
    fixture.record.apply(&posted("C0DBA", "1.0"));
    fixture.assert_pass(&["update C0DBA: Pending"]);
    // Slack does not say which channel the name is: a post does.
    lead_to(&mut fixture, "dba", "#dba");
    assert_eq!(fixture.plan().posts().collect::<Vec<_>>(), [(post("#dba"), "dba".to_owned())]);
    fixture.record.apply(&posted("#dba", "2.0"));
    fixture.assert_pass(&["update C0DBA: Pending", "delete 2.0 in C0DBA"]);
    // The record knows the channel by either now, also where nothing else does.
    fixture.assert_pass(&[]);
    lead_to(&mut fixture, "C0DBA", "C0DBA");
    fixture.assert_pass(&[]);
    let left: Vec<_> = fixture.record.deliveries.iter().map(|d| (d.ts.as_str(), d.key.as_ref())).collect();
    assert_eq!(left, [("1.0", Some(&RecipientKey::new("#dba")))]);
}

#[test]
fn a_message_that_slack_placed_elsewhere_is_no_second_one() {
    let mut fixture = Fixture::new(&[]);
    fixture.destinations = Vec::new();
    fixture.record.apply(&posted("C0OTHER", "1.0"));
    fixture.record.apply(&posted("C0DBA", "2.0"));
    fixture.record.apply(&posted("U0BOB", "3.0"));
    fixture.assert_pass(&["update C0DBA: Pending"; 3]);
}
