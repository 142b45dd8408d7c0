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
