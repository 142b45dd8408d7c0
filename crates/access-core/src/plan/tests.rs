//! Plans as a person would tell them, and the property that a carried-out plan leaves nothing to do.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::decision::Decision;
use crate::domain::ids::RequestId;
use crate::domain::request::{RequestState, Review, sample};
use crate::domain::role_pattern::RolePattern;
use crate::policy::voters::samples::voters;
use crate::policy::{Approver, ReasonPolicy, Rule, VoteResult, add_vote};
use crate::record::Outcome;
use crate::record::claim::Claim;
use crate::render::request_message::{Edition, request_message};

/// A Teleport, a Slack and a record as plain values; carries plans out as the daemon does.
#[derive(Clone, Debug)]
struct Fixture {
    current: Option<AccessRequest>,
    record: Record,
    destinations: Vec<Destination>,
    retry_at: BTreeMap<Operation, Timestamp>,
    mode: Option<Mode>,
    rules: Rules,
    requester: Vec<RecipientKey>,
    now: Timestamp,
    /// Everything in Slack that the bot posted: for whom or in which thread, and where.
    slack: Vec<(Operation, ChannelId, MessageTs, Option<RepliesPosted>)>,
    /// Whether the daemon dies in the middle of the next plan: what it did is done, and nothing is recorded.
    crashes: bool,
    generation: u64,
}

/// `dba` needs two of bob, carol and dave.
fn rules() -> Rules {
    let approvers = ["bob", "carol", "dave"].map(|name| Approver::User(name.into())).to_vec();
    let (roles, reason) = (vec![RolePattern::parse("dba").unwrap()], ReasonPolicy::Off);
    let (confirm, teleport_only) = (false, false);
    Rules(vec![Rule { roles, approvers, approvals: 2, denials: 1, reason, confirm, teleport_only }])
}

impl Fixture {
    fn new(targets: &[&str]) -> Self {
        let target = |name: &&str| Destination {
            post_to: (*name).to_owned(),
            recipient_keys: vec![RecipientKey::new(*name)],
        };
        Self {
            current: Some(sample()),
            record: Record::default(),
            destinations: targets.iter().map(target).collect(),
            retry_at: BTreeMap::new(),
            mode: None,
            rules: rules(),
            requester: vec![],
            now: sample().created.unwrap(),
            slack: Vec::new(),
            crashes: false,
            generation: 0,
        }
    }

    fn plan(&self) -> Plan {
        plan(&PlanInput {
            current: self.current.as_ref(),
            record: &self.record,
            destinations: &self.destinations,
            cluster: "demo",
            edition: Edition::Community,
            review: self.mode.map(|mode| ReviewDisplay {
                mode: Some(mode),
                rules: &self.rules,
                requester: &self.requester,
            }),
            retry_at: &self.retry_at,
            now: self.now,
        })
    }

    /// Carries out the plan, skipping errands that `fails` names, and returns one line a step.
    fn run_pass(&mut self, fails: impl Fn(&Operation) -> bool) -> Vec<String> {
        let plan = self.plan();
        if let Some(known) = &plan.request_to_record {
            self.record.update_known(known);
        }
        self.generation += 1;
        let turn = SignedDuration::from_nanos(self.generation.cast_signed());
        let claim = Claim { holder: "us".into(), generation: self.generation, acquired_at: self.now + turn };
        self.record.acquire(claim.clone(), plan.posts());
        let (mut story, mut outcomes) = (Vec::new(), Vec::new());
        for (errand, steps) in plan.operations {
            let settled = Outcome::Resolved { operation: errand.clone(), attempted_at: claim.acquired_at };
            if fails(&errand) {
                self.retry_at.insert(errand, self.now + SignedDuration::from_secs(10));
                outcomes.push(settled);
                continue;
            }
            for step in steps {
                let (line, more) = self.execute(&errand, step);
                story.push(line);
                outcomes.extend(more);
            }
            outcomes.push(settled);
        }
        if !std::mem::take(&mut self.crashes) {
            outcomes.iter().for_each(|outcome| self.record.apply(outcome));
            self.record.release(&claim);
        }
        self.record = Record::decode(&sample().id, &self.record.encode()).0;
        story
    }

