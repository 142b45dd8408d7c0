//! Plans as a person would tell them, and the property that a carried-out plan leaves nothing to do.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::claim::Claim;
use crate::control::Decision;
use crate::ids::RequestId;
use crate::policy::voters::samples::voters;
use crate::policy::{Approver, Cast, ReasonPolicy, Rule, cast};
use crate::record::Outcome;
use crate::render::card::{Edition, card};
use crate::request::{RequestState, Review, sample};
use crate::role_pattern::RolePattern;

/// A Teleport, a Slack and a record as plain values; carries plans out as the daemon does.
#[derive(Clone, Debug)]
struct World {
    listed: Option<AccessRequest>,
    record: Record,
    targets: Vec<Target>,
    waits: BTreeMap<Errand, Timestamp>,
    mode: Option<Mode>,
    rules: Rules,
    requester: Vec<RecipientKey>,
    now: Timestamp,
    /// Everything in Slack that the bot posted: for whom or in which thread, and where.
    slack: Vec<(Errand, ChannelId, MessageTs, Option<Told>)>,
    /// Whether the daemon dies in the middle of the next plan: what it did is done, and nothing is recorded.
    dies: bool,
    turn: u64,
}

/// `dba` needs two of bob, carol and dave.
fn rules() -> Rules {
    let approvers = ["bob", "carol", "dave"].map(|name| Approver::User(name.into())).to_vec();
    let (roles, reason) = (vec![RolePattern::parse("dba").unwrap()], ReasonPolicy::Off);
    let (confirm, teleport_only) = (false, false);
    Rules(vec![Rule { roles, approvers, approvals: 2, denials: 1, reason, confirm, teleport_only }])
}

impl World {
    fn new(targets: &[&str]) -> Self {
        let target =
            |name: &&str| Target { post_to: (*name).to_owned(), keys: vec![RecipientKey::new(*name)] };
        Self {
            listed: Some(sample()),
            record: Record::default(),
            targets: targets.iter().map(target).collect(),
            waits: BTreeMap::new(),
            mode: None,
            rules: rules(),
            requester: vec![],
            now: sample().created.unwrap(),
            slack: Vec::new(),
            dies: false,
            turn: 0,
        }
    }

    fn plan(&self) -> Plan {
        plan(&Situation {
            listed: self.listed.as_ref(),
            record: &self.record,
            targets: &self.targets,
            cluster: "demo",
            edition: Edition::Community,
            review: self.mode.map(|mode| ReviewLook {
                mode: Some(mode),
                rules: &self.rules,
                requester: &self.requester,
            }),
            waits: &self.waits,
            now: self.now,
        })
    }

    /// Carries out the plan, skipping errands that `fails` names, and returns one line a step.
    fn work(&mut self, fails: impl Fn(&Errand) -> bool) -> Vec<String> {
        let plan = self.plan();
        if let Some(known) = &plan.remember {
            self.record.note(known);
        }
        self.turn += 1;
        let turn = SignedDuration::from_nanos(self.turn.cast_signed());
        let claim = Claim { holder: "us".into(), turn: self.turn, taken: self.now + turn };
        self.record.take(claim.clone(), plan.posts());
        let (mut story, mut outcomes) = (Vec::new(), Vec::new());
        for (errand, steps) in plan.errands {
            let settled = Outcome::Settled { errand: errand.clone(), since: claim.taken };
            if fails(&errand) {
                self.waits.insert(errand, self.now + SignedDuration::from_secs(10));
                outcomes.push(settled);
                continue;
            }
            for step in steps {
                let (line, more) = self.carry_out(&errand, step);
                story.push(line);
                outcomes.extend(more);
            }
            outcomes.push(settled);
        }
        if !std::mem::take(&mut self.dies) {
            outcomes.iter().for_each(|outcome| self.record.apply(outcome));
            self.record.give_up(&claim);
        }
        self.record = Record::decode(&sample().id, &self.record.encode()).0;
        story
    }

