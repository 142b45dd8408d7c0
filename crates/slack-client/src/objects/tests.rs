use serde_json::json;

use super::*;

fn fields(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}

/// A person with an id and nothing else.
fn bare(id: &str) -> SlackProfile {
    SlackProfile::bare(SlackUserId::new(id))
}

#[test]
fn a_full_user_is_read() {
    let answer = json!({"ok": true, "user": {
        "id": "U1", "team_id": "T1", "name": "bob", "real_name": "Bob B", "deleted": false, "is_bot": false,
        "is_restricted": true, "is_email_confirmed": true, "updated": 1, "color": {"un": "known"},
        "enterprise_user": {"id": "W1", "enterprise_id": "E1", "teams": ["T1"]},
        "profile": {"email": "bob@example.com", "real_name": "Other"},
    }});
    let expected = SlackProfile {
        team_id: Some("T1".into()),
        enterprise_id: Some("E1".into()),
        enterprise_user_id: Some(SlackUserId::new("W1")),
        name: Some("Other".into()),
        email: Some("bob@example.com".into()),
        is_restricted: true,
        is_email_confirmed: Some(true),
        ..bare("U1")
    };
    assert_eq!(user(&fields(answer)).unwrap(), expected);
}

#[test]
fn absent_null_and_retyped_fields_are_not_in_the_way() {
    let optional = [
        "team_id",
        "enterprise_user",
        "name",
        "real_name",
        "profile",
        "deleted",
        "is_bot",
        "is_restricted",
        "is_ultra_restricted",
        "is_stranger",
        "is_invited_user",
        "is_workflow_bot",
        "is_connector_bot",
        "is_email_confirmed",
    ];
    for value in [json!(null), json!(0), json!(7), json!("x"), json!([]), json!({}), json!(true)] {
        for key in optional {
            let answer = json!({"user": {"id": "U1", key: value}});
            let user = user(&fields(answer)).unwrap();
            assert_eq!(user.id.as_str(), "U1", "{key}: {value}");
        }
    }
    assert_eq!(user(&fields(json!({"user": {"id": "U1"}}))).unwrap(), bare("U1"));
    let nulls = json!({"user": {"id": "U1", "deleted": null, "is_bot": 0, "profile": null, "name": null}});
    assert_eq!(user(&fields(nulls)).unwrap(), bare("U1"));
    let email = json!({"user": {"id": "U1", "profile": {"email": ""}}});
    assert_eq!(user(&fields(email)).unwrap(), bare("U1"));
}

#[test]
fn unreadable_flags_count_against_the_user() {
    let answer = json!({"user": {"id": "U1", "deleted": "no", "is_bot": 1, "is_stranger": {},
        "is_email_confirmed": "yes"}});
    let expected = SlackProfile {
        deleted: true,
        is_bot: true,
        is_stranger: true,
        is_email_confirmed: Some(false),
        ..bare("U1")
    };
    assert_eq!(user(&fields(answer)).unwrap(), expected);
}

#[test]
fn an_answer_without_usable_ids_is_unreadable() {
    let bad = [
        json!({}),
        json!({"channel": "C1"}),
        json!({"channel": "C1", "ts": 17}),
        json!({"channel": null, "ts": "1.2"}),
        json!({"channel": "", "ts": "1.2"}),
        json!({"channel": "C1,C2/1.2", "ts": "1.2"}),
        json!({"channel": "C1", "ts": "1.2\n"}),
        json!({"channel": "C1", "ts": "1".repeat(65)}),
    ];
    for answer in bad {
        assert!(posted(&fields(answer.clone())).is_err(), "{answer}");
    }
    for answer in [json!({}), json!({"user": []}), json!({"user": {}}), json!({"user": {"id": 1}})] {
        assert!(user(&fields(answer.clone())).is_err(), "{answer}");
    }
    for answer in [json!({}), json!({"channel": "C1"}), json!({"channel": {"name": "x"}})] {
        assert!(conversation(&fields(answer.clone())).is_err(), "{answer}");
    }
    for answer in [json!({"user_id": "U1"}), json!({"team_id": "T1"}), json!({"team_id": 1, "user_id": "U1"})]
    {
        assert!(auth_test(&fields(answer.clone()), &HeaderMap::new()).is_err(), "{answer}");
    }
}

#[test]
fn a_conversation_is_read_and_huge_text_is_dropped() {
    let answer = json!({"channel": {"id": "C1", "name": "n".repeat(1_001), "is_member": false,
        "is_ext_shared": "maybe", "is_private": true}});
    let expected = Conversation {
        id: ChannelId::new("C1"),
        name: String::new(),
        is_member: Some(false),
        is_archived: false,
        is_frozen: false,
        is_ext_shared: true,
        is_private: true,
    };
    assert_eq!(conversation(&fields(answer)).unwrap(), expected);
}