    fn execute(&mut self, errand: &Operation, step: Step) -> (String, Vec<Outcome>) {
        let new_ts = MessageTs::new(format!("{}.0", self.slack.len() + 1));
        match (step, errand) {
            (Step::Post { key, post_to, displayed: shown, .. }, Operation::Post(_)) => {
                let (channel, ts) = (ChannelId::new(format!("C{post_to}")), new_ts);
                self.slack.push((errand.clone(), channel.clone(), ts.clone(), None));
                let line = format!("post to {post_to}: {:?}", shown.phase);
                (line, vec![Outcome::Posted { key, channel, ts, displayed: Some(shown) }])
            }
            (Step::Update { channel, ts, displayed, .. }, Operation::Update(..)) => (
                format!("update {channel}: {:?}", displayed.phase),
                vec![Outcome::Updated { channel, ts, displayed }],
            ),
            (Step::Reply { channel, ts, replies, message }, Operation::Reply(..)) => {
                self.slack.push((errand.clone(), channel.clone(), new_ts, Some(replies)));
                let number = match replies {
                    RepliesPosted::Reviews(told) => told.to_string(),
                    RepliesPosted::Votes(told) => format!("vote {told}"),
                };
                let line = format!("reply {number} in {channel}: {}", message.text().lines().next().unwrap());
                (line, vec![Outcome::Replied { channel, ts, replies }])
            }
            (Step::VerifyPost(HistoryQuery { in_doubt: doubt, .. }), errand)
                if doubt.operation == *errand =>
            {
                let found = self.slack.iter().filter(|(posted, ..)| posted == errand);
                let mut outcomes: Vec<_> = found
                    .map(|(_, channel, ts, replies)| match (errand, *replies) {
                        (Operation::Post(key), None) => Outcome::Posted {
                            key: key.clone(),
                            channel: channel.clone(),
                            ts: ts.clone(),
                            displayed: None,
                        },
                        (Operation::Reply(_, thread), Some(replies)) => {
                            Outcome::Replied { channel: channel.clone(), ts: thread.clone(), replies }
                        }
                        other => panic!("{other:?}"),
                    })
                    .collect();
                outcomes
                    .push(Outcome::Resolved { operation: errand.clone(), attempted_at: doubt.attempted_at });
                (format!("settle {}", doubt.destination), outcomes)
            }
            (Step::Delete { channel, ts }, Operation::Update(..)) => {
                self.slack.retain(|(_, _, posted, _)| *posted != ts);
                (format!("withdraw {ts} in {channel}"), vec![Outcome::Deleted { channel, ts }])
            }
            (step, errand) => panic!("{step:?} is no step of {errand:?}"),
        }
    }

    #[track_caller]
    fn assert_pass(&mut self, expected: &[&str]) {
        assert_eq!(self.run_pass(|_| false), expected);
    }

    /// The `action_id`s of the buttons of each message in the plan.
    fn buttons(&self) -> Vec<Vec<String>> {
        let messages =
            self.plan().operations.into_iter().flat_map(|(_, steps)| steps).filter_map(|step| match step {
                Step::Post { message, .. } | Step::Update { message, .. } => Some(message),
                Step::Reply { .. } | Step::VerifyPost(_) | Step::Delete { .. } => None,
            });
        let buttons = |message: Message| {
            let json = serde_json::to_value(&message).unwrap();
            let rows = json["blocks"].as_array().unwrap().iter().filter(|block| block["type"] == "actions");
            let buttons = rows.flat_map(|row| row["elements"].as_array().unwrap().clone());
            buttons.map(|button| button["action_id"].as_str().unwrap().to_owned()).collect()
        };
        messages.map(buttons).collect()
    }

