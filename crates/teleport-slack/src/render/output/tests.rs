use std::collections::BTreeSet;

use access_core::domain::ids::RequestId;
use access_core::domain::request::{
    AccessRequest, RequestState, Resource, Review as TeleportReview, Threshold,
};
use access_core::domain::role_pattern::RolePattern;
use access_core::policy::{Approver, Mode, ReasonPolicy, Rule, Rules};
use access_core::record::Record;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::strategy::Strategy as _;
use serde_json::Value;

use super::*;
use crate::check::output::Style;
use crate::render::items::Review;
use crate::render::limits;

const NOW: &str = "2027-01-15T08:30:00Z";

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn request() -> AccessRequest {
    AccessRequest {
        roles: vec!["dba".into(), "prod".into()],
        reason: "nightly *restore* of <prod> & more".into(),
        created: at("2027-01-15T08:00:00Z"),
        access_until: at("2027-01-15T16:00:00Z"),
        expires: at("2027-01-16T08:00:00Z"),
        thresholds: vec![Threshold { name: String::new(), filter: String::new(), approve: 2, deny: 1 }],
        reviews: vec![TeleportReview {
            author: "carol@example.com".into(),
            proposed: RequestState::Approved,
            reason: "fine with me".into(),
            created: at("2027-01-15T08:10:00Z"),
        }],
        resources: vec![Resource {
            cluster: "example.com".into(),
            kind: "node".into(),
            name: "db-1".into(),
            sub_resource: String::new(),
        }],
        ..AccessRequest::pending(RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"), "alice@example.com")
    }
}

fn subject(request: AccessRequest, reason: ReasonPolicy) -> Subject {
    let rule = Rule {
        roles: vec![RolePattern::parse("*").unwrap()],
        approvers: vec![Approver::User("bob@example.com".into())],
        approvals: 2,
        denials: 1,
        reason,
        confirm: true,
        teleport_only: false,
    };
    Subject {
        request,
        is_listed: true,
        record: Record::default(),
        cluster: "example.com".into(),
        is_enterprise: true,
        web_proxy: Some("teleport.example.com:443".into()),
        review: Some(Review { mode: Some(Mode::Resolver), rules: Rules(vec![rule]) }),
        now: NOW.parse().unwrap(),
    }
}

fn drawn(subject: &Subject, phases: &[Phase], audiences: &[Audience], style: Style, width: usize) -> String {
    let found = subject.items(phases, audiences);
    let reader = Reader { zone: TimeZone::UTC, now: subject.now };
    let page = Page { subject, found: &found, judgments: None };
    page.text(Canvas { style, width, out: String::new() }, &reader)
}

const PLAIN: Style = Style { color: false, unicode: true };

#[test]
fn a_pending_request_is_drawn_with_its_buttons_and_the_modal() {
    let subject = subject(request(), ReasonPolicy::Required);
    let text = drawn(&subject, &[Phase::Pending], &[Audience::Channel, Audience::Modal], PLAIN, 72);
    insta::assert_snapshot!(text);
}

#[test]
fn colors_say_nothing_that_the_text_does_not() {
    let subject = subject(request(), ReasonPolicy::Optional);
    let of = |style| drawn(&subject, &[Phase::Pending], &[Audience::Channel, Audience::Modal], style, 60);
    let colored = of(Style { color: true, unicode: true });
    insta::assert_snapshot!(colored.escape_debug().to_string().replace("\\n", "\n"));
    let without_codes = |line: &str| {
        let mut parts = line.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| part.split_once('m').map_or("", |(_, text)| text));
        (first + &rest.collect::<String>()).trim_end().to_owned()
    };
    let bare: Vec<_> = colored.lines().map(without_codes).collect();
    // Without colors, ticks stand where the color of a command would; here there is a link instead.
    assert_eq!(bare, of(PLAIN).lines().collect::<Vec<_>>());
}

#[test]
fn a_terminal_without_utf_8_gets_ascii() {
    let subject = subject(request(), ReasonPolicy::Off);
    let text = drawn(&subject, &[], &[], Style { color: false, unicode: false }, 80);
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("| Status: ? PENDING\n") && text.contains("-- pending (now): channel"), "{text}");
}

#[test]
fn every_phase_and_audience_is_there_once() {
    let subject = subject(request(), ReasonPolicy::Required);
    let found = subject.items(&[], &[]);
    assert_eq!(found.notes, Vec::<String>::new());
    for phase in Phase::ALL {
        let of_phase: Vec<_> = found.items.iter().filter(|item| item.phase == Some(phase)).collect();
        for audience in [Audience::Channel, Audience::Requester, Audience::Unrecorded, Audience::Plain] {
            let seen = of_phase.iter().filter(|item| item.audiences.contains(&audience)).count();
            assert_eq!(seen, 1, "{phase:?} {audience:?}");
            assert_eq!(subject.items(&[phase], &[audience]).items.len(), 1);
        }
        let modals = of_phase.iter().filter(|item| item.audiences == [Audience::Modal]).count();
        assert_eq!(modals, if phase.is_open() { 2 } else { 1 }, "{phase:?}");
        assert!(of_phase.iter().any(|item| item.audiences == [Audience::Answer]), "{phase:?}");
    }
    let pending = |audience| subject.items(&[Phase::Pending], &[audience]).items[0].payload.json();
    let distinct: BTreeSet<_> = COPIES.map(pending).into();
    assert_eq!(distinct.len(), 3, "while it is pending each of them sees something else");
    assert!(found.items.iter().any(|item| item.audiences == [Audience::Thread]));
    for item in &found.items {
        assert_eq!(limits::violations(&item.payload.value()), Vec::<String>::new());
    }
}

