//! Whose message an address is.

use super::*;
use crate::domain::ids::SlackUserId;
use crate::record::outcome::user_behind;

#[test]
fn an_address_is_one_recipients_alone() {
    let bob = RecipientKey::new("bob@example.com");
    let delivered = delivery(Some(bob.as_str()), "D0BOB", Some(Phase::Pending), 0);
    let (channel, ts) = (delivered.channel.clone(), delivered.ts.clone());
    let record = Record { deliveries: vec![delivered], ..Record::default() };
    assert!(record.accepts(&bob, &channel, &ts), "again");
    assert!(!record.accepts(&RecipientKey::new("U0CAROL"), &channel, &ts), "Slack's answer is wrong");
    assert!(record.accepts(&RecipientKey::new("U0CAROL"), &ChannelId::new("D0CAROL"), &ts));
}

#[test]
fn the_account_is_kept_where_another_name_led_to_it() {
    let behind = |destination: &str, name: &str| user_behind(destination, &RecipientKey::new(name));
    assert_eq!(behind("U0BOB", "bob@example.com"), Some(SlackUserId::new("U0BOB")));
    assert_eq!(behind("U0BOB", "U0BOB"), None, "the name says it");
    assert_eq!(behind("C0DBA", "dba-approvers"), None, "no account");
    assert_eq!(behind("dba-approvers", "dba-approvers"), None);
}
