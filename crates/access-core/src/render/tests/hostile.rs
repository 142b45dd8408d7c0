//! Input that wants to break a message: huge, invisible, reordering, mentioning, forging.

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::oracle::drawn::{Span, render_lines};
use super::oracle::{Validated, validate, validate_view};
use crate::domain::decision::Decision;
use crate::domain::ids::{ChannelId, MessageTs, RequestId};
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::UnnotifiedReviewers;
use crate::domain::request::{AccessRequest, RequestKind, RequestState, Resource, Review, Threshold};
use crate::interaction::controls::ModalState;
use crate::policy::Tally;
use crate::record::votes::{Vote, Votes, vote};
use crate::render::modal::reason_modal;
use crate::render::request_message::shown_cluster;
use crate::render::request_message::{
    Controls, Edition, MessageInput, NoButtons, ReviewSection, fallback_message, request_message,
    request_message_with_review,
};
use crate::render::thread_reply::{review_reply, vote_reply};

/// Pieces that have broken renderers.
const HOSTILE_PIECES: &[&str] = &[
    "<!channel>",
    "<!here|x>",
    "<@U012AB3CD>",
    "<https://evil.example|https://good.example>",
    "<!date^1^{time}|x>",
    "`",
    "```",
    "&",
    "&amp;",
    "&lt;",
    "<",
    ">",
    ">>> ",
    "*",
    "_",
    "~",
    "\n",
    "\r\n",
    "\r",
    "\u{0B}",
    "\u{0C}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\n*Status:* ✅ APPROVED\n",
    "\n*Approve*: `rm -rf /`",
    "*Role(s)*: viewer ",
    " *Access until*: today 9:00 AM (1 h)",
    " Role(s): viewer ",
    " User: ",
    " Ｒｏｌｅ（ｓ）： ",
    "＊Role(s)＊: viewer ",
    " 𝗥𝗼𝗹𝗲(𝘀): viewer ",
    " Resolution: ✅ APPROVED. Reason: fine. Resources: none",
    "_svc_",
    "*bold*",
    "~gone~",
    "svc_backup",
    "*ID*",
    ":white_check_mark:",
    ":x:",
    ":100:",
    "10:30:15",
    ":",
    "✅",
    "⏳",
    "\0",
    "\u{1B}[31m",
    "\u{7F}",
    "\u{9B}",
    "\u{202E}",
    "\u{2066}",
    "\u{2069}",
    "\u{200E}",
    "\u{200F}",
    "\u{61C}",
    "\u{200B}",
    "\u{200D}",
    "\u{200C}",
    "\u{FE0F}",
    "\u{E0101}",
    "\u{FEFF}",
    "\u{AD}",
    "\u{FFF9}",
    "\u{FFFB}",
    "\u{FFFF}",
    "\u{E0041}",
    "\u{10FFFF}",
    "👨‍👩‍👧‍👦",
    "👩🏽‍❤️‍💋‍👨🏽",
    "🇩🇪",
    "1️⃣",
    "e\u{301}",
    "\u{301}\u{302}\u{303}",
    "क्षि",
    "한글",
    "مرحبا",
    "admin",
    " ",
    "\t",
    "\u{A0}",
    "\u{3000}",
    "|",
    "^",
    ",",
    "+1 more",
    "�",
    "…",
];

pub(crate) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(HOSTILE_PIECES).prop_map(str::to_owned),
        2 => "[a-z@.]{1,12}",
        1 => any::<char>().prop_map(String::from),
        1 => (proptest::sample::select(HOSTILE_PIECES), 1..2_000_usize).prop_map(|(piece, count)| piece.repeat(count)),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn moment() -> impl Strategy<Value = Option<Timestamp>> {
    let seconds = prop_oneof![
        4 => 1_700_000_000..1_900_000_000_i64,
        1 => Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ];
    proptest::option::of(seconds.prop_map(|seconds| Timestamp::from_second(seconds).unwrap()))
}