#[test]
fn what_is_not_shown_is_said() {
    let notes = |subject: &Subject| subject.items(&[], &[]).notes.join("; ");
    let mut one = subject(AccessRequest { reviews: vec![], ..request() }, ReasonPolicy::Off);
    assert_eq!(
        notes(&one),
        "the rules ask for no reason, so no modal opens; there is no review and no vote, so nothing stands in the thread"
    );
    one.review.as_mut().unwrap().rules.0[0].teleport_only = true;
    assert!(notes(&one).starts_with("the messages have no buttons, so there is no modal and no answer; "));
    one.review = None;
    assert!(
        notes(&one)
            .starts_with("deciding in Slack is off, so there is nothing to press, no modal and no answer; ")
    );
    let text = drawn(&one, &[Phase::Denied], &[Audience::Answer], PLAIN, 200);
    assert!(
        text.ends_with(
            "\nNot shown: deciding in Slack is off, so there is nothing to press, no modal and no answer.\n"
        ),
        "{text}"
    );
}

#[test]
fn a_gone_request_is_drawn_from_its_record() {
    let known = AccessRequest { expires: at("2027-01-15T08:00:00Z"), ..request() };
    let record = Record { known: Some(known), ..Record::default() };
    let gone = Subject { is_listed: false, record, ..subject(request(), ReasonPolicy::Off) };
    assert_eq!(gone.phase(), Phase::Expired);
    let text = drawn(&gone, &[Phase::Expired], &[Audience::Channel], PLAIN, 80);
    assert!(text.contains("── expired (now): channel, direct message ─"), "{text}");
    let text = drawn(&gone, &[Phase::Deleted, Phase::Pending], &[Audience::Channel], PLAIN, 80);
    assert!(
        text.contains("── deleted: ") && text.contains("── pending: ") && text.contains("[ Approve ]"),
        "{text}"
    );
}

fn hostile() -> impl proptest::strategy::Strategy<Value = String> {
    let pieces = vec![
        "\u{1b}[2J",
        "\u{9b}1m",
        "\u{202e}",
        "\u{2066}",
        "\r",
        "\n",
        "\u{0}",
        "\u{7}",
        "*",
        "`",
        "<!channel>",
        "<",
        ">",
        "&amp;",
        "[ Approve ]",
        "│ ",
        "日本",
        "👩‍💻",
        "a",
        " ",
        "\u{a0}",
        "\u{200b}",
        "<!date^1^{time}|x>",
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_reaches_the_terminal_raw_or_leaves_the_margin(text in hostile(), width in 20usize..120) {
        let text = || text.clone();
        let review = TeleportReview { author: text(), proposed: RequestState::Denied, reason: text(), created: None };
        let resource = Resource { cluster: text(), kind: text(), name: text(), sub_resource: text() };
        let request = AccessRequest {
            user: text(),
            roles: vec![text(), text()],
            reason: text(),
            resolve_reason: text(),
            reviews: vec![review],
            resources: vec![resource],
            promoted_to: Some(text()),
            suggested_reviewers: vec![text()],
            ..request()
        };
        let subject = Subject { cluster: text(), web_proxy: Some(text()), ..subject(request, ReasonPolicy::Required) };
        let drawn = drawn(&subject, &[], &[], PLAIN, width);
        for line in drawn.lines() {
            let is_raw = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2028}');
            assert!(!line.chars().any(is_raw), "{line:?}");
            // Two cells of one sign may not fit into what is left, and answers keep a column of 24.
            assert!(unicode_width::UnicodeWidthStr::width(line) <= width.max(44) + 1, "{width}: {line:?}");
        }
    }
}

#[test]
fn the_json_has_each_payload_as_it_is_sent() {
    let subject = subject(request(), ReasonPolicy::Required);
    let found = subject.items(&[Phase::Approved], &[Audience::Channel, Audience::Modal]);
    let page = Page { subject: &subject, found: &found, judgments: None };
    let json: Value = serde_json::from_str(&page.json(0)).unwrap();
    assert_eq!(json["request"]["phase"], "pending");
    let items = json["items"].as_array().unwrap();
    assert_eq!(items[0]["audiences"], serde_json::json!(["channel"]));
    assert_eq!(items[0]["payload"], found.items[0].payload.value());
    assert_eq!((&items[1]["name"], &items[1]["payload"]["type"]), (&"notice".into(), &"modal".into()));
    assert_eq!(items[0].get("verdict"), None);
    assert_eq!(page.document(), None, "there are two");
}