    fn carry_out(&mut self, errand: &Errand, step: Step) -> (String, Vec<Outcome>) {
        let new_ts = MessageTs::new(format!("{}.0", self.slack.len() + 1));
        match (step, errand) {
            (Step::Post { key, post_to, shown, .. }, Errand::Deliver(_)) => {
                let (channel, ts) = (ChannelId::new(format!("C{post_to}")), new_ts);
                self.slack.push((errand.clone(), channel.clone(), ts.clone(), None));
                let line = format!("post to {post_to}: {:?}", shown.phase);
                (line, vec![Outcome::Posted { key, channel, ts, shown: Some(shown) }])
            }
            (Step::Update { channel, ts, shown, .. }, Errand::Keep(..)) => (
                format!("update {channel}: {:?}", shown.phase),
                vec![Outcome::Updated { channel, ts, shown }],
            ),
            (Step::Reply { channel, ts, replies, message }, Errand::Tell(..)) => {
                self.slack.push((errand.clone(), channel.clone(), new_ts, Some(replies)));
                let number = match replies {
                    Told::Reviews(told) => told.to_string(),
                    Told::Votes(told) => format!("vote {told}"),
                };
                let line = format!("reply {number} in {channel}: {}", message.text().lines().next().unwrap());
                (line, vec![Outcome::Replied { channel, ts, replies }])
            }
            (Step::Settle(Search { doubt, .. }), errand) if doubt.errand == *errand => {
                let found = self.slack.iter().filter(|(posted, ..)| posted == errand);
                let mut outcomes: Vec<_> = found
                    .map(|(_, channel, ts, replies)| match (errand, *replies) {
                        (Errand::Deliver(key), None) => Outcome::Posted {
                            key: key.clone(),
                            channel: channel.clone(),
                            ts: ts.clone(),
                            shown: None,
                        },
                        (Errand::Tell(_, thread), Some(replies)) => {
                            Outcome::Replied { channel: channel.clone(), ts: thread.clone(), replies }
                        }
                        other => panic!("{other:?}"),
                    })
                    .collect();
                outcomes.push(Outcome::Settled { errand: errand.clone(), since: doubt.since });
                (format!("settle {}", doubt.place), outcomes)
            }
            (Step::Withdraw { channel, ts }, Errand::Keep(..)) => {
                self.slack.retain(|(_, _, posted, _)| *posted != ts);
                (format!("withdraw {ts} in {channel}"), vec![Outcome::Withdrawn { channel, ts }])
            }
            (step, errand) => panic!("{step:?} is no step of {errand:?}"),
        }
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        assert_eq!(self.work(|_| false), expected);
    }

    /// The `action_id`s of the buttons of each message in the plan.
    fn buttons(&self) -> Vec<Vec<String>> {
        let messages =
            self.plan().errands.into_iter().flat_map(|(_, steps)| steps).filter_map(|step| match step {
                Step::Post { message, .. } | Step::Update { message, .. } => Some(message),
                Step::Reply { .. } | Step::Settle(_) | Step::Withdraw { .. } => None,
            });
        let buttons = |message: Message| {
            let json = serde_json::to_value(&message).unwrap();
            let rows = json["blocks"].as_array().unwrap().iter().filter(|block| block["type"] == "actions");
            let buttons = rows.flat_map(|row| row["elements"].as_array().unwrap().clone());
            buttons.map(|button| button["action_id"].as_str().unwrap().to_owned()).collect()
        };
        messages.map(buttons).collect()
    }

    fn vote(&mut self, user: &str, decision: Decision) -> Cast {
        let request = self.listed.clone().unwrap();
        let voters = voters(&["bob", "carol", "dave", "eve"], &[]);
        cast(&mut self.record, &crate::votes::vote(user, decision), &request, &self.rules, &voters)
    }

    fn set(&mut self, state: RequestState) {
        self.listed.as_mut().unwrap().state = state;
    }
}

fn review(author: &str) -> Review {
    Review { author: author.into(), proposed: RequestState::Approved, reason: "fine".into(), created: None }
}

#[test]
fn a_request_is_shown_reviewed_and_resolved() {
    let mut world = World::new(&["team", "ops"]);
    world.check(&["post to team: Pending", "post to ops: Pending"]);
    world.check(&[]);
    world.listed.as_mut().unwrap().reviews.push(review("bob@example.com"));
    world.set(RequestState::Approved);
    let replies = world.work(|_| false);
    assert_eq!(replies[0], "update Cteam: Approved");
    assert!(replies[1].starts_with("reply 1 in Cteam: bob@example.com reviewed the request"), "{replies:?}");
    assert_eq!(replies[2], "update Cops: Approved");
    assert_eq!(replies.len(), 4);
    world.check(&[]);
    // The grant ends and Teleport forgets the request: the message keeps the outcome.
    world.listed = None;
    world.check(&[]);
}