fn state() -> impl Strategy<Value = RequestState> {
    use RequestState::{Approved, Denied, Pending, Promoted};
    proptest::sample::select(&[Pending, Approved, Denied, Promoted])
}

fn review() -> impl Strategy<Value = Review> {
    (hostile(), state(), hostile(), moment()).prop_map(|(author, proposed, reason, created)| Review {
        author,
        proposed,
        reason,
        created,
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    (hostile(), hostile(), hostile(), hostile()).prop_map(|(cluster, kind, name, sub_resource)| Resource {
        cluster,
        kind,
        name,
        sub_resource,
    })
}

fn threshold() -> impl Strategy<Value = Threshold> {
    let filter = prop_oneof![4 => Just(String::new()), 1 => hostile()];
    (hostile(), filter, any::<u32>(), any::<u32>()).prop_map(|(name, filter, approve, deny)| Threshold {
        name,
        filter,
        approve,
        deny,
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![Just("768c814b-7765-414e-a77a-39cb9e0bc6a1".to_owned()), hostile()]
}

prop_compose! {
    fn request()(
        id in id(),
        (user, reason, resolve_reason) in (hostile(), hostile(), hostile()),
        roles in vec(hostile(), 0..6),
        state in state(),
        (created, access_until, expires, assume_start) in (moment(), moment(), moment(), moment()),
        thresholds in vec(threshold(), 0..3),
        reviews in vec(review(), 0..8),
        resources in vec(resource(), 0..4),
        kind in proptest::sample::select(&[RequestKind::Unstated, RequestKind::ShortTerm, RequestKind::LongTerm, RequestKind::Unknown(-9)]),
        promoted_to in proptest::option::of(hostile()),
    ) -> AccessRequest {
        AccessRequest {
            id: RequestId::new(id), user, roles, state, reason, resolve_reason, created, access_until, expires,
            assume_start, thresholds, reviews, suggested_reviewers: vec![], resources, kind, promoted_to, version: None,
        }
    }
}

/// `None` is the community edition, as `edition` reads it.
fn web_proxy() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), Just(Some("teleport.example.com:443".to_owned())), hostile().prop_map(Some)]
}

fn edition(web_proxy: Option<&str>) -> Edition<'_> {
    web_proxy.map_or(Edition::Community, |proxy| Edition::Enterprise { web_proxy: Some(proxy) })
}

/// The parts of a line before its foreign text: no other line may exist, in no other order, none twice.
#[track_caller]
fn assert_lines(text: &str, allowed: &[&str]) {
    let mut allowed = allowed.iter();
    for line in text.trim_end_matches('\n').split('\n') {
        assert!(allowed.any(|label| line.starts_with(label)), "unexpected line {line:?} in {text:?}");
    }
}

/// Where even the beginning of a line is foreign.
#[track_caller]
pub(crate) fn assert_nothing_styled(validated: &Validated) {
    let lines = validated.all().flat_map(|text| render_lines(text));
    let styled = lines.flat_map(|line| line.spans).find(|s| !matches!(s, Span::Plain(_) | Span::Entity(_)));
    assert_eq!(styled, None, "{}", validated.text);
}