    fn vote(&mut self, user: &str, decision: Decision) -> VoteResult {
        let request = self.current.clone().unwrap();
        let voters = voters(&["bob", "carol", "dave", "eve"], &[]);
        add_vote(
            &mut self.record,
            &crate::record::votes::vote(user, decision),
            &request,
            &self.rules,
            &voters,
        )
    }

    fn set_state(&mut self, state: RequestState) {
        self.current.as_mut().unwrap().state = state;
    }
}

fn review(author: &str) -> Review {
    Review { author: author.into(), proposed: RequestState::Approved, reason: "fine".into(), created: None }
}

#[test]
fn a_request_is_shown_reviewed_and_resolved() {
    let mut world = Fixture::new(&["team", "ops"]);
    world.assert_pass(&["post to team: Pending", "post to ops: Pending"]);
    world.assert_pass(&[]);
    world.current.as_mut().unwrap().reviews.push(review("bob@example.com"));
    world.set_state(RequestState::Approved);
    let replies = world.run_pass(|_| false);
    assert_eq!(replies[0], "update Cteam: Approved");
    assert!(replies[1].starts_with("reply 1 in Cteam: bob@example.com reviewed the request"), "{replies:?}");
    assert_eq!(replies[2], "update Cops: Approved");
    assert_eq!(replies.len(), 4);
    world.assert_pass(&[]);
    // The grant ends and Teleport forgets the request: the message keeps the outcome.
    world.current = None;
    world.assert_pass(&[]);
}

#[test]
fn a_message_without_its_own_change_is_left_alone_and_a_changed_one_is_edited() {
    let mut world = Fixture::new(&["team"]);
    world.assert_pass(&["post to team: Pending"]);
    world.current.as_mut().unwrap().reason = "another reason".into();
    world.assert_pass(&["update Cteam: Pending"]);
    // An odd server turns a grant into a refusal: the message follows.
    world.set_state(RequestState::Approved);
    world.assert_pass(&["update Cteam: Approved"]);
    world.set_state(RequestState::Denied);
    world.assert_pass(&["update Cteam: Denied"]);
}

#[test]
fn expiry_and_deletion_are_told_apart() {
    let mut world = Fixture::new(&["team"]);
    world.assert_pass(&["post to team: Pending"]);
    assert_eq!(world.plan().requeue_at, Some(sample().expires.unwrap() + SignedDuration::from_secs(5)));
    let mut deleted = world.clone();
    deleted.current = None;
    deleted.assert_pass(&["update Cteam: Deleted"]);
    deleted.assert_pass(&[]);
    world.now = sample().expires.unwrap() + SignedDuration::from_secs(5);
    // As long as Teleport shows it as pending, it is.
    assert_eq!(world.plan(), Plan::default());
    world.current = None;
    world.assert_pass(&["update Cteam: Expired"]);
    world.assert_pass(&[]);
}

#[test]
fn what_happened_while_we_were_away_is_shown_once() {
    let mut world = Fixture::new(&["team"]);
    world.current.as_mut().unwrap().reviews = vec![review("bob"), review("carol")];
    world.set_state(RequestState::Approved);
    world.assert_pass(&["post to team: Approved"]);
    assert_eq!(world.run_pass(|_| false).len(), 2);
    world.assert_pass(&[]);
    // Our clock is no reason to tell nobody of what Teleport shows as pending.
    let mut expired = Fixture::new(&["team"]);
    expired.now = sample().expires.unwrap() + SignedDuration::from_hours(1);
    expired.assert_pass(&["post to team: Pending"]);
    // One that came and went is nobody's business any more.
    let mut gone = Fixture::new(&["team"]);
    gone.current = None;
    gone.assert_pass(&[]);
}