#[test]
fn a_message_without_its_own_change_is_left_alone_and_a_changed_one_is_edited() {
    let mut world = World::new(&["team"]);
    world.check(&["post to team: Pending"]);
    world.listed.as_mut().unwrap().reason = "another reason".into();
    world.check(&["update Cteam: Pending"]);
    // An odd server turns a grant into a refusal: the message follows.
    world.set(RequestState::Approved);
    world.check(&["update Cteam: Approved"]);
    world.set(RequestState::Denied);
    world.check(&["update Cteam: Denied"]);
}

#[test]
fn expiry_and_deletion_are_told_apart() {
    let mut world = World::new(&["team"]);
    world.check(&["post to team: Pending"]);
    assert_eq!(world.plan().look_again, Some(sample().expires.unwrap() + SignedDuration::from_secs(5)));
    let mut deleted = world.clone();
    deleted.listed = None;
    deleted.check(&["update Cteam: Deleted"]);
    deleted.check(&[]);
    world.now = sample().expires.unwrap() + SignedDuration::from_secs(5);
    // As long as Teleport shows it as pending, it is.
    assert_eq!(world.plan(), Plan::default());
    world.listed = None;
    world.check(&["update Cteam: Expired"]);
    world.check(&[]);
}

#[test]
fn what_happened_while_we_were_away_is_shown_once() {
    let mut world = World::new(&["team"]);
    world.listed.as_mut().unwrap().reviews = vec![review("bob"), review("carol")];
    world.set(RequestState::Approved);
    world.check(&["post to team: Approved"]);
    assert_eq!(world.work(|_| false).len(), 2);
    world.check(&[]);
    // Our clock is no reason to tell nobody of what Teleport shows as pending.
    let mut expired = World::new(&["team"]);
    expired.now = sample().expires.unwrap() + SignedDuration::from_hours(1);
    expired.check(&["post to team: Pending"]);
    // One that came and went is nobody's business any more.
    let mut gone = World::new(&["team"]);
    gone.listed = None;
    gone.check(&[]);
}

#[test]
fn a_request_that_is_decided_and_opened_again_for_ever_takes_and_tells_each_vote() {
    let mut world = World::new(&["team"]);
    world.rules.0[0].approvals = 1;
    world.check(&["post to team: Pending"]);
    for round in 1..=crate::votes::MAX_VOTES + 20 {
        let cast = world.vote("bob", Decision::Approve);
        assert!(matches!(cast, Cast::Settled(_)), "round {round}: {cast:?}");
        world.set(RequestState::Approved);
        let story = world.work(|_| false);
        assert!(story.len() == 2 && story[1].starts_with(&format!("reply vote {round} in")), "{story:?}");
        world.set(RequestState::Pending);
        world.check(&["update Cteam: Pending"]);
        world.check(&[]);
    }
}

#[test]
fn one_that_fails_waits_alone() {
    let mut world = World::new(&["team", "ops"]);
    let fails = |errand: &Errand| *errand == Errand::Deliver(RecipientKey::new("ops"));
    assert_eq!(world.work(fails), ["post to team: Pending"]);
    world.check(&[]);
    let again = world.plan().look_again.unwrap();
    assert_eq!(again, world.now + SignedDuration::from_secs(10));
    world.now = again;
    world.check(&["post to ops: Pending"]);
}

#[test]
fn a_post_that_nobody_recorded_is_looked_for_and_not_made_again() {
    let mut world = World::new(&["team"]);
    world.dies = true;
    world.check(&["post to team: Pending"]);
    // Meanwhile the request is taken back: the message that nobody recorded must not stay as it is.
    world.listed = None;
    world.check(&["settle team"]);
    world.check(&["update Cteam: Deleted"]);
    world.check(&[]);
}