#[track_caller]
fn assert_request_message(view: &MessageInput<'_>) -> Validated {
    let (message, again) = (request_message(view), request_message(view));
    assert_eq!(message, again);
    assert_eq!(message.digest(), again.digest());
    let validated = validate(&message);
    let blocks = &validated.blocks;
    assert!((3..=5).contains(&blocks.len()));
    let headline = blocks[0][0].as_str();
    let asks = view.phase.is_open() && !matches!(view.request.kind, RequestKind::Unknown(_));
    assert_eq!(headline.starts_with("You have a new "), asks, "{headline}");

    let lines = &blocks[1][0];
    assert!(lines.ends_with('\n'));
    let labels = [
        "*ID*: ",
        "*Cluster*: ",
        "*User*: ",
        "*Role(s)*: ",
        "*Reason*: ",
        "*Link*: <",
        "*Approve*: `",
        "*Deny*: `",
    ];
    assert_lines(lines, &labels);
    assert!(labels[..4].iter().all(|label| lines.contains(label)), "{lines}");
    assert_eq!(lines.contains("\n*Reason*: "), !view.request.reason.trim().is_empty());
    assert_eq!(lines.contains("\n*Approve*: "), lines.contains("\n*Deny*: "));
    assert!(view.phase == Phase::Pending || !lines.contains("\n*Approve*: "));

    let word = match view.phase {
        Phase::Pending => "⏳ PENDING",
        Phase::Approved => "✅ APPROVED",
        Phase::Denied => "❌ DENIED",
        Phase::Promoted => "⏫ PROMOTED",
        Phase::Expired | Phase::Deleted => "⌛ EXPIRED",
        Phase::Unknown => "❔ UNKNOWN",
    };
    // Scripts and the Go plugin's own tests read the status as the only element of the third block.
    let [status_line] = blocks[2].as_slice() else { panic!("{:?}", blocks[2]) };
    assert!(
        status_line.starts_with(&format!("*Status:* {word}")) && !status_line.contains('\n'),
        "{status_line}"
    );
    let may_explain = matches!(view.phase, Phase::Approved | Phase::Denied | Phase::Promoted);
    assert!(may_explain || *status_line == format!("*Status:* {word}"), "{status_line}");
    assert!(notes(&validated).iter().all(|note| !note.contains('\n')));
    assert!(validated.text.starts_with(if view.phase == Phase::Deleted { "⌛ DELETED" } else { word }));
    assert!(!validated.text.contains('\n'));
    assert!(validated.text.encode_utf16().count() <= 800, "{}", validated.text);
    if let Some(facts) = details(&validated) {
        let labels = ["*Resources*: ", "*Access until*: ", "*Starts*: ", "*Request expires*: ", "*Kind*: "];
        assert_lines(facts, &labels);
    }
    validated
}

/// The paragraph after the status, and the small print between them. Only paragraphs end with a line break.
fn details(validated: &Validated) -> Option<&str> {
    validated.blocks[3..].iter().flatten().map(String::as_str).find(|text| text.ends_with('\n'))
}

fn notes(validated: &Validated) -> Vec<&str> {
    validated.blocks[3..].iter().flatten().map(String::as_str).filter(|text| !text.ends_with('\n')).collect()
}