#[test]
fn a_request_that_is_decided_and_opened_again_for_ever_takes_and_tells_each_vote() {
    let mut world = Fixture::new(&["team"]);
    world.rules.0[0].approvals = 1;
    world.assert_pass(&["post to team: Pending"]);
    for round in 1..=crate::record::votes::MAX_VOTES + 20 {
        let cast = world.vote("bob", Decision::Approve);
        assert!(matches!(cast, VoteResult::Decisive(_)), "round {round}: {cast:?}");
        world.set_state(RequestState::Approved);
        let story = world.run_pass(|_| false);
        assert!(story.len() == 2 && story[1].starts_with(&format!("reply vote {round} in")), "{story:?}");
        world.set_state(RequestState::Pending);
        world.assert_pass(&["update Cteam: Pending"]);
        world.assert_pass(&[]);
    }
}

#[test]
fn one_that_fails_waits_alone() {
    let mut world = Fixture::new(&["team", "ops"]);
    let fails = |errand: &Operation| *errand == Operation::Post(RecipientKey::new("ops"));
    assert_eq!(world.run_pass(fails), ["post to team: Pending"]);
    world.assert_pass(&[]);
    let again = world.plan().requeue_at.unwrap();
    assert_eq!(again, world.now + SignedDuration::from_secs(10));
    world.now = again;
    world.assert_pass(&["post to ops: Pending"]);
}

#[test]
fn a_post_that_nobody_recorded_is_looked_for_and_not_made_again() {
    let mut world = Fixture::new(&["team"]);
    world.crashes = true;
    world.assert_pass(&["post to team: Pending"]);
    // Meanwhile the request is taken back: the message that nobody recorded must not stay as it is.
    world.current = None;
    world.assert_pass(&["settle team"]);
    world.assert_pass(&["update Cteam: Deleted"]);
    world.assert_pass(&[]);
}

#[test]
fn a_reply_that_nobody_recorded_is_not_made_again_and_holds_up_no_edit() {
    let mut world = Fixture::new(&["team"]);
    world.assert_pass(&["post to team: Pending"]);
    world.current.as_mut().unwrap().reviews.push(review("bob"));
    world.crashes = true;
    assert_eq!(world.run_pass(|_| false).len(), 1);
    world.set_state(RequestState::Approved);
    world.current.as_mut().unwrap().reviews.push(review("carol"));
    world.assert_pass(&["update Cteam: Approved", "settle Cteam"]);
    let last = world.run_pass(|_| false);
    assert!(last.len() == 1 && last[0].starts_with("reply 2 in Cteam"), "{last:?}");
    world.assert_pass(&[]);
}

#[test]
fn of_two_messages_to_one_person_the_second_is_taken_back() {
    let mut world = Fixture::new(&["team"]);
    world.assert_pass(&["post to team: Pending"]);
    // A daemon that was frozen in the middle of its post records it after another one took over.
    let (key, channel) = (RecipientKey::new("team"), ChannelId::new("Cteam"));
    let late = Outcome::Posted { key, channel, ts: MessageTs::new("9.9"), displayed: None };
    world.record.apply(&late);
    world.assert_pass(&["update Cteam: Pending", "withdraw 9.9 in Cteam"]);
    world.assert_pass(&[]);
    assert_eq!(world.record.deliveries.len(), 1);
}

#[test]
fn a_lost_message_is_left_alone_and_nobody_is_told_again() {
    let mut world = Fixture::new(&["team", "ops"]);
    world.assert_pass(&["post to team: Pending", "post to ops: Pending"]);
    let lost =
        Outcome::Unreachable { channel: ChannelId::new("Cteam"), ts: world.record.deliveries[0].ts.clone() };
    world.record.apply(&lost);
    world.set_state(RequestState::Approved);
    world.current.as_mut().unwrap().reviews.push(review("bob"));
    let told = world.run_pass(|_| false);
    assert_eq!(told[0], "update Cops: Approved");
    assert!(told.len() == 2 && told[1].starts_with("reply 1 in Cops"), "{told:?}");
    world.assert_pass(&[]);
    assert!(world.record.deliveries[0].is_unreachable, "it is remembered in the record");
    assert_eq!(world.record.encode()["resolution"], "APPROVED", "every message that is left shows it");
    // A second message to the same person is no double of one that is gone.
    let (key, channel) = (RecipientKey::new("team"), ChannelId::new("Cteam"));
    world.record.apply(&Outcome::Posted { key, channel, ts: MessageTs::new("9.9"), displayed: None });
    assert_eq!(world.run_pass(|_| false)[0], "update Cteam: Approved");
}