#[test]
fn a_reply_that_nobody_recorded_is_not_made_again_and_holds_up_no_edit() {
    let mut world = World::new(&["team"]);
    world.check(&["post to team: Pending"]);
    world.listed.as_mut().unwrap().reviews.push(review("bob"));
    world.dies = true;
    assert_eq!(world.work(|_| false).len(), 1);
    world.set(RequestState::Approved);
    world.listed.as_mut().unwrap().reviews.push(review("carol"));
    world.check(&["update Cteam: Approved", "settle Cteam"]);
    let last = world.work(|_| false);
    assert!(last.len() == 1 && last[0].starts_with("reply 2 in Cteam"), "{last:?}");
    world.check(&[]);
}

#[test]
fn of_two_messages_to_one_person_the_second_is_taken_back() {
    let mut world = World::new(&["team"]);
    world.check(&["post to team: Pending"]);
    // A daemon that was frozen in the middle of its post records it after another one took over.
    let (key, channel) = (RecipientKey::new("team"), ChannelId::new("Cteam"));
    let late = Outcome::Posted { key, channel, ts: MessageTs::new("9.9"), shown: None };
    world.record.apply(&late);
    world.check(&["update Cteam: Pending", "withdraw 9.9 in Cteam"]);
    world.check(&[]);
    assert_eq!(world.record.deliveries.len(), 1);
}

#[test]
fn a_lost_message_is_left_alone_and_nobody_is_told_again() {
    let mut world = World::new(&["team", "ops"]);
    world.check(&["post to team: Pending", "post to ops: Pending"]);
    let lost = Outcome::Lost { channel: ChannelId::new("Cteam"), ts: world.record.deliveries[0].ts.clone() };
    world.record.apply(&lost);
    world.set(RequestState::Approved);
    world.listed.as_mut().unwrap().reviews.push(review("bob"));
    let told = world.work(|_| false);
    assert_eq!(told[0], "update Cops: Approved");
    assert!(told.len() == 2 && told[1].starts_with("reply 1 in Cops"), "{told:?}");
    world.check(&[]);
    assert!(world.record.deliveries[0].is_lost, "it is remembered in the record");
    assert_eq!(world.record.encode()["resolution"], "APPROVED", "every message that is left shows it");
    // A second message to the same person is no double of one that is gone.
    let (key, channel) = (RecipientKey::new("team"), ChannelId::new("Cteam"));
    world.record.apply(&Outcome::Posted { key, channel, ts: MessageTs::new("9.9"), shown: None });
    assert_eq!(world.work(|_| false)[0], "update Cteam: Approved");
}

#[test]
fn messages_of_the_go_plugin_are_corrected_and_nobody_is_told_twice() {
    let data = [("user", "alice@example.com"), ("messages", "C9/1.1,D9/2.2"), ("resolution", "APPROVED")];
    let data = data.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let (record, _) = Record::decode(&RequestId::new("x"), &data);
    let mut world = World { record, ..World::new(&["team"]) };
    world.set(RequestState::Approved);
    world.check(&["update C9: Approved", "update D9: Approved"]);
    world.check(&[]);
}

#[test]
fn a_crowd_of_reviews_is_told_in_order_and_completely() {
    let mut world = World::new(&["team"]);
    world.check(&["post to team: Pending"]);
    world.listed.as_mut().unwrap().reviews = (0..45).map(|n| review(&format!("u{n}"))).collect();
    let rounds: Vec<usize> =
        (0..4).map(|_| world.work(|_| false).iter().filter(|l| l.starts_with("reply")).count()).collect();
    assert_eq!(rounds, [20, 20, 5, 0]);
}

const BOTH: [&str; 2] = ["approve", "deny"];
const NONE: [&str; 0] = [];