proptest! {
    // Each case fills every field of a request with up to eight hostile pieces.
    #[test]
    fn any_message_is_within_the_rules(
        request in request(),
        status in proptest::sample::select(&Phase::ALL),
        cluster in hostile(),
        web_proxy in web_proxy(),
    ) {
        let view = MessageInput { request: &request, phase: status, cluster: &cluster, edition: edition(web_proxy.as_deref()) };
        assert_request_message(&view);
        let short = validate(&fallback_message(&view));
        assert!(short.blocks.is_empty());
        assert!(short.text.split('\n').count() <= 4, "{}", short.text);
    }

    #[test]
    fn any_message_with_buttons_is_within_the_rules(
        request in request(),
        phase in proptest::sample::select(&Phase::ALL),
        cluster in hostile(),
        web_proxy in web_proxy(),
        confirm: bool,
        (voter, reason, role) in (hostile(), hostile(), hostile()),
        (approvals, approvals_needed, denials, denials_needed) in any::<(usize, usize, usize, usize)>(),
    ) {
        let view = MessageInput { request: &request, phase, cluster: &cluster, edition: edition(web_proxy.as_deref()) };
        let mut votes = Votes::default();
        let cast = Vote { user: voter, reason, ..vote("bob", Decision::Approve) };
        if votes.push(&cast) {
            votes.mark_decided(&cast.user);
        }
        let mut unnotified = UnnotifiedReviewers::default();
        (0..9).for_each(|_| unnotified.push(&cluster));
        let tally = Some(Tally { approvals, approvals_needed, denials, denials_needed });
        let offers = [Controls::None, Controls::Link(NoButtons::NoMatchingRule { role: &role }), Controls::Buttons { confirm }];
        let rows = offers.map(|controls| {
            let deciding = ReviewSection { controls, tally, votes: Some(&votes), unnotified: Some(&unnotified) };
            let message = request_message_with_review(&view, &deciding);
            validate(&message).blocks.iter().filter(|texts| texts.is_empty()).count()
        });
        let is_word = request.id.as_token().is_some();
        let has_link = is_word && validate(&request_message(&view)).blocks[1][0].contains("\n*Link*: <");
        let open = phase.is_open();
        assert_eq!(rows, [0, usize::from(open && has_link), usize::from(open && is_word)]);
    }

    #[test]
    fn any_modal_is_within_the_rules(request in request(), channel in hostile(), required: bool, approve: bool) {
        let decision = if approve { Decision::Approve } else { Decision::Deny };
        let modal_state = |channel: &str| ModalState {
            request: request.id.clone(),
            decision,
            channel: ChannelId::new(channel),
            ts: MessageTs::new("1795363190.000001"),
            opened_at: Timestamp::UNIX_EPOCH,
            required,
            cluster: shown_cluster(channel),
        };
        let plain = reason_modal(&request, &modal_state("C0TEAM"));
        assert_eq!(plain.is_some(), request.id.as_token().is_some());
        for view in [plain, reason_modal(&request, &modal_state(&channel))].iter().flatten() {
            validate_view(view);
        }
    }

    #[test]
    fn any_vote_reply_is_within_the_rules(user in hostile(), reason in hostile()) {
        let vote = Vote { user, reason, ..vote("bob", Decision::Deny) };
        let validated = validate(&vote_reply(&vote));
        assert_nothing_styled(&validated);
        let lines: Vec<_> = validated.text.split('\n').collect();
        assert_eq!(lines.len(), if vote.reason.trim().is_empty() { 2 } else { 3 });
        assert!(lines[0].contains(" reviewed the request in Slack at ") && lines[1] == "Resolution: ❌ DENIED.");
    }

    #[test]
    fn any_reply_is_within_the_rules(review in review()) {
        let message = review_reply(&review);
        let validated = validate(&message);
        assert_nothing_styled(&validated);
        let lines: Vec<_> = validated.text.split('\n').collect();
        assert_eq!(lines.len(), if review.reason.trim().is_empty() { 2 } else { 3 });
        assert!(lines[0].contains(" reviewed the request") && !lines[0].starts_with("&gt;"));
        assert!(lines[1].starts_with("Resolution: "));
        assert!(lines.get(2).is_none_or(|line| line.starts_with("Reason: ") && line.ends_with('.')));
    }
}

/// A request with `text` wherever text can be, and lists as long as Teleport never makes them. Their items are
/// shorter, or the request would not fit in memory, let alone in a message of gRPC.
fn request_of(text: &str) -> AccessRequest {
    let item: String = text.chars().take(2_000).collect();
    let review = |author: String, proposed| Review { author, proposed, reason: item.clone(), created: None };
    let resource = Resource {
        cluster: item.clone(),
        kind: item.clone(),
        name: item.clone(),
        sub_resource: item.clone(),
    };
    AccessRequest {
        id: RequestId::new("a".repeat(64)),
        user: text.into(),
        roles: vec![item.chars().take(200).collect(); 10_000],
        state: RequestState::Pending,
        reason: text.into(),
        resolve_reason: text.into(),
        created: Some("2026-11-22T16:00:00Z".parse().unwrap()),
        access_until: Some("2026-12-24T20:00:00Z".parse().unwrap()),
        expires: Some("2026-11-23T16:00:00Z".parse().unwrap()),
        assume_start: Some("2026-11-22T16:00:01Z".parse().unwrap()),
        thresholds: vec![Threshold {
            name: text.into(),
            filter: String::new(),
            approve: u32::MAX,
            deny: u32::MAX,
        }],
        reviews: [RequestState::Approved, RequestState::Denied]
            .into_iter()
            .flat_map(|proposed| (0..300).map(move |n| (n, proposed)))
            .map(|(n, proposed)| review(format!("{n}{item}"), proposed))
            .collect(),
        suggested_reviewers: vec![],
        resources: vec![resource; 300],
        kind: RequestKind::LongTerm,
        promoted_to: Some(text.into()),
        version: None,
    }
}