#[test]
fn messages_of_the_go_plugin_are_corrected_and_nobody_is_told_twice() {
    let data = [("user", "alice@example.com"), ("messages", "C9/1.1,D9/2.2"), ("resolution", "APPROVED")];
    let data = data.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let (record, _) = Record::decode(&RequestId::new("x"), &data);
    let mut world = Fixture { record, ..Fixture::new(&["team"]) };
    world.set_state(RequestState::Approved);
    world.assert_pass(&["update C9: Approved", "update D9: Approved"]);
    world.assert_pass(&[]);
}

#[test]
fn a_crowd_of_reviews_is_told_in_order_and_completely() {
    let mut world = Fixture::new(&["team"]);
    world.assert_pass(&["post to team: Pending"]);
    world.current.as_mut().unwrap().reviews = (0..45).map(|n| review(&format!("u{n}"))).collect();
    let rounds: Vec<usize> =
        (0..4).map(|_| world.run_pass(|_| false).iter().filter(|l| l.starts_with("reply")).count()).collect();
    assert_eq!(rounds, [20, 20, 5, 0]);
}

const BOTH: [&str; 2] = ["approve", "deny"];
const NONE: [&str; 0] = [];

#[test]
fn buttons_are_drawn_where_they_can_decide_something() {
    #[track_caller]
    fn assert_buttons(mode: Option<Mode>, change: impl Fn(&mut Fixture), expected: &[&str]) {
        let mut world = Fixture { mode, ..Fixture::new(&["team"]) };
        change(&mut world);
        assert_eq!(world.buttons(), [expected]);
    }
    assert_buttons(None, |_| {}, &NONE);
    for mode in [Mode::Reviewer, Mode::Resolver] {
        assert_buttons(Some(mode), |_| {}, &BOTH);
        assert_buttons(Some(mode), |world| world.rules.0[0].teleport_only = true, &NONE);
        assert_buttons(
            Some(mode),
            |world| world.current.as_mut().unwrap().kind = RequestKind::LongTerm,
            &NONE,
        );
        assert_buttons(Some(mode), |world| world.current.as_mut().unwrap().id = RequestId::new("a b"), &NONE);
        assert_buttons(Some(mode), |world| world.set_state(RequestState::Approved), &NONE);
    }
    let uncovered = |world: &mut Fixture| world.current.as_mut().unwrap().roles.push("root".into());
    assert_buttons(Some(Mode::Resolver), uncovered, &NONE);
    assert_buttons(Some(Mode::Reviewer), uncovered, &BOTH);
    let without_rules = |world: &mut Fixture| world.rules = Rules::default();
    assert_buttons(Some(Mode::Resolver), without_rules, &NONE);
    let suggested = |world: &mut Fixture| {
        world.rules = Rules::default();
        world.current.as_mut().unwrap().suggested_reviewers.push("bob".into());
    };
    assert_buttons(Some(Mode::Resolver), suggested, &BOTH);
}