#[test]
fn buttons_are_drawn_where_they_can_decide_something() {
    #[track_caller]
    fn check(mode: Option<Mode>, change: impl Fn(&mut World), expected: &[&str]) {
        let mut world = World { mode, ..World::new(&["team"]) };
        change(&mut world);
        assert_eq!(world.buttons(), [expected]);
    }
    check(None, |_| {}, &NONE);
    for mode in [Mode::Reviewer, Mode::Resolver] {
        check(Some(mode), |_| {}, &BOTH);
        check(Some(mode), |world| world.rules.0[0].teleport_only = true, &NONE);
        check(Some(mode), |world| world.listed.as_mut().unwrap().kind = RequestKind::LongTerm, &NONE);
        check(Some(mode), |world| world.listed.as_mut().unwrap().id = RequestId::new("a b"), &NONE);
        check(Some(mode), |world| world.set(RequestState::Approved), &NONE);
    }
    let uncovered = |world: &mut World| world.listed.as_mut().unwrap().roles.push("root".into());
    check(Some(Mode::Resolver), uncovered, &NONE);
    check(Some(Mode::Reviewer), uncovered, &BOTH);
    let without_rules = |world: &mut World| world.rules = Rules::default();
    check(Some(Mode::Resolver), without_rules, &NONE);
    let suggested = |world: &mut World| {
        world.rules = Rules::default();
        world.listed.as_mut().unwrap().suggested_reviewers.push("bob".into());
    };
    check(Some(Mode::Resolver), suggested, &BOTH);
}

#[test]
fn the_requesters_copy_has_no_buttons() {
    let mut world = World::new(&["team", "alice@example.com", "U0ALICE", "U0BOB"]);
    world.mode = Some(Mode::Reviewer);
    world.requester = vec![RecipientKey::new("U0ALICE")];
    assert_eq!(world.buttons(), [&BOTH[..], &NONE, &NONE, &BOTH]);
    world.work(|_| false);
    world.check(&[]);
    // Without deciding in Slack the buttons vanish, and so do the words why there are none.
    world.mode = None;
    assert_eq!(world.buttons(), [NONE; 4]);
    // Of the Go plugin's messages, any direct one may be the requester's.
    let data = [("user", "alice@example.com"), ("messages", "C9/1.1,D9/2.2")];
    let data = data.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let (record, _) = Record::decode(&RequestId::new("x"), &data);
    let adopted = World { record, mode: Some(Mode::Resolver), ..World::new(&[]) };
    assert_eq!(adopted.buttons(), [&BOTH[..], &NONE]);
    // A user whose name is a channel's does not take the channel's buttons away.
    let mut named = World { mode: Some(Mode::Resolver), ..World::new(&["#team"]) };
    named.listed.as_mut().unwrap().user = "team".into();
    assert_eq!(named.buttons(), [BOTH]);
}

#[test]
fn without_deciding_in_slack_a_card_is_what_it_was() {
    let world = World::new(&["team"]);
    let plan = world.plan();
    let Step::Post { message, .. } = &plan.errands[0].1[0] else { panic!() };
    let request = sample();
    let view =
        CardView { request: &request, phase: Phase::Pending, cluster: "demo", edition: Edition::Community };
    assert_eq!(serde_json::to_string(message).unwrap(), serde_json::to_string(&card(&view)).unwrap());
}

#[test]
fn votes_are_shown_and_told() {
    let mut world = World { mode: Some(Mode::Resolver), ..World::new(&["team"]) };
    world.check(&["post to team: Pending"]);
    assert!(matches!(world.vote("bob", Decision::Approve), Cast::Counted(_)));
    let json = |world: &World| {
        let Step::Update { message, .. } = &world.plan().errands[0].1[0] else { panic!() };
        serde_json::to_string(message).unwrap()
    };
    assert!(json(&world).contains("1 of 2 approvals"));
    let told = world.work(|_| false);
    assert_eq!(told[0], "update Cteam: Pending");
    assert!(told[1].starts_with("reply vote 1 in Cteam: bob reviewed the request in Slack"), "{told:?}");
    world.check(&[]);

    assert!(matches!(world.vote("carol", Decision::Approve), Cast::Settled(_)));
    world.set(RequestState::Approved);
    assert!(json(&world).contains("Decided by bob, carol in Slack"));
    assert_eq!(world.work(|_| false).len(), 2);
    world.check(&[]);
    // When deciding in Slack is switched off, it stays true who decided.
    world.mode = None;
    world.check(&[]);
    // Where something else decided, the votes did not.
    world.set(RequestState::Denied);
    assert!(!json(&world).contains("Decided by"));
}