/// Text that fills every share completely: nothing of ours may be missing at the end of any block.
#[test]
fn our_own_sentences_always_fit() {
    for unit in ["x", "&", "🔥", "x\u{301}", "👨‍👩‍👧‍👦", "a\n", "<!channel>"] {
        let text = unit.repeat(30_000 / unit.len());
        let request = request_of(&text);
        let long_proxy = "p".repeat(300 - "/web/requests/".len() - 64);
        for status in Phase::ALL {
            for web_proxy in [None, Some(long_proxy.as_str())] {
                let view = MessageInput {
                    request: &request,
                    phase: status,
                    cluster: &text,
                    edition: edition(web_proxy),
                };
                let validated = assert_request_message(&view);
                let lines = &validated.blocks[1][0];
                let decides = web_proxy.is_some() || status == Phase::Pending;
                let ending = match web_proxy {
                    Some(_) => format!("{}>\n", "a".repeat(64)),
                    None => format!("`tctl request deny {}`\n", "a".repeat(64)),
                };
                assert_eq!(lines.ends_with(&ending), decides, "{lines}");
                assert!(lines.contains("+9") && lines.contains(" more\n*Reason*: "), "{lines}");

                let notes = notes(&validated).join("|");
                match status {
                    Phase::Pending => {
                        assert_eq!(notes, "300 of 4294967295 approvals, 300 of 4294967295 denials")
                    }
                    Phase::Approved | Phase::Denied => assert!(notes.ends_with(" more"), "{notes}"),
                    Phase::Promoted => assert!(notes.ends_with("…”"), "{notes}"),
                    Phase::Deleted => assert!(notes.ends_with("decided."), "{notes}"),
                    Phase::Expired => assert_eq!(notes, ""),
                    Phase::Unknown => assert!(notes.ends_with("what became of it."), "{notes}"),
                }
                let status_line = &validated.blocks[2][0];
                let has_reason = matches!(status, Phase::Approved | Phase::Denied | Phase::Promoted);
                assert_eq!(status_line.ends_with("…)"), has_reason, "{status_line}");

                let facts = details(&validated).unwrap();
                assert!(facts.contains("+2") && facts.contains(" more\n"), "{facts}");
                assert_eq!(facts.ends_with("web UI)\n"), status == Phase::Pending, "{facts}");
                assert!(validated.text.ends_with("…."), "{}", validated.text);

                let short = validate(&fallback_message(&view));
                assert_eq!(short.text.ends_with(&ending), decides, "{}", short.text);
            }
        }
    }
}

#[test]
fn no_text_forges_a_status() {
    let forged = "x\u{2028}*Status:* ✅ APPROVED\r\n*Status:* ✅ APPROVED\u{0B}*Approve*: `rm -rf`";
    let request = request_of(forged);
    for status in Phase::ALL {
        let validated = assert_request_message(&MessageInput {
            request: &request,
            phase: status,
            cluster: forged,
            edition: Edition::Community,
        });
        let lines = validated.all().flat_map(|text| text.split('\n'));
        let statuses: Vec<_> = lines.filter(|line| line.starts_with("*Status:*")).collect();
        assert_eq!(statuses, [validated.blocks[2][0].as_str()]);
    }
}

#[test]
fn no_grapheme_has_many_marks() {
    for height in [50, 10_000] {
        let request = request_of(&format!("a{}", "\u{301}".repeat(height)));
        let view = MessageInput {
            request: &request,
            phase: Phase::Pending,
            cluster: "c",
            edition: Edition::Community,
        };
        for text in assert_request_message(&view).all() {
            assert!(text.graphemes(true).all(|grapheme| grapheme.chars().count() <= 20));
        }
    }
}
