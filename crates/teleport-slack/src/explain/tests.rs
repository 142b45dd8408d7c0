//! What is said of each phase, from facts as they are gathered. The plan in them is the daemon's.

use std::collections::{BTreeMap, BTreeSet};

use access_core::domain::ids::SlackUserId;
use access_core::domain::known_ids::KnownIds;
use access_core::domain::lifecycle::Phase;
use access_core::domain::recipients::{Destination, Recipient, Rules, recipients};
use access_core::domain::request::{AccessRequest, RequestState, Review, Threshold};
use access_core::domain::role_pattern::RolePattern;
use access_core::plan::{PlanInput, ReviewDisplay, Unresolved, plan};
use access_core::policy::{self, Approver, ReasonPolicy, Rule};
use access_core::record::claim::{Claim, InDoubtPost};
use access_core::record::{Delivery, DisplayedState, Operation, Record, truncated};
use access_core::render::request_message::Edition;

use super::*;
use crate::check::output::Style;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_770_720 + second).unwrap()
}

fn request(state: RequestState) -> AccessRequest {
    AccessRequest {
        roles: vec!["dba".to_owned()],
        state,
        created: Some(at(0)),
        expires: Some(at(3_600)),
        ..AccessRequest::pending(RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"), "alice@example.com")
    }
}

fn delivery(key: &str, channel: &str, phase: Phase) -> Delivery {
    Delivery {
        key: Some(RecipientKey::new(key)),
        channel: ChannelId::new(channel),
        ts: MessageTs::new("1795770722.000100"),
        displayed: Some(DisplayedState { phase, digest: "of another time".to_owned() }),
        review_replies: 0,
        vote_replies: 0,
        is_unreachable: false,
        user: None,
    }
}

/// A request with two recipients, and what the tests change of it.
struct Case {
    listed: Option<AccessRequest>,
    record: Record,
    recipients: Vec<&'static str>,
    unresolved: BTreeMap<RecipientKey, Unresolved>,
    review: Option<ReviewFacts>,
    slack: SlackFacts,
}

impl Case {
    fn new(listed: Option<AccessRequest>, record: Record) -> Self {
        Self {
            listed,
            record,
            recipients: vec!["C0TEAM", "bob@example.com"],
            unresolved: BTreeMap::new(),
            review: None,
            slack: SlackFacts::default(),
        }
    }

    /// What is said, with the plan of the core for these facts.
    fn explanation(self) -> Explanation {
        self.explanation_of("8f77d2d1-2bbf-4031-a300-58926237a807")
    }

    fn explanation_of(self, id: &str) -> Explanation {
        explain(&self.facts(id))
    }

    fn facts(self, id: &str) -> Facts {
        let rules = Rules {
            always: self.recipients.iter().map(|name| Recipient::parse(name).unwrap()).collect(),
            by_role: Vec::new(),
        };
        let has_posts = self.listed.is_some() && !self.record.is_from_go_plugin();
        let names = self.listed.as_ref().filter(|_| has_posts).map(|listed| recipients(listed, &rules));
        let names = names.unwrap_or_default();
        let found = names.recipients.iter().filter(|name| !self.unresolved.contains_key(&name.key()));
        let destinations: Vec<_> = found
            .map(|name| Destination {
                post_to: name.to_string().replace("bob@example.com", "U0BOB"),
                recipient_keys: vec![name.key()],
            })
            .collect();
        let plan = plan(&PlanInput {
            current: self.listed.as_ref(),
            record: &self.record,
            is_absence_proved: true,
            recipients: &names,
            destinations: &destinations,
            unresolved: &self.unresolved,
            known_ids: &KnownIds::default(),
            cluster: "example.com",
            edition: Edition::Community,
            review: self.review.as_ref().map(|review| ReviewDisplay {
                mode: review.mode,
                rules: &review.rules,
                requester: &[],
            }),
            retry_at: &BTreeMap::new(),
            now: at(60),
        });
        let view = View {
            listed: self.listed,
            is_absence_proved: true,
            has_record: self.record != Record::default(),
            record: self.record,
            invalid_keys: Vec::new(),
            recipients: names,
            is_all_known: true,
            plan,
        };
        let id = RequestId::new(id);
        let cluster = "example.com".to_owned();
        let reached = ReachedPart {
            teleport: "through the proxy at teleport.example.com:443".to_owned(),
            slack: "directly".to_owned(),
        };
        Facts { id, cluster, reached, now: at(60), view, review: self.review, slack: self.slack }
    }

    fn text(self) -> String {
        output::text(&self.explanation(), Style { color: false, unicode: true })
    }
}

fn remembered(request: &AccessRequest, deliveries: Vec<Delivery>) -> Record {
    Record { known: Some(truncated(request)), deliveries, ..Record::default() }
}

#[test]
fn a_pending_request_names_who_was_notified_and_who_was_not() {
    let waiting = request(RequestState::Pending);
    let mut case = Case::new(
        Some(waiting.clone()),
        remembered(&waiting, vec![delivery("#team", "C0TEAM", Phase::Pending)]),
    );
    case.recipients = vec!["team", "C0DBA", "bob@example.com", "nobody@example.com", "alice@example.com"];
    case.unresolved = [(RecipientKey::new("nobody@example.com"), Unresolved::NoSuchUser)].into();
    let channel = (ChannelId::new("C0TEAM"), MessageTs::new("1795770722.000100"));
    case.slack.links = [(channel, Lookup::Found("https://x.slack.com/archives/C0TEAM/p1".to_owned()))].into();
    let obstacle =
        ("the bot is not in the channel".to_owned(), "invite it there with /invite @bot".to_owned());
    case.slack.obstacles = [(RecipientKey::new("C0DBA"), obstacle)].into();
    case.slack.names = [("C0DBA".to_owned(), "#dba".to_owned())].into();
    insta::assert_snapshot!(case.text(), @r#"
    Request 8f77d2d1-2bbf-4031-a300-58926237a807 in the cluster example.com: pending
      alice@example.com asks for dba, made 2026-11-27T09:12:00Z, expires 2026-11-27T10:12:00Z
      The request waits for a decision
    Notified:
      #team in C0TEAM, posted 2026-11-27T09:12:02Z, shows pending: it does not show the latest state; the daemon updates it
          https://x.slack.com/archives/C0TEAM/p1
    Not notified:
      alice@example.com: the recipient is the requester, who is never asked
      nobody@example.com: no user in Slack matches the recipient
          remedy: correct the name in the configuration, or invite the person to Slack
      C0DBA (#dba): the bot is not in the channel
          remedy: invite it there with /invite @bot
      bob@example.com: the message is still to be posted
    Left to do in Slack:
      update C0TEAM 1795770722.000100: it is to show the request as it is now (pending)
      post C0DBA (#dba): a message that shows pending goes to C0DBA
      post bob@example.com: a message that shows pending goes to U0BOB
    Claim:
      no daemon works on the request at this moment
    Deciding:
      Deciding in Slack is off: decide it in Teleport
    Reached:
      Teleport through the proxy at teleport.example.com:443
      Slack directly
    Not visible from here:
      Whether a daemon runs, which operation it tries again and when, rate limits (HTTP 429), turns in a channel: only its memory has these. Its log at DEBUG shows what it does
    "#);
}

#[test]
fn votes_that_suffice_only_in_part_are_counted_and_the_missing_are_named() {
    let rule = Rule {
        roles: vec![RolePattern::parse("d*").unwrap()],
        approvers: vec![
            Approver::User("bob@example.com".to_owned()),
            Approver::User("carol@example.com".to_owned()),
            Approver::Group("S0DBA".to_owned()),
        ],
        approvals: 2,
        denials: 1,
        reason: ReasonPolicy::Off,
        confirm: false,
        teleport_only: false,
    };
    let waiting = request(RequestState::Pending);
    let mut data = remembered(&waiting, vec![delivery("C0TEAM", "C0TEAM", Phase::Pending)]).encode();
    let vote = r#"{"u":"bob@example.com","s":"U0BOB","c":"C0TEAM","m":"1795770722.000100","d":"approve","t":"2026-11-27T09:12:30Z"}"#;
    data.insert("x_votes".to_owned(), format!(r#"{{"v":1,"l":[{vote}]}}"#));
    let (record, invalid) = Record::decode(&waiting.id, &data);
    assert_eq!((record.votes.list().len(), invalid.len()), (1, 0));
    let mut case = Case::new(Some(waiting), record);
    case.recipients = vec!["C0TEAM"];
    let facts = |voters| ReviewFacts {
        mode: Some(Mode::Resolver),
        rules: policy::Rules(vec![rule.clone()]),
        voters,
        unread: None,
    };
    case.review = Some(facts(Voters::default()));
    let said = case.explanation();
    insta::assert_json_snapshot!(said.deciding, @r#"
    {
      "mode": "resolver",
      "sentence": "The rules below decide; each that matches must name who decides",
      "rules": [
        {
          "number": 1,
          "roles": [
            "d*"
          ],
          "approvers": [
            "bob@example.com",
            "carol@example.com",
            "user group S0DBA"
          ],
          "approvals": 2,
          "denials": 1,
          "teleport_only": false
        }
      ],
      "approvals": {
        "counted": 1,
        "needed": 2,
        "missing": 1
      },
      "denials": {
        "counted": 0,
        "needed": 1,
        "missing": 1
      },
      "votes": [
        {
          "teleport_user": "bob@example.com",
          "slack_user": "U0BOB",
          "slack_user_name": null,
          "decision": "approve",
          "at": "2026-11-27T09:12:30Z",
          "channel": "C0TEAM",
          "channel_name": null,
          "counts": true,
          "status": "counts",
          "sentence": "counts"
        }
      ],
      "reviews": [],
      "may_decide": [
        {
          "teleport_user": "carol@example.com",
          "groups": []
        },
        {
          "teleport_user": null,
          "groups": [
            "S0DBA"
          ]
        }
      ]
    }
    "#);
    // The account was deactivated since.
    let mut voters = Voters::default();
    voters.insert(SlackUserId::new("U0BOB"), None);
    let waiting = request(RequestState::Pending);
    let mut case = Case::new(Some(waiting.clone()), Record::decode(&waiting.id, &data).0);
    case.review = Some(facts(voters));
    let said = case.explanation().deciding;
    assert_eq!((said.votes[0].counts, said.votes[0].status), (false, "ineligible"));
    assert_eq!(said.approvals.map(|count| (count.counted, count.missing)), Some((0, 2)));
}

/// bob alone decides about dba.
fn rule_for_dba(teleport_only: bool) -> Rule {
    Rule {
        roles: vec![RolePattern::parse("dba").unwrap()],
        approvers: vec![Approver::User("bob@example.com".to_owned())],
        approvals: 1,
        denials: 1,
        reason: ReasonPolicy::Off,
        confirm: false,
        teleport_only,
    }
}

#[test]
fn of_a_request_that_is_decided_nothing_is_missing() {
    let counts = |state| {
        let mut case = Case::new(Some(request(state)), Record::default());
        let (mode, rules) = (Some(Mode::Resolver), policy::Rules(vec![rule_for_dba(false)]));
        case.review = Some(ReviewFacts { mode, rules, voters: Voters::default(), unread: None });
        case.explanation().deciding
    };
    assert_eq!(counts(RequestState::Pending).approvals.map(|count| count.missing), Some(1));
    for decided in [RequestState::Denied, RequestState::Approved] {
        let said = counts(decided);
        assert_eq!((said.approvals, said.denials), (None, None), "{decided:?}");
    }
}

#[test]
fn each_id_has_its_name_beside_it() {
    let waiting = request(RequestState::Pending);
    let mut record = remembered(
        &waiting,
        vec![
            delivery("U0BOB", "D0BOB", Phase::Pending),
            delivery("carol@example.com", "D0CAROL", Phase::Pending),
            delivery("C0TEAM", "C0TEAM", Phase::Pending),
            delivery("#dba", "C0DBA", Phase::Pending),
            delivery("U0NEW", "D0NEW", Phase::Pending),
        ],
    );
    let post = Operation::Post(RecipientKey::new("U0EVE"));
    record.in_doubt.push(InDoubtPost::new(post, "U0EVE".to_owned(), at(55), at(75)));
    let mut data = record.encode();
    let vote = r#"{"u":"bob@example.com","s":"U0BOB","c":"D0BOB","m":"1795770722.000100","d":"approve","t":"2026-11-27T09:12:30Z"}"#;
    data.insert("x_votes".to_owned(), format!(r#"{{"v":1,"l":[{vote}]}}"#));
    let (record, _) = Record::decode(&waiting.id, &data);
    let mut case = Case::new(Some(waiting), record);
    case.recipients = vec!["U0BOB", "carol@example.com", "C0TEAM", "dba", "U0NEW", "U0EVE", "C0OPS"];
    let (mode, rules) = (Some(Mode::Resolver), policy::Rules(Vec::new()));
    case.review = Some(ReviewFacts { mode, rules, voters: Voters::default(), unread: None });
    let names =
        [("U0BOB", "Bob B"), ("C0TEAM", "#team"), ("C0DBA", "#dba"), ("U0EVE", "Eve E"), ("C0OPS", "#ops")];
    case.slack.names = names.map(|(id, name)| (id.to_owned(), name.to_owned())).into();
    case.slack.emails = [(RecipientKey::new("U0BOB"), "bob@example.com".to_owned())].into();
    case.slack.unasked = 3;
    let text = case.text();
    for words in [
        "\n  U0BOB (Bob B, bob@example.com) in D0BOB, posted",
        "\n  carol@example.com in D0CAROL, posted",
        "\n  C0TEAM (#team), posted",
        "\n  #dba in C0DBA, posted",
        "\n  U0NEW in D0NEW, posted",
        "\n  U0EVE (Eve E): it is not known",
        "\n  C0OPS (#ops): the message is still to be posted",
        "\n  update D0BOB (Bob B) 17",
        "\n  update D0CAROL (carol@example.com) 17",
        "\n  update C0DBA (#dba) 17",
        "\n  update D0NEW (U0NEW) 17",
        "\n  vote of bob@example.com (U0BOB, Bob B): approve at 2026-11-27T09:12:30Z in D0BOB (Bob B), ",
        "\n  Names of further people and channels (3) were not asked for",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
}

#[test]
fn names_are_asked_for_a_bounded_number_of_ids_and_each_once() {
    let waiting = request(RequestState::Pending);
    let many: Vec<_> =
        (0..60).map(|n| delivery(&format!("U{n:03}"), &format!("D{n:03}"), Phase::Pending)).collect();
    let mut all =
        vec![delivery("C0TEAM", "C0TEAM", Phase::Pending), delivery("#dba", "C0DBA", Phase::Pending)];
    all.extend(many.clone().into_iter().chain(many));
    let mut case = Case::new(Some(waiting.clone()), remembered(&waiting, all));
    case.recipients = vec!["C0TEAM", "bob@example.com"];
    let facts = case.facts("8f77d2d1-2bbf-4031-a300-58926237a807");
    let (channels, people, unasked) = gather::ids(&facts.view);
    assert_eq!(channels, [ChannelId::new("C0TEAM"), ChannelId::new("C0DBA")]);
    assert_eq!((people.len(), unasked), (48, 12));
    assert!(people.is_sorted(), "those with a message first: {people:?}");
}

#[test]
fn a_post_in_doubt_and_a_claim_say_until_when() {
    let waiting = request(RequestState::Pending);
    let mut record = remembered(&waiting, vec![delivery("C0TEAM", "C0TEAM", Phase::Pending)]);
    let post = Operation::Post(RecipientKey::new("bob@example.com"));
    record.in_doubt.push(InDoubtPost::new(post, "U0BOB".to_owned(), at(55), at(75)));
    let claim =
        |second| Claim { holder: "0123456789abcdef".to_owned(), generation: 1, acquired_at: at(second) };
    record.claim = Some(claim(55));
    let said = Case::new(Some(waiting.clone()), record.clone()).explanation();
    let doubt = said.operations.iter().find(|operation| operation.operation == "verify").unwrap();
    assert_eq!(doubt.not_before, Some(at(75)));
    insta::assert_snapshot!(doubt.sentence, @"a message for U0BOB may have been posted at 2026-11-27T09:12:55Z (attempts: 1); the daemon looks for it in Slack before it posts again, and until 2026-11-27T09:13:15Z not finding it proves nothing");
    assert_eq!(said.not_notified[0].reason, "in_doubt");
    let held = said.claim.unwrap();
    assert!(!held.has_expired);
    insta::assert_snapshot!(held.sentence, @"instance 0123456789abcdef acquired it at 2026-11-27T09:12:55Z and works on the request; another daemon takes over if it sees no change for 13 s");
    record.claim = Some(claim(-100));
    let left = Case::new(Some(waiting), record).explanation().claim.unwrap();
    assert!(left.has_expired, "{left:?}");
    insta::assert_snapshot!(left.sentence, @"instance 0123456789abcdef acquired it at 2026-11-27T09:10:20Z and ended without releasing it; the next daemon that has something to do takes it over");
}

#[test]
fn each_end_of_a_request_is_shown_and_so_is_what_its_messages_still_show() {
    let review = |proposed| Review {
        author: "bob@example.com".to_owned(),
        proposed,
        reason: String::new(),
        created: Some(at(30)),
    };
    let decided = |state| AccessRequest { reviews: vec![review(state)], ..request(state) };
    let old =
        |request: &AccessRequest| remembered(request, vec![delivery("C0TEAM", "C0TEAM", Phase::Pending)]);
    let expired = AccessRequest { expires: Some(at(-100)), ..request(RequestState::Pending) };
    let waiting = request(RequestState::Pending);
    let promoted = request(RequestState::Promoted);
    let newer = request(RequestState::Unknown(77));
    let lines: Vec<_> = [
        (Some(decided(RequestState::Approved)), old(&waiting)),
        (Some(decided(RequestState::Denied)), old(&waiting)),
        (Some(promoted), old(&waiting)),
        (Some(newer), old(&waiting)),
        (None, old(&expired)),
        (None, old(&waiting)),
        (None, old(&decided(RequestState::Approved))),
        (None, Record::default()),
    ]
    .into_iter()
    .map(|(listed, record)| {
        let said = Case::new(listed, record).explanation();
        let message = said.messages.first().map(|message| message.state).unwrap_or_default();
        let left = said.operations.first().map(|operation| operation.sentence.clone()).unwrap_or_default();
        format!(
            "{:?} {message} | {} | {left} | {}",
            said.request.phase, said.request.sentence, said.deciding.sentence
        )
    })
    .collect();
    insta::assert_debug_snapshot!(lines, @r#"
    [
        "Some(\"approved\") outdated | The request was approved by bob@example.com | it is to show the request as it is now (approved) | It is decided",
        "Some(\"denied\") outdated | The request was denied by bob@example.com | it is to show the request as it is now (denied) | It is decided",
        "Some(\"promoted\") outdated | The request was promoted to membership of an access list | it is to show the request as it is now (promoted) | It is decided",
        "Some(\"unknown\") outdated | The request is in a state that this version does not know | it is to show the request as it is now (unknown) | Its state may be a decision, so nothing is decided here",
        "Some(\"expired\") outdated | Teleport does not have the request any more. By its record, the request has expired without a decision | it is to show the request as it is now (expired) | It cannot be decided any more",
        "Some(\"deleted\") outdated | Teleport does not have the request any more, its time is not over, and the record has no decision: it was deleted, unless it was decided and removed while no daemon ran | it is to show the request as it is now (deleted) | It cannot be decided any more",
        "Some(\"approved\") outdated | Teleport does not have the request any more. By its record, the request was approved by bob@example.com | it is to show the request as it is now (approved) | It is decided",
        "None  | Teleport has no access request with this id, and there is no record of it. It may have expired and been removed, or it may be of another cluster than example.com: `tctl requests ls` shows each in full |  | ",
    ]
    "#);
}

#[test]
fn what_is_wrong_with_an_id_of_no_request_is_said() {
    let said = |id: &str| Case::new(None, Record::default()).explanation_of(id).request.sentence;
    let id = "8f77d2d1-2bbf-4031-a300-58926237a807";
    assert!(!said(id).contains("whole") && !said(id).contains("small letters"));
    assert!(said(&id.to_uppercase()).contains(&format!("Ids have small letters: ask for {id}. It may")));
    assert!(said("8f77d2d1").contains("The id is not whole"));
}

#[test]
fn an_old_request_without_its_messages_asks_whether_a_daemon_runs() {
    let asks = |created, deliveries| {
        let waiting = AccessRequest { created: Some(at(created)), ..request(RequestState::Pending) };
        let mut case = Case::new(Some(waiting.clone()), remembered(&waiting, deliveries));
        case.recipients = vec!["C0TEAM"];
        case.explanation().not_visible.iter().any(|line| line.contains("look whether one runs"))
    };
    assert!(asks(-1, vec![]), "61 s old");
    assert!(!asks(0, vec![]), "60 s old");
    assert!(!asks(-1, vec![delivery("C0TEAM", "C0TEAM", Phase::Pending)]), "posted");
}

#[test]
fn messages_of_the_go_plugin_and_duplicates_are_shown_as_such() {
    let waiting = request(RequestState::Pending);
    let theirs = Delivery { key: None, displayed: None, ..delivery("", "C0TEAM", Phase::Pending) };
    let said = Case::new(Some(waiting.clone()), remembered(&waiting, vec![theirs])).explanation();
    assert!(said.record.from_go_plugin && said.messages[0].recipient.is_none(), "{said:?}");
    assert_eq!(
        said.not_notified.iter().map(|part| part.reason).collect::<Vec<_>>(),
        ["notified_by_go_plugin"]
    );
    let second =
        Delivery { ts: MessageTs::new("1795770723.000100"), ..delivery("C0TEAM", "C0TEAM", Phase::Pending) };
    let two = vec![delivery("C0TEAM", "C0TEAM", Phase::Pending), second];
    let said = Case::new(Some(waiting.clone()), remembered(&waiting, two)).explanation();
    assert_eq!(
        said.messages.iter().map(|message| message.state).collect::<Vec<_>>(),
        ["outdated", "duplicate"]
    );
    let deleted = Delivery { is_unreachable: true, ..delivery("C0TEAM", "C0TEAM", Phase::Pending) };
    let said = Case::new(Some(waiting.clone()), remembered(&waiting, vec![deleted])).explanation();
    assert_eq!(said.messages[0].state, "unreachable");
}

/// What has no effect is not shown as if it had.
#[test]
fn a_rule_is_shown_by_what_the_mode_makes_of_it() {
    let said = |mode, teleport_only| {
        let mut case = Case::new(Some(request(RequestState::Pending)), Record::default());
        let rules = policy::Rules(vec![rule_for_dba(teleport_only)]);
        case.review = Some(ReviewFacts { mode: Some(mode), rules, voters: Voters::default(), unread: None });
        let explanation = case.explanation();
        let text = output::text(&explanation, Style { color: false, unicode: true });
        let rule = text.lines().find(|line| line.contains("rule 1")).unwrap().trim().to_owned();
        (rule, explanation.deciding.approvals.is_some())
    };
    let own = "rule 1 (roles dba): bob@example.com; approvals 1, denials 1";
    assert_eq!(said(Mode::Resolver, false), (own.to_owned(), true));
    let left = "rule 1 (roles dba): leaves it to Teleport";
    for mode in [Mode::Resolver, Mode::Reviewer] {
        assert_eq!(said(mode, true), (left.to_owned(), false), "{mode:?}");
    }
    let idle = "rule 1 (roles dba): its approvers and counts have no effect, because Teleport judges";
    assert_eq!(said(Mode::Reviewer, false), (idle.to_owned(), false));
}

#[test]
fn why_no_user_can_decide_is_shown() {
    let sentence = |mode, rules, request: AccessRequest| {
        let mut case = Case::new(Some(request), Record::default());
        let rules = policy::Rules(rules);
        case.review = Some(ReviewFacts { mode, rules, voters: Voters::default(), unread: None });
        case.explanation().deciding.sentence
    };
    let waiting = || request(RequestState::Pending);
    let other = || AccessRequest { roles: vec!["web".to_owned()], ..waiting() };
    let threshold = Threshold { name: String::new(), filter: String::new(), approve: 2, deny: 1 };
    let counted = || AccessRequest { thresholds: vec![threshold.clone()], ..waiting() };
    let (resolver, reviewer) = (Some(Mode::Resolver), Some(Mode::Reviewer));
    insta::assert_debug_snapshot!([
        sentence(None, vec![], waiting()),
        sentence(resolver, vec![rule_for_dba(true)], waiting()),
        sentence(resolver, vec![rule_for_dba(false)], other()),
        sentence(resolver, vec![], waiting()),
        sentence(resolver, vec![rule_for_dba(false)], waiting()),
        sentence(reviewer, vec![], counted()),
    ], @r#"
    [
        "No user can decide in Slack: Teleport takes no reviews from this program, and the rules do not decide (review.mode); `teleport-slack check` says what is missing",
        "A rule leaves it to Teleport: decide it there",
        "No rule matches the role \"web\", so no user can decide it in Slack: add a rule, or decide it in Teleport",
        "There is no rule, and the request suggests no reviewer: decide it in Teleport",
        "The rules below decide; each that matches must name who decides",
        "Teleport judges each review and counts them by the request's thresholds (approvals needed: 2, denials needed: 1); who may review, only Teleport knows",
    ]
    "#);
}

#[test]
fn no_hidden_character_reaches_the_terminal() {
    let hostile = AccessRequest {
        user: "al\u{1b}[2Jice\u{202e}".to_owned(),
        roles: vec!["d\nba\r".to_owned()],
        ..request(RequestState::Pending)
    };
    let mut case = Case::new(
        Some(hostile.clone()),
        remembered(&hostile, vec![delivery("C0\u{1b}", "C0TEAM", Phase::Pending)]),
    );
    case.slack.names = [("C0TEAM".to_owned(), "#te\u{7}am\u{200b}".to_owned())].into();
    let text = case.text();
    let controls: BTreeSet<char> =
        text.chars().filter(|c| c.is_control() || "\u{202e}\u{200b}".contains(*c)).collect();
    assert_eq!(controls, ['\n'].into(), "{text:?}");
    assert!(text.contains(r"al\u{1b}[2Jice\u{202e} asks for d\nba\r"), "{text}");
}

/// Every key that the JSON can have is in the document.
#[test]
fn the_document_lists_every_key() {
    let document = include_str!("../../../../docs/explain.md");
    let source = include_str!("explanation.rs");
    let fields = source.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    let fields: BTreeSet<_> = fields.map(|(name, _)| name).filter(|name| !name.contains(' ')).collect();
    assert!(fields.len() > 30, "{fields:?}");
    let missing: Vec<_> = fields.iter().filter(|name| !document.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
