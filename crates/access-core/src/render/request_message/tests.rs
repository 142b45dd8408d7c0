use jiff::Timestamp;

use super::facts::{details, format_duration};
use super::*;
use crate::domain::ids::RequestId;
use crate::domain::request::Review;
use crate::domain::request::{Resource, sample};

/// What a reader sees: the texts of all blocks, one block after the other, and the fallback.
fn rendered_text(message: &Message) -> String {
    let json = serde_json::to_value(message).unwrap();
    let mut out = String::new();
    for block in json["blocks"].as_array().unwrap() {
        let texts = block["elements"].as_array().cloned().unwrap_or_else(|| vec![block["text"].clone()]);
        for (index, text) in texts.iter().enumerate() {
            let rule = if index == 0 { "--" } else { "|" };
            out += &format!("{rule} {}\n", text["text"].as_str().unwrap().trim_end_matches('\n'));
        }
    }
    out + "== " + message.text()
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn request() -> AccessRequest {
    AccessRequest {
        roles: vec!["admin".into(), "dba".into()],
        reason: "because *of* <prod> & more".into(),
        created: at("2026-11-22T15:59:50.4Z"),
        ..AccessRequest::pending(RequestId::new("768c814b-7765-414e-a77a-39cb9e0bc6a1"), "alice@example.com")
    }
}

fn view(request: &AccessRequest, status: Phase) -> MessageInput<'_> {
    MessageInput { request, phase: status, cluster: "local-site", edition: Edition::Community }
}

fn web(proxy: &str) -> Edition<'_> {
    Edition::Enterprise { web_proxy: Some(proxy) }
}

fn review(author: &str, proposed: RequestState) -> Review {
    Review { author: author.into(), proposed, reason: String::new(), created: None }
}

fn node(name: &str) -> Resource {
    Resource { cluster: "leaf".into(), kind: "node".into(), name: name.into(), sub_resource: String::new() }
}

/// Everything that a request of today's Teleport can say.
fn full_request() -> AccessRequest {
    let pod = Resource { kind: "pod".into(), sub_resource: "kube-system/etcd".into(), ..node("kube1") };
    AccessRequest {
        access_until: at("2026-11-24T20:00:00Z"),
        expires: at("2026-11-23T15:59:50Z"),
        assume_start: at("2026-11-22T16:00:00Z"),
        thresholds: vec![Threshold { name: String::new(), filter: String::new(), approve: 2, deny: 1 }],
        reviews: vec![
            review("bob@example.com", RequestState::Approved),
            review("bob@example.com", RequestState::Approved),
        ],
        resources: vec![node("db<1>"), pod],
        kind: RequestKind::ShortTerm,
        ..request()
    }
}