#[test]
fn the_requesters_copy_has_no_buttons() {
    let mut world = Fixture::new(&["team", "alice@example.com", "U0ALICE", "U0BOB"]);
    world.mode = Some(Mode::Reviewer);
    world.requester = vec![RecipientKey::new("U0ALICE")];
    assert_eq!(world.buttons(), [&BOTH[..], &NONE, &NONE, &BOTH]);
    world.run_pass(|_| false);
    world.assert_pass(&[]);
    // Without deciding in Slack the buttons vanish, and so do the words why there are none.
    world.mode = None;
    assert_eq!(world.buttons(), [NONE; 4]);
    // Of the Go plugin's messages, any direct one may be the requester's.
    let data = [("user", "alice@example.com"), ("messages", "C9/1.1,D9/2.2")];
    let data = data.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let (record, _) = Record::decode(&RequestId::new("x"), &data);
    let adopted = Fixture { record, mode: Some(Mode::Resolver), ..Fixture::new(&[]) };
    assert_eq!(adopted.buttons(), [&BOTH[..], &NONE]);
    // A user whose name is a channel's does not take the channel's buttons away.
    let mut named = Fixture { mode: Some(Mode::Resolver), ..Fixture::new(&["#team"]) };
    named.current.as_mut().unwrap().user = "team".into();
    assert_eq!(named.buttons(), [BOTH]);
}

#[test]
fn without_deciding_in_slack_a_card_is_what_it_was() {
    let world = Fixture::new(&["team"]);
    let plan = world.plan();
    let Step::Post { message, .. } = &plan.operations[0].1[0] else { panic!() };
    let request = sample();
    let view = MessageInput {
        request: &request,
        phase: Phase::Pending,
        cluster: "demo",
        edition: Edition::Community,
    };
    assert_eq!(
        serde_json::to_string(message).unwrap(),
        serde_json::to_string(&request_message(&view)).unwrap()
    );
}

#[test]
fn votes_are_shown_and_told() {
    let mut world = Fixture { mode: Some(Mode::Resolver), ..Fixture::new(&["team"]) };
    world.assert_pass(&["post to team: Pending"]);
    assert!(matches!(world.vote("bob", Decision::Approve), VoteResult::Counted(_)));
    let json = |world: &Fixture| {
        let Step::Update { message, .. } = &world.plan().operations[0].1[0] else { panic!() };
        serde_json::to_string(message).unwrap()
    };
    assert!(json(&world).contains("1 of 2 approvals"));
    let told = world.run_pass(|_| false);
    assert_eq!(told[0], "update Cteam: Pending");
    assert!(told[1].starts_with("reply vote 1 in Cteam: bob reviewed the request in Slack"), "{told:?}");
    world.assert_pass(&[]);

    assert!(matches!(world.vote("carol", Decision::Approve), VoteResult::Decisive(_)));
    world.set_state(RequestState::Approved);
    assert!(json(&world).contains("Decided by bob, carol in Slack"));
    assert_eq!(world.run_pass(|_| false).len(), 2);
    world.assert_pass(&[]);
    // When deciding in Slack is switched off, it stays true who decided.
    world.mode = None;
    world.assert_pass(&[]);
    // Where something else decided, the votes did not.
    world.set_state(RequestState::Denied);
    assert!(!json(&world).contains("Decided by"));
}

#[test]
fn each_message_says_why_it_has_no_buttons() {
    let shown = |world: &Fixture| {
        let steps = world.plan().operations.into_iter().flat_map(|(_, steps)| steps);
        let texts = steps.filter_map(|step| match step {
            Step::Post { message, .. } | Step::Update { message, .. } => serde_json::to_value(&message).ok(),
            Step::Reply { .. } | Step::VerifyPost(_) | Step::Delete { .. } => None,
        });
        let why = |json: serde_json::Value| {
            let notes = json["blocks"][3]["elements"].as_array().cloned().unwrap_or_default();
            let notes = notes.iter().filter_map(|note| note["text"].as_str()?.strip_prefix("No buttons: "));
            notes.map(|why| why[..22].to_owned()).collect::<String>()
        };
        texts.map(why).collect::<Vec<_>>()
    };
    let check = |change: &dyn Fn(&mut Fixture), expected: &[&str]| {
        let mut world =
            Fixture { mode: Some(Mode::Resolver), ..Fixture::new(&["team", "alice@example.com"]) };
        change(&mut world);
        assert_eq!(shown(&world), expected);
    };
    let own = "this is your own reque";
    check(&|_| (), &["", own]);
    let uncovered = |world: &mut Fixture| world.current.as_mut().unwrap().roles.push("root".into());
    check(&uncovered, &["no rule lets anybody d", own]);
    check(&|world| world.current.as_mut().unwrap().roles.clear(), &["the request names no r", own]);
    check(&|world| world.rules = Rules::default(), &["only suggested reviewe", own]);
    check(&|world| world.rules.0[0].teleport_only = true, &["the rules leave this r", own]);
    check(&|world| world.current.as_mut().unwrap().kind = RequestKind::LongTerm, &["", own]);
    check(&|world| world.mode = None, &["", ""]);
}