#[test]
fn each_message_says_why_it_has_no_buttons() {
    let shown = |world: &World| {
        let steps = world.plan().errands.into_iter().flat_map(|(_, steps)| steps);
        let texts = steps.filter_map(|step| match step {
            Step::Post { message, .. } | Step::Update { message, .. } => serde_json::to_value(&message).ok(),
            Step::Reply { .. } | Step::Settle(_) | Step::Withdraw { .. } => None,
        });
        let why = |json: serde_json::Value| {
            let notes = json["blocks"][3]["elements"].as_array().cloned().unwrap_or_default();
            let notes = notes.iter().filter_map(|note| note["text"].as_str()?.strip_prefix("No buttons: "));
            notes.map(|why| why[..22].to_owned()).collect::<String>()
        };
        texts.map(why).collect::<Vec<_>>()
    };
    let check = |change: &dyn Fn(&mut World), expected: &[&str]| {
        let mut world = World { mode: Some(Mode::Resolver), ..World::new(&["team", "alice@example.com"]) };
        change(&mut world);
        assert_eq!(shown(&world), expected);
    };
    let own = "this is your own reque";
    check(&|_| (), &["", own]);
    let uncovered = |world: &mut World| world.listed.as_mut().unwrap().roles.push("root".into());
    check(&uncovered, &["no rule lets anybody d", own]);
    check(&|world| world.listed.as_mut().unwrap().roles.clear(), &["the request names no r", own]);
    check(&|world| world.rules = Rules::default(), &["only suggested reviewe", own]);
    check(&|world| world.rules.0[0].teleport_only = true, &["the rules leave this r", own]);
    check(&|world| world.listed.as_mut().unwrap().kind = RequestKind::LongTerm, &["", own]);
    check(&|world| world.mode = None, &["", ""]);
}

#[test]
fn what_another_version_drew_is_drawn_anew_once() {
    let mut world = World::new(&["team", "U0BOB"]);
    world.work(|_| false);
    world.check(&[]);
    for delivery in &mut world.record.deliveries {
        delivery.shown.as_mut().unwrap().digest = "0123456789abcdef".into();
    }
    world.check(&["update Cteam: Pending", "update CU0BOB: Pending"]);
    world.check(&[]);
    // Of what Teleport lists no more, the message may know more than we do.
    for delivery in &mut world.record.deliveries {
        let digest = "0123456789abcdef".into();
        delivery.shown = Some(Shown { phase: Phase::Approved, digest });
    }
    world.record.known.as_mut().unwrap().state = RequestState::Approved;
    world.listed = None;
    world.check(&[]);
}