#[test]
fn pending_with_commands() {
    insta::assert_snapshot!(rendered_text(&request_message(&view(&request(), Phase::Pending))), @r"
    -- You have a new Role Request:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    *Reason*: because ∗of∗ &lt;prod&gt; &amp; more
    *Approve*: `tctl request approve 768c814b-7765-414e-a77a-39cb9e0bc6a1`
    *Deny*: `tctl request deny 768c814b-7765-414e-a77a-39cb9e0bc6a1`
    -- *Status:* ⏳ PENDING
    == ⏳ PENDING: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    ");
}

#[test]
fn pending_with_everything_and_a_link() {
    let request = full_request();
    let view =
        MessageInput { edition: web("https://teleport.example.com:443/"), ..view(&request, Phase::Pending) };
    insta::assert_snapshot!(rendered_text(&request_message(&view)), @r"
    -- You have a new Resource Request:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    *Reason*: because ∗of∗ &lt;prod&gt; &amp; more
    *Link*: <https://teleport.example.com/web/requests/768c814b-7765-414e-a77a-39cb9e0bc6a1>
    -- *Status:* ⏳ PENDING
    -- 1 of 2 approvals
    -- *Resources*: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf)
    *Access until*: <!date^1795550400^{date_short_pretty} {time}|24 Nov 26 20:00 UTC> (2 d 4 h)
    *Starts*: <!date^1795363200^{date_short_pretty} {time}|22 Nov 26 16:00 UTC>
    *Request expires*: <!date^1795449590^{date_short_pretty} {time}|23 Nov 26 15:59 UTC>
    *Kind*: temporary
    == ⏳ PENDING: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Resources: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    ");
}

#[test]
fn approved() {
    let mut request = AccessRequest { resolve_reason: "looks fine".into(), ..full_request() };
    request.reviews.push(review("carol@example.com", RequestState::Approved));
    request.reviews.push(review("dave@example.com", RequestState::Denied));
    let view = MessageInput { edition: web("teleport.example.com"), ..view(&request, Phase::Approved) };
    insta::assert_snapshot!(rendered_text(&request_message(&view)), @r"
    -- This Resource Request was approved:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    *Reason*: because ∗of∗ &lt;prod&gt; &amp; more
    *Link*: <https://teleport.example.com/web/requests/768c814b-7765-414e-a77a-39cb9e0bc6a1>
    -- *Status:* ✅ APPROVED (looks fine)
    -- Decided by bob@example.com, carol@example.com
    -- *Resources*: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf)
    *Access until*: <!date^1795550400^{date_short_pretty} {time}|24 Nov 26 20:00 UTC> (2 d 4 h)
    *Starts*: <!date^1795363200^{date_short_pretty} {time}|22 Nov 26 16:00 UTC>
    == ✅ APPROVED (looks fine): access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Resources: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    ");
}

#[test]
fn denied_by_many() {
    let mut request = AccessRequest { resolve_reason: "not today".into(), ..request() };
    request.reviews = (1..=8).map(|n| review(&format!("r{n}"), RequestState::Denied)).collect();
    insta::assert_snapshot!(rendered_text(&request_message(&view(&request, Phase::Denied))), @r"
    -- This Role Request was denied:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    *Reason*: because ∗of∗ &lt;prod&gt; &amp; more
    -- *Status:* ❌ DENIED (not today)
    -- Decided by r1, r2, r3, r4, r5, +3 more
    == ❌ DENIED (not today): access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    ");
}

#[test]
fn promoted() {
    let request = AccessRequest { promoted_to: Some("Prod <on-call>".into()), ..request() };
    insta::assert_snapshot!(rendered_text(&request_message(&view(&request, Phase::Promoted))), @r"
    -- This Role Request became membership of an access list:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    *Reason*: because ∗of∗ &lt;prod&gt; &amp; more
    -- *Status:* ⏫ PROMOTED
    -- To access list “Prod &lt;on-call&gt;”
    == ⏫ PROMOTED to access list “Prod &lt;on-call&gt;”: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    ");
    let request = AccessRequest { promoted_to: None, ..request };
    assert!(
        rendered_text(&request_message(&view(&request, Phase::Promoted)))
            .contains("-- *Status:* ⏫ PROMOTED\n")
    );
}

#[test]
fn expired_and_deleted() {
    let request = AccessRequest { reason: " \n".into(), ..full_request() };
    insta::assert_snapshot!(rendered_text(&request_message(&view(&request, Phase::Expired))), @r"
    -- This Resource Request has expired:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    -- *Status:* ⌛ EXPIRED
    -- *Resources*: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf)
    == ⌛ EXPIRED: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Resources: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf).
    ");
    insta::assert_snapshot!(rendered_text(&request_message(&view(&request, Phase::Deleted))), @r"
    -- This Resource Request was deleted in Teleport:
    -- *ID*: 768c814b-7765-414e-a77a-39cb9e0bc6a1
    *Cluster*: local-site
    *User*: alice@example.com
    *Role(s)*: admin,dba
    -- *Status:* ⌛ EXPIRED
    -- Deleted in Teleport before it was decided.
    -- *Resources*: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf)
    == ⌛ DELETED in Teleport before it was decided: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Resources: node db&lt;1&gt; (leaf), pod kube1/kube-system/etcd (leaf).
    ");
}

#[test]
fn long_term_is_decided_elsewhere() {
    // Such a request says when its access would end, which it does not.
    let access_until = at("2026-11-24T20:00:00Z");
    let request = AccessRequest { kind: RequestKind::LongTerm, access_until, ..request() };
    insta::assert_snapshot!(details(&view(&request, Phase::Pending), None).as_str(), @"*Kind*: permanent (long-term; decide it in Teleport's web UI)");
    assert!(details(&view(&request, Phase::Approved), None).is_empty());
    assert_eq!(
        headline(&view(&request, Phase::Pending)).as_str(),
        "You have a new Request for permanent access:"
    );
}

#[test]
fn votes_are_counted_only_where_the_count_is_certain() {
    #[track_caller]
    fn assert_progress(thresholds: &[(&str, u32, u32)], expected: &str) {
        let thresholds = thresholds.iter().map(|&(filter, approve, deny)| Threshold {
            name: String::new(),
            filter: filter.into(),
            approve,
            deny,
        });
        let request = AccessRequest {
            thresholds: thresholds.collect(),
            reviews: vec![review("bob", RequestState::Approved), review("dave", RequestState::Denied)],
            ..request()
        };
        assert_eq!(progress(&view(&request, Phase::Pending), None).as_str(), expected);
        assert!(progress(&view(&request, Phase::Approved), None).is_empty());
    }
    assert_progress(&[("", 2, 2)], "1 of 2 approvals, 1 of 2 denials");
    assert_progress(&[("", 3, 0)], "1 of 3 approvals");
    assert_progress(&[("", 1, 1)], "");
    assert_progress(&[], "");
    assert_progress(&[("", 2, 1), ("", 3, 1)], "");
    assert_progress(&[("equals(reviewer.traits.team, \"a\")", 2, 1)], "");
}

#[test]
fn an_id_that_is_no_plain_word_gets_no_command_and_no_link() {
    for id in ["", "-rf", "a b", "a;reboot", "$(reboot)", "a\nb", "a/../b", "ä", &"a".repeat(65)] {
        let request = AccessRequest { id: RequestId::new(id), ..request() };
        for edition in
            [Edition::Community, Edition::Enterprise { web_proxy: None }, web("teleport.example.com")]
        {
            let view = MessageInput { edition, ..view(&request, Phase::Pending) };
            let text = rendered_text(&request_message(&view)) + fallback_message(&view).text();
            assert!(!text.contains("tsh ") && !text.contains("tctl ") && !text.contains("https:"), "{text}");
        }
    }
}

#[test]
fn a_proxy_that_cannot_be_linked_leaves_the_commands() {
    for proxy in ["", "tele port", "https://a|b", "https://evil.example>"] {
        let request = request();
        let view = MessageInput { edition: web(proxy), ..view(&request, Phase::Pending) };
        assert_eq!(
            request_message(&view),
            request_message(&MessageInput { edition: Edition::Enterprise { web_proxy: None }, ..view })
        );
    }
}

#[test]
fn fallback_messages_have_no_blocks() {
    let request = request();
    let short = fallback_message(&view(&request, Phase::Pending));
    assert!(short.blocks().is_empty());
    insta::assert_snapshot!(short.text(), @r"
    ⏳ PENDING: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    *Approve*: `tctl request approve 768c814b-7765-414e-a77a-39cb9e0bc6a1`
    *Deny*: `tctl request deny 768c814b-7765-414e-a77a-39cb9e0bc6a1`
    ");
    let view = MessageInput { edition: web("teleport.example.com"), ..view(&request, Phase::Denied) };
    insta::assert_snapshot!(fallback_message(&view).text(), @r"
    ❌ DENIED: access request by alice@example.com for admin, dba on cluster local-site (ID 768c814b-7765-414e-a77a-39cb9e0bc6a1). Reason: because ∗of∗ &lt;prod&gt; &amp; more.
    *Link*: <https://teleport.example.com/web/requests/768c814b-7765-414e-a77a-39cb9e0bc6a1>
    ");
}

#[test]
fn lengths_in_words() {
    #[track_caller]
    fn assert_duration(until: &str, expected: Option<&str>) {
        let from = "2026-11-22T16:00:00Z".parse().unwrap();
        assert_eq!(format_duration(from, until.parse().unwrap()).as_deref(), expected);
    }
    assert_duration("2026-11-23T00:00:00Z", Some("8 h"));
    assert_duration("2026-11-22T23:59:59.9Z", Some("8 h"));
    assert_duration("2026-11-24T20:59:00Z", Some("2 d 4 h"));
    assert_duration("2026-11-24T16:30:00Z", Some("2 d"));
    assert_duration("2026-11-22T17:30:00Z", Some("1 h 30 min"));
    assert_duration("2026-11-22T16:45:10Z", Some("45 min"));
    assert_duration("2026-11-22T16:00:10Z", None);
    assert_duration("2026-11-22T15:00:00Z", None);
    assert!(format_duration(Timestamp::MIN, Timestamp::MAX).is_some());
}

#[test]
fn buttons_and_what_they_ask() {
    let request = AccessRequest { roles: (0..30).map(|n| format!("role-{n}")).collect(), ..request() };
    let view = MessageInput { edition: web("teleport.example.com"), ..view(&request, Phase::Pending) };
    let deciding =
        ReviewSection { controls: Controls::Buttons { confirm: true }, ..ReviewSection::default() };
    let json = serde_json::to_value(request_message_with_review(&view, &deciding)).unwrap();
    let row = json["blocks"].as_array().unwrap().last().unwrap();
    let texts: Vec<_> =
        row["elements"].as_array().unwrap().iter().map(|b| b["text"]["text"].clone()).collect();
    assert_eq!(texts, ["Approve", "Deny", "Open in Teleport"]);
    assert_eq!(row["elements"][0]["value"], request.id.as_str());
    assert_eq!(
        row["elements"][2]["url"],
        format!("https://teleport.example.com/web/requests/{}", request.id)
    );
    insta::assert_snapshot!(row["elements"][0]["confirm"]["text"]["text"].as_str().unwrap(), @r"alice@example.com gets: role-0, role-1, role-2, role-3, role-4, role-5, role-6, role-7, role-8, role-9, role-10, role-11, role-12, role-13, role-14, role-15, role-16, role-17, role-18, role-19, and more.");
    assert_eq!(row["elements"][1]["confirm"]["title"]["text"], "Deny this request?");
    assert!(row["elements"][2].get("confirm").is_none());
    // With everything decided there is nothing to press, and the rest is as ever.
    let decided = MessageInput { phase: Phase::Approved, ..view };
    assert_eq!(request_message_with_review(&decided, &deciding), request_message(&decided));
}

#[test]
fn reviewers_and_voters_are_named_together() {
    use crate::record::votes::{Votes, vote};
    let mut request = request();
    let mut votes = Votes::default();
    for (user, decision) in [("carol", Decision::Deny), ("bob", Decision::Approve)] {
        assert!(votes.push(&vote(user, decision)));
    }
    let line = |request: &AccessRequest, phase, votes: &Votes| {
        deciders(&view(request, phase), Some(votes)).as_str().to_owned()
    };
    assert_eq!(line(&request, Phase::Approved, &votes), "", "they have not decided");
    votes.mark_decided("bob");
    assert_eq!(line(&request, Phase::Approved, &votes), "Decided by bob in Slack");
    assert_eq!(line(&request, Phase::Denied, &votes), "");
    request.reviews = vec![review("dave", RequestState::Approved), review("bob", RequestState::Approved)];
    assert_eq!(line(&request, Phase::Approved, &votes), "Decided by dave, bob");
}

#[test]
fn a_message_without_buttons_says_why_and_names_no_user() {
    let request = request();
    let pending = view(&request, Phase::Pending);
    let said = |why| {
        let deciding = ReviewSection { controls: Controls::Link(why), ..ReviewSection::default() };
        let json = serde_json::to_value(request_message_with_review(&pending, &deciding)).unwrap();
        json["blocks"][3]["elements"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    let all = [
        NoButtons::SelfReview,
        NoButtons::UnknownRecipient,
        NoButtons::NoMatchingRule { role: "prod-*" },
        NoButtons::NoRole,
        NoButtons::NoSuggestedReviewer,
        NoButtons::NotPossible,
        NoButtons::TeleportOnly,
        NoButtons::LongTerm,
    ];
    insta::assert_snapshot!(all.map(said).join("\n"), @r"
    No buttons: this is your own request; somebody else must decide it.
    No buttons: it is not known whose direct message this is; if you did not ask for it, decide it in Teleport.
    No buttons: no rule lets anybody decide on role “prod-∗” in Slack; decide it in Teleport.
    No buttons: the request names no role, so no rule applies to it; decide it in Teleport.
    No buttons: only suggested reviewers may decide in Slack, and this request has none; decide it in Teleport.
    No buttons: nobody can decide in Slack; decide it in Teleport.
    No buttons: the rules leave this request to Teleport; decide it there.
    ");
    // A decided request asks for no decision.
    let decided = view(&request, Phase::Denied);
    let deciding =
        ReviewSection { controls: Controls::Link(NoButtons::TeleportOnly), ..ReviewSection::default() };
    assert_eq!(request_message_with_review(&decided, &deciding), request_message(&decided));
}

#[test]
fn reviewers_of_an_enterprise_cluster_without_an_address_get_commands() {
    let request = request();
    let view =
        MessageInput { edition: Edition::Enterprise { web_proxy: None }, ..view(&request, Phase::Pending) };
    let lines = request_lines(&view);
    let commands: Vec<_> = lines.as_str().lines().skip(5).collect();
    assert_eq!(
        commands,
        [
            "*Approve*: `tsh request review --approve 768c814b-7765-414e-a77a-39cb9e0bc6a1`",
            "*Deny*: `tsh request review --deny 768c814b-7765-414e-a77a-39cb9e0bc6a1`",
        ]
    );
}

#[test]
fn a_reason_of_something_that_was_not_decided_is_not_shown() {
    let request = AccessRequest { resolve_reason: "taken back".into(), ..request() };
    for phase in [Phase::Pending, Phase::Expired, Phase::Deleted] {
        assert!(!rendered_text(&request_message(&view(&request, phase))).contains("taken back"));
    }
}

#[test]
fn a_cluster_name_is_read_back_as_it_was_shown() {
    let forged = "x\n*Cluster*: forged";
    let long = "x".repeat(9_000);
    let signs = "<&>".repeat(90);
    for name in [
        "one.example.com",
        "<&>",
        "&lt;",
        "*one* _two_",
        "a\n*Cluster*: b",
        "*Cluster*: c",
        "🔥",
        &long,
        &signs,
    ] {
        let request = AccessRequest {
            user: forged.to_owned(),
            reason: forged.to_owned(),
            roles: vec![forged.to_owned()],
            ..sample()
        };
        let view = MessageInput {
            request: &request,
            phase: Phase::Pending,
            cluster: name,
            edition: Edition::Community,
        };
        let message = serde_json::to_value(request_message(&view)).unwrap();
        let own = shown_cluster(name);
        assert_eq!(ShownCluster::read(&message), Some(own.clone()), "{name}");
        assert!(own.as_str().chars().count() <= MAX_CLUSTER, "{name}");
        // Through a modal and back.
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<ShownCluster>(&text).unwrap(), own);
    }
    assert_eq!(shown_cluster("one.example.com").as_str(), "one.example.com");
    assert_eq!(shown_cluster("a&b").as_str(), "a&b");
}