#[test]
fn what_another_version_drew_is_drawn_anew_once() {
    let mut world = Fixture::new(&["team", "U0BOB"]);
    world.run_pass(|_| false);
    world.assert_pass(&[]);
    for delivery in &mut world.record.deliveries {
        delivery.displayed.as_mut().unwrap().digest = "0123456789abcdef".into();
    }
    world.assert_pass(&["update Cteam: Pending", "update CU0BOB: Pending"]);
    world.assert_pass(&[]);
    // Of what Teleport lists no more, the message may know more than we do.
    for delivery in &mut world.record.deliveries {
        let digest = "0123456789abcdef".into();
        delivery.displayed = Some(DisplayedState { phase: Phase::Approved, digest });
    }
    world.record.known.as_mut().unwrap().state = RequestState::Approved;
    world.current = None;
    world.assert_pass(&[]);
}

/// Something that happens to the world between two plans.
#[derive(Clone, Debug)]
enum Event {
    State(RequestState),
    Review(String),
    Reason(String),
    Remove,
    AdvanceClock(i64),
    NewDestination(String),
    Fail(bool),
    Mode(Option<Mode>),
    Vote(&'static str, bool),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    use RequestState::*;
    prop_oneof![
        prop::sample::select(vec![Pending, Approved, Denied, Promoted]).prop_map(Event::State),
        ".{0,20}".prop_map(Event::Review),
        ".{0,20}".prop_map(Event::Reason),
        Just(Event::Remove),
        (0..9_000i64).prop_map(Event::AdvanceClock),
        "[a-z]{1,3}".prop_map(Event::NewDestination),
        any::<bool>().prop_map(Event::Fail),
        Just(Event::Crash),
        prop::sample::select(vec![None, Some(Mode::Reviewer), Some(Mode::Resolver)]).prop_map(Event::Mode),
        (prop::sample::select(vec!["bob", "carol", "eve"]), any::<bool>())
            .prop_map(|(user, approve)| Event::Vote(user, approve)),
    ]
}

proptest! {
    #[test]
    fn a_carried_out_plan_leaves_nothing_to_do(story in proptest::collection::vec(event(), 0..12)) {
        let mut world = Fixture::new(&["team", "ops"]);
        let mut fails = false;
        for happening in story {
            match (happening, world.current.as_mut()) {
                (Event::AdvanceClock(seconds), _) => world.now += SignedDuration::from_secs(seconds),
                (Event::NewDestination(name), _) => world.destinations.push(Destination { post_to: name.clone(), recipient_keys: vec![RecipientKey::new(name)] }),
                (Event::Fail(now), _) => fails = now,
                (Event::Crash, _) => world.crashes = true,
                (Event::Remove, _) => world.current = None,
                (Event::Mode(mode), _) => world.mode = mode,
                (Event::Vote(user, approve), Some(_)) => {
                    world.vote(user, if approve { Decision::Approve } else { Decision::Deny });
                }
                (Event::State(state), Some(request)) => request.state = state,
                (Event::Review(author), Some(request)) => request.reviews.push(review(&author)),
                (Event::Reason(reason), Some(request)) => request.reason = reason,
                (_, None) => {}
            }
            world.run_pass(|_| fails);
        }
        // Whatever was in the way is gone: a few rounds (look, post, edit, reply) settle everything, and it stays so.
        world.crashes = false;
        world.now += SignedDuration::from_secs(11);
        for _ in 0..4 {
            world.run_pass(|_| false);
        }
        prop_assert!(world.plan().is_empty(), "{:?}", world.plan());
        let mut keys: Vec<_> = world.record.deliveries.iter().map(|d| d.key.clone()).collect();
        keys.sort();
        let told = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), told, "somebody was told twice");
        prop_assert!(world.record.claim.is_none() && world.record.in_doubt.is_empty(), "{:?}", world.record);
        let mut posted: Vec<_> = world.slack.iter().map(|(errand, _, _, told)| format!("{errand:?} {told:?}")).collect();
        let count = posted.len();
        posted.sort();
        posted.dedup();
        prop_assert_eq!(posted.len(), count, "something stands in Slack twice: {:?}", world.slack);
        let recorded = |ts: &MessageTs| world.record.deliveries.iter().any(|d| d.ts == *ts);
        for (errand, _, ts, _) in &world.slack {
            prop_assert!(matches!(errand, Operation::Reply(..)) || recorded(ts), "{errand:?} is forgotten");
        }
    }
}