/// Something that happens to the world between two plans.
#[derive(Clone, Debug)]
enum Happening {
    State(RequestState),
    Review(String),
    Reason(String),
    Vanish,
    Later(i64),
    NewTarget(String),
    Fail(bool),
    Mode(Option<Mode>),
    Vote(&'static str, bool),
    Die,
}

fn happening() -> impl Strategy<Value = Happening> {
    use RequestState::*;
    prop_oneof![
        prop::sample::select(vec![Pending, Approved, Denied, Promoted]).prop_map(Happening::State),
        ".{0,20}".prop_map(Happening::Review),
        ".{0,20}".prop_map(Happening::Reason),
        Just(Happening::Vanish),
        (0..9_000i64).prop_map(Happening::Later),
        "[a-z]{1,3}".prop_map(Happening::NewTarget),
        any::<bool>().prop_map(Happening::Fail),
        Just(Happening::Die),
        prop::sample::select(vec![None, Some(Mode::Reviewer), Some(Mode::Resolver)])
            .prop_map(Happening::Mode),
        (prop::sample::select(vec!["bob", "carol", "eve"]), any::<bool>())
            .prop_map(|(user, approve)| Happening::Vote(user, approve)),
    ]
}

proptest! {
    #[test]
    fn a_carried_out_plan_leaves_nothing_to_do(story in proptest::collection::vec(happening(), 0..12)) {
        let mut world = World::new(&["team", "ops"]);
        let mut fails = false;
        for happening in story {
            match (happening, world.listed.as_mut()) {
                (Happening::Later(seconds), _) => world.now += SignedDuration::from_secs(seconds),
                (Happening::NewTarget(name), _) => world.targets.push(Target { post_to: name.clone(), keys: vec![RecipientKey::new(name)] }),
                (Happening::Fail(now), _) => fails = now,
                (Happening::Die, _) => world.dies = true,
                (Happening::Vanish, _) => world.listed = None,
                (Happening::Mode(mode), _) => world.mode = mode,
                (Happening::Vote(user, approve), Some(_)) => {
                    world.vote(user, if approve { Decision::Approve } else { Decision::Deny });
                }
                (Happening::State(state), Some(request)) => request.state = state,
                (Happening::Review(author), Some(request)) => request.reviews.push(review(&author)),
                (Happening::Reason(reason), Some(request)) => request.reason = reason,
                (_, None) => {}
            }
            world.work(|_| fails);
        }
        // Whatever was in the way is gone: a few rounds (look, post, edit, reply) settle everything, and it stays so.
        world.dies = false;
        world.now += SignedDuration::from_secs(11);
        for _ in 0..4 {
            world.work(|_| false);
        }
        prop_assert!(world.plan().is_empty(), "{:?}", world.plan());
        let mut keys: Vec<_> = world.record.deliveries.iter().map(|d| d.key.clone()).collect();
        keys.sort();
        let told = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), told, "somebody was told twice");
        prop_assert!(world.record.claim.is_none() && world.record.doubts.is_empty(), "{:?}", world.record);
        let mut posted: Vec<_> = world.slack.iter().map(|(errand, _, _, told)| format!("{errand:?} {told:?}")).collect();
        let count = posted.len();
        posted.sort();
        posted.dedup();
        prop_assert_eq!(posted.len(), count, "something stands in Slack twice: {:?}", world.slack);
        let recorded = |ts: &MessageTs| world.record.deliveries.iter().any(|d| d.ts == *ts);
        for (errand, _, ts, _) in &world.slack {
            prop_assert!(matches!(errand, Errand::Tell(..)) || recorded(ts), "{errand:?} is forgotten");
        }
    }
}

#[test]
fn what_cannot_be_written_down_is_not_posted() {
    let names: Vec<_> = (0..100).map(|n| format!("c{n}")).collect();
    let targets: Vec<_> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&targets);
    for n in 0..MAX_DELIVERIES - 3 {
        let (key, channel) = (RecipientKey::new(format!("old {n}")), ChannelId::new(format!("D{n}")));
        world.record.apply(&Outcome::Posted { key, channel, ts: MessageTs::new("1.1"), shown: None });
    }
    let posts = |world: &World| world.plan().posts().count();
    assert_eq!(posts(&world), 3, "there is room for three more");
    for n in 0..MAX_DOUBTS - 1 {
        let errand = Errand::Deliver(RecipientKey::new(format!("old doubt {n}")));
        world.record.doubts.push(Doubt::new(errand, "C1".into(), world.now, world.now));
    }
    assert_eq!(posts(&world), 1, "and for one more doubt");
}

#[test]
fn a_post_that_is_to_be_made_again_is_planned_under_the_name_that_it_had() {
    let mut world = World::new(&["C1"]);
    world.targets[0].keys.push(RecipientKey::new("#team"));
    let again = Errand::Deliver(RecipientKey::new("#team"));
    let doubt = Doubt { may_repeat: true, ..Doubt::new(again.clone(), "team".into(), world.now, world.now) };
    world.record.doubts.push(doubt.clone());
    let plan = world.plan();
    assert_eq!(plan.posts().collect::<Vec<_>>(), [(again.clone(), "C1".to_owned())]);
    assert_eq!(plan.errands.len(), 1);
    // Nobody needs it any more: it is looked for, and then forgotten.
    world.listed = None;
    let plan = world.plan();
    let search = plan.errands.iter().find_map(|(errand, steps)| match &steps[..] {
        [Step::Settle(search)] if *errand == again => Some(search),
        _ => None,
    });
    assert!(search.is_none(), "with no request and nothing known there is nothing to plan");
    world.record.known = Some(sample());
    let plan = world.plan();
    let [(_, steps)] = &plan.errands[..] else { panic!("{plan:?}") };
    assert!(matches!(&steps[..], [Step::Settle(Search { is_wanted: false, .. })]), "{steps:?}");
}
