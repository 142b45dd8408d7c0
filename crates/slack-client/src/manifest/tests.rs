use insta::assert_snapshot;

use super::*;

/// Everything on, over Socket Mode.
fn full() -> Features {
    Features {
        channels: true,
        channel_ids: true,
        user_groups: true,
        interactivity: Some(Interactivity::SocketMode),
    }
}

fn over_http(url: &str) -> Features {
    Features { interactivity: Some(Interactivity::RequestUrl(url.to_owned())), ..Features::default() }
}

#[test]
fn each_feature_adds_its_scopes_and_no_others() {
    let least = ["chat:write", "users:read", "users:read.email", "im:history", "im:write"];
    for (features, added) in [
        (Features::default(), &[][..]),
        (Features { channels: true, ..Features::default() }, &["channels:read", "channels:history"]),
        (
            Features { channels: true, channel_ids: true, ..Features::default() },
            &["channels:read", "channels:history", "groups:read", "groups:history"],
        ),
        (Features { user_groups: true, ..Features::default() }, &["usergroups:read"]),
        (over_http("https://a.example/"), &[]),
    ] {
        let (mut all, optional) = scopes(&features);
        all.sort_unstable();
        let mut expected = [&least[..], added].concat();
        expected.sort_unstable();
        assert_eq!(all, expected, "{features:?}");
        // What is missed without a scope of these is named in the log.
        for scope in &optional {
            assert!(
                scope.ends_with(":history") || scope.starts_with("im:") || scope.contains("s:read"),
                "{scope}"
            );
        }
        for scope in ["chat:write", "users:read", "users:read.email", "usergroups:read"] {
            assert!(!optional.contains(&scope), "{scope}");
        }
    }
}

#[test]
fn every_manifest_keeps_the_rules() {
    for channels in [false, true] {
        for user_groups in [false, true] {
            for interactivity in [
                None,
                Some(Interactivity::SocketMode),
                Some(Interactivity::RequestUrl("https://a.example/slack/interactivity".to_owned())),
            ] {
                let features = Features { channels, channel_ids: channels, user_groups, interactivity };
                assert_eq!(violations(&manifest(&features)), [], "{features:?}");
            }
        }
    }
}

#[test]
fn each_rule_is_broken_by_something() {
    let long = |length: usize| json!("a".repeat(length));
    let scopes = |list: &[&str]| json!(list);
    let many: Vec<String> = (0..256).map(|n| format!("chat:write.{n}")).collect();
    let socket_and_url = json!({ "is_enabled": true, "request_url": "https://a.example/" });
    for (pointer, value) in [
        ("/extra", json!(1)),
        ("/display_information/extra", json!(1)),
        ("/features/slash_commands", json!([])),
        ("/features/bot_user/extra", json!(1)),
        ("/features/app_home/extra", json!(1)),
        ("/oauth_config/scopes/user", json!([])),
        ("/settings/event_subscriptions", json!({})),
        ("/_metadata/major_version", json!(3)),
        ("/display_information/name", long(36)),
        ("/display_information/description", long(141)),
        ("/features/bot_user/display_name", json!("")),
        ("/features/app_home/messages_tab_enabled", json!(false)),
        ("/oauth_config/scopes/bot", json!(many)),
        ("/oauth_config/scopes/bot", scopes(&["im:write", "im:history"])),
        ("/oauth_config/scopes/bot", scopes(&["chat:write", "users:read.email"])),
        ("/oauth_config/scopes/bot", scopes(&["chat:write", "connections:write"])),
        ("/oauth_config/scopes/bot", scopes(&["chat:write", "chat:write"])),
        ("/oauth_config/scopes/bot", scopes(&["chat:write", &"a".repeat(51)])),
        ("/oauth_config/scopes/bot_optional", scopes(&["chat:write.public"])),
        ("/settings/interactivity", json!({ "is_enabled": "yes" })),
        ("/settings/interactivity", socket_and_url),
        ("/settings/interactivity", json!({ "is_enabled": false })),
        ("/settings/token_rotation_enabled", json!(true)),
    ] {
        let mut broken = manifest(&full());
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        broken.pointer_mut(parent).unwrap()[key] = value.clone();
        let found = violations(&broken);
        assert!(!found.is_empty(), "{pointer} {value}");
        // The place is the key or, for a key that should not be there, what holds it; or a list that depends on it.
        let is_near = |one: &Violation| {
            one.pointer == pointer
                || one.pointer == parent
                || one.pointer == "/oauth_config/scopes/bot_optional"
        };
        assert!(found.iter().all(is_near), "{pointer} {value}: {found:?}");
    }
    let endless = format!("https://a.example/{}", "a".repeat(3_500));
    for url in ["http://a.example/", "https://", "https://a.example/ b", endless.as_str()] {
        assert_eq!(violations(&manifest(&over_http(url))).len(), 1, "{url}");
    }
    assert!(violations(&Value::Null).len() > 10);
}

#[test]
fn the_manifest_as_people_paste_it() {
    assert_snapshot!(to_yaml(&manifest(&full())), @r#"
    _metadata:
      major_version: 1
    display_information:
      description: "Shows Teleport access requests and keeps the messages up to date"
      name: "Teleport"
    features:
      app_home:
        home_tab_enabled: false
        messages_tab_enabled: true
        messages_tab_read_only_enabled: true
      bot_user:
        always_online: true
        display_name: "Teleport"
    oauth_config:
      scopes:
        bot:
          - "chat:write"
          - "users:read"
          - "users:read.email"
          - "usergroups:read"
          - "channels:read"
          - "groups:read"
          - "channels:history"
          - "groups:history"
          - "im:history"
          - "im:write"
        bot_optional:
          - "channels:read"
          - "groups:read"
          - "channels:history"
          - "groups:history"
          - "im:history"
          - "im:write"
    settings:
      interactivity:
        is_enabled: true
      org_deploy_enabled: false
      socket_mode_enabled: true
      token_rotation_enabled: false
    "#);
    let settings = &manifest(&over_http("https://a.example/x"))["settings"];
    assert_snapshot!(settings, @r#"{"interactivity":{"is_enabled":true,"request_url":"https://a.example/x"},"org_deploy_enabled":false,"socket_mode_enabled":false,"token_rotation_enabled":false}"#);
}

#[test]
fn yaml_takes_no_text_for_something_else() {
    let value = json!({
        "no": "yes", "a": {}, "b": [], "c": [["x"], { "d": null }], "E e": "a: b # c", "f": "1\n2", "": 1.5, "é": "\u{7}",
    });
    assert_snapshot!(to_yaml(&value), @r#"
    "": 1.5
    "E e": "a: b # c"
    a: {}
    b: []
    c:
      -
        - "x"
      -
        d: null
    f: "1\n2"
    "no": "yes"
    "é": "\u0007"
    "#);
    assert_eq!(to_yaml(&json!("a")), "\"a\"\n");
    assert_eq!(to_yaml(&json!({})), "{}\n");
}
