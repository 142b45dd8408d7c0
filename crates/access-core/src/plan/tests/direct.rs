//! Recipients by the id of their direct message (`D…`).

use super::*;

fn to(post_to: &str, keys: &[&str]) -> Destination {
    Destination {
        post_to: post_to.to_owned(),
        recipient_keys: keys.iter().map(|key| RecipientKey::new(*key)).collect(),
    }
}

/// Posts to these destinations. Returns whether each message, as posted and as updated later, has buttons.
fn have_buttons(destinations: Vec<Destination>) -> Vec<bool> {
    let mut fixture = Fixture { destinations, mode: Some(Mode::Reviewer), ..Fixture::new(&[]) };
    let has_buttons = |message: &Message| {
        let blocks = serde_json::to_string(message.blocks()).unwrap();
        assert_ne!(
            blocks.contains("\"button\""),
            blocks.contains("it is not known whose direct message this is")
        );
        blocks.contains("\"button\"")
    };
    let posted = fixture.plan();
    let posted = posted.operations.iter().map(|(_, steps)| match &steps[..] {
        [Step::Post { message, .. }] => has_buttons(message),
        other => panic!("{other:?}"),
    });
    let posted: Vec<_> = posted.collect();
    fixture.run_pass(|_| false);
    fixture.assert_pass(&[]);
    posted
}

#[test]
fn a_direct_message_of_an_unknown_person_has_no_buttons() {
    assert_eq!(have_buttons(vec![to("D0ERIN", &["D0ERIN"])]), [false], "it may be the requester's");
    assert_eq!(have_buttons(vec![to("U0ERIN", &["D0ERIN"])]), [true], "another person's");
    assert_eq!(
        have_buttons(vec![to("U0ERIN", &["U0ERIN", "D0ERIN"]), to("D0BOB", &["D0BOB"])]),
        [true, false]
    );
}

#[test]
fn a_person_who_has_a_message_gets_no_second_one_by_the_id_of_the_direct_message() {
    let posted = |key: &str, user: Option<&str>| {
        let mut fixture = Fixture::new(&[]);
        fixture.record.apply(&Outcome::Posted {
            key: RecipientKey::new(key),
            channel: ChannelId::new("D0ERIN"),
            ts: MessageTs::new("1.1"),
            displayed: None,
            user: user.map(crate::domain::ids::SlackUserId::new),
        });
        fixture
    };
    for (fixture, next) in [
        // Whether Slack shows whose it is, or not.
        (posted("U0ERIN", None), to("D0ERIN", &["D0ERIN"])),
        (posted("U0ERIN", None), to("U0ERIN", &["D0ERIN"])),
        (posted("erin@example.com", Some("U0ERIN")), to("D0ERIN", &["D0ERIN"])),
        (posted("D0ERIN", Some("U0ERIN")), to("U0ERIN", &["erin@example.com"])),
        (posted("D0ERIN", None), to("D0ERIN", &["D0ERIN"])),
    ] {
        let fixture = Fixture { destinations: vec![next.clone()], ..fixture };
        assert_eq!(fixture.plan().posts().count(), 0, "{next:?}");
    }
}