#[test]
fn what_cannot_be_written_down_is_not_posted() {
    let names: Vec<_> = (0..100).map(|n| format!("c{n}")).collect();
    let targets: Vec<_> = names.iter().map(String::as_str).collect();
    let mut world = Fixture::new(&targets);
    for n in 0..MAX_DELIVERIES - 3 {
        let (key, channel) = (RecipientKey::new(format!("old {n}")), ChannelId::new(format!("D{n}")));
        world.record.apply(&Outcome::Posted { key, channel, ts: MessageTs::new("1.1"), displayed: None });
    }
    let posts = |world: &Fixture| world.plan().posts().count();
    assert_eq!(posts(&world), 3, "there is room for three more");
    for n in 0..MAX_IN_DOUBT - 1 {
        let errand = Operation::Post(RecipientKey::new(format!("old doubt {n}")));
        world.record.in_doubt.push(InDoubtPost::new(errand, "C1".into(), world.now, world.now));
    }
    assert_eq!(posts(&world), 1, "and for one more doubt");
}

#[test]
fn a_post_that_is_to_be_made_again_is_planned_under_the_name_that_it_had() {
    let mut world = Fixture::new(&["C1"]);
    world.destinations[0].recipient_keys.push(RecipientKey::new("#team"));
    let again = Operation::Post(RecipientKey::new("#team"));
    let doubt = InDoubtPost {
        may_retry: true,
        ..InDoubtPost::new(again.clone(), "team".into(), world.now, world.now)
    };
    world.record.in_doubt.push(doubt.clone());
    let plan = world.plan();
    assert_eq!(plan.posts().collect::<Vec<_>>(), [(again.clone(), "C1".to_owned())]);
    assert_eq!(plan.operations.len(), 1);
    // Nobody needs it any more: it is looked for, and then forgotten.
    world.current = None;
    let plan = world.plan();
    let search = plan.operations.iter().find_map(|(errand, steps)| match &steps[..] {
        [Step::VerifyPost(search)] if *errand == again => Some(search),
        _ => None,
    });
    assert!(search.is_none(), "with no request and nothing known there is nothing to plan");
    world.record.known = Some(sample());
    let plan = world.plan();
    let [(_, steps)] = &plan.operations[..] else { panic!("{plan:?}") };
    assert!(matches!(&steps[..], [Step::VerifyPost(HistoryQuery { is_wanted: false, .. })]), "{steps:?}");
}
