//! Plans as readable lines, and the property that an applied plan leaves nothing to do.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::decision::Decision;
use crate::domain::ids::{ChannelId, MessageTs, RequestId};
use crate::domain::recipients::Recipient;
use crate::domain::request::{RequestKind, Review, sample};
use crate::domain::role_pattern::RolePattern;
use crate::policy::voters::samples::voters;
use crate::policy::{Approver, Mode, ReasonPolicy, Rule, Rules, VoteResult, add_vote};
use crate::record::claim::{Claim, ClaimTimings, InDoubtPost};
use crate::record::{DisplayedState, MAX_DELIVERIES, Outcome, RepliesPosted, user_behind};
use crate::render::Message;
use crate::render::request_message::{MessageInput, request_message};

mod direct;
mod names;
mod owed;
mod skipped;

/// A Teleport, a Slack and a record as plain values; carries plans out as the daemon does.
#[derive(Clone, Debug)]
struct Fixture {
    current: Option<AccessRequest>,
    is_absence_proved: bool,
    record: Record,
    recipients: RecipientList,
    destinations: Vec<Destination>,
    unresolved: BTreeMap<RecipientKey, Unresolved>,
    known_ids: KnownIds,
    retry_at: BTreeMap<Operation, Timestamp>,
    mode: Option<Mode>,
    rules: Rules,
    requester: Vec<RecipientKey>,
    now: Timestamp,
    /// Everything in Slack that the bot posted: for which recipient or in which thread, and where.
    slack: Vec<(Operation, ChannelId, MessageTs, Option<RepliesPosted>)>,
    /// Whether the daemon dies during the next plan: what it did is done, and nothing is recorded.
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
    fn new(destinations: &[&str]) -> Self {
        let target = |name: &&str| Destination {
            post_to: (*name).to_owned(),
            recipient_keys: vec![RecipientKey::new(*name)],
        };
        Self {
            current: Some(sample()),
            is_absence_proved: true,
            record: Record::default(),
            recipients: RecipientList::default(),
            unresolved: BTreeMap::new(),
            known_ids: KnownIds::default(),
            destinations: destinations.iter().map(target).collect(),
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
            is_absence_proved: self.is_absence_proved,
            record: &self.record,
            recipients: &self.recipients,
            destinations: &self.destinations,
            unresolved: &self.unresolved,
            known_ids: &self.known_ids,
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

    /// Applies the plan, skips operations that `fails` names, and returns one line a step.
    fn run_pass(&mut self, fails: impl Fn(&Operation) -> bool) -> Vec<String> {
        let plan = self.plan();
        if let Some(known) = &plan.request_to_record {
            self.record.update_known(known);
        }
        if let Some(owed) = plan.owed.clone() {
            self.record.apply(&owed);
        }
        self.generation += 1;
        let offset = SignedDuration::from_nanos(self.generation.cast_signed());
        let claim =
            Claim { holder: "us".into(), generation: self.generation, acquired_at: self.now + offset };
        self.record.acquire(claim.clone(), plan.posts(), &ClaimTimings::default());
        let (mut lines, mut outcomes) = (Vec::new(), Vec::new());
        for (operation, steps) in plan.operations {
            let resolved =
                Outcome::Resolved { operation: operation.clone(), attempted_at: claim.acquired_at };
            if fails(&operation) {
                self.retry_at.insert(operation, self.now + SignedDuration::from_secs(10));
                outcomes.push(resolved);
                continue;
            }
            for step in steps {
                let (line, more) = self.execute(&operation, step);
                lines.push(line);
                outcomes.extend(more);
            }
            outcomes.push(resolved);
        }
        if !std::mem::take(&mut self.crashes) {
            outcomes.iter().for_each(|outcome| self.record.apply(outcome));
            self.record.release(&claim);
        }
        self.record = Record::decode(&sample().id, &self.record.encode()).0;
        lines
    }

    fn execute(&mut self, operation: &Operation, step: Step) -> (String, Vec<Outcome>) {
        let new_ts = MessageTs::new(format!("{}.0", self.slack.len() + 1));
        match (step, operation) {
            (Step::Post { key, post_to, displayed: shown, .. }, Operation::Post(_)) => {
                let (channel, ts) = (ChannelId::new(format!("C{post_to}")), new_ts);
                self.slack.push((operation.clone(), channel.clone(), ts.clone(), None));
                let line = format!("post to {post_to}: {:?}", shown.phase);
                let user = user_behind(&post_to, &key);
                (line, vec![Outcome::Posted { key, channel, ts, displayed: Some(shown), user }])
            }
            (Step::Update { channel, ts, displayed, .. }, Operation::Update(..)) => (
                format!("update {channel}: {:?}", displayed.phase),
                vec![Outcome::Updated { channel, ts, displayed }],
            ),
            (Step::Reply { channel, ts, replies, message }, Operation::Reply(..)) => {
                self.slack.push((operation.clone(), channel.clone(), new_ts, Some(replies)));
                let number = match replies {
                    RepliesPosted::Reviews(count) => count.to_string(),
                    RepliesPosted::Votes(count) => format!("vote {count}"),
                };
                let line = format!("reply {number} in {channel}: {}", message.text().lines().next().unwrap());
                (line, vec![Outcome::Replied { channel, ts, replies }])
            }
            (Step::VerifyPost(HistoryQuery { in_doubt: post, .. }), operation)
                if post.operation == *operation =>
            {
                let found = self.slack.iter().filter(|(posted, ..)| posted == operation);
                let mut outcomes: Vec<_> = found
                    .map(|(_, channel, ts, replies)| match (operation, *replies) {
                        (Operation::Post(key), None) => Outcome::Posted {
                            key: key.clone(),
                            channel: channel.clone(),
                            ts: ts.clone(),
                            displayed: None,
                            user: None,
                        },
                        (Operation::Reply(_, thread), Some(replies)) => {
                            Outcome::Replied { channel: channel.clone(), ts: thread.clone(), replies }
                        }
                        other => panic!("{other:?}"),
                    })
                    .collect();
                outcomes.push(Outcome::Resolved {
                    operation: operation.clone(),
                    attempted_at: post.attempted_at,
                });
                (format!("verify {}", post.destination), outcomes)
            }
            (Step::Delete { channel, ts }, Operation::Update(..)) => {
                self.slack.retain(|(_, _, posted, _)| *posted != ts);
                (format!("delete {ts} in {channel}"), vec![Outcome::Deleted { channel, ts }])
            }
            (step, operation) => panic!("{step:?} is no step of {operation:?}"),
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
    let mut fixture = Fixture::new(&["team", "ops"]);
    fixture.assert_pass(&["post to team: Pending", "post to ops: Pending"]);
    fixture.assert_pass(&[]);
    fixture.current.as_mut().unwrap().reviews.push(review("bob@example.com"));
    fixture.set_state(RequestState::Approved);
    let replies = fixture.run_pass(|_| false);
    assert_eq!(replies[0], "update Cteam: Approved");
    assert!(replies[1].starts_with("reply 1 in Cteam: bob@example.com reviewed the request"), "{replies:?}");
    assert_eq!(replies[2], "update Cops: Approved");
    assert_eq!(replies.len(), 4);
    fixture.assert_pass(&[]);
    // The grant ends and Teleport forgets the request: the message keeps the outcome.
    fixture.current = None;
    fixture.assert_pass(&[]);
}

#[test]
fn a_message_without_its_own_change_is_left_alone_and_a_changed_one_is_edited() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.assert_pass(&["post to team: Pending"]);
    fixture.current.as_mut().unwrap().reason = "another reason".into();
    fixture.assert_pass(&["update Cteam: Pending"]);
    // An unusual server turns an approval into a denial: the message follows.
    fixture.set_state(RequestState::Approved);
    fixture.assert_pass(&["update Cteam: Approved"]);
    fixture.set_state(RequestState::Denied);
    fixture.assert_pass(&["update Cteam: Denied"]);
}

#[test]
fn expiry_and_deletion_are_distinguished() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.assert_pass(&["post to team: Pending"]);
    assert_eq!(fixture.plan().requeue_at, Some(sample().expires.unwrap() + SignedDuration::from_secs(5)));
    let mut deleted = fixture.clone();
    deleted.current = None;
    deleted.assert_pass(&["update Cteam: Deleted"]);
    deleted.assert_pass(&[]);
    fixture.now = sample().expires.unwrap() + SignedDuration::from_secs(5);
    // As long as Teleport shows it as pending, it is.
    assert_eq!(fixture.plan(), Plan::default());
    fixture.current = None;
    fixture.assert_pass(&["update Cteam: Expired"]);
    fixture.assert_pass(&[]);
}

#[test]
fn changes_during_downtime_are_shown_once() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.current.as_mut().unwrap().reviews = vec![review("bob"), review("carol")];
    fixture.set_state(RequestState::Approved);
    fixture.assert_pass(&["post to team: Approved"]);
    assert_eq!(fixture.run_pass(|_| false).len(), 2);
    fixture.assert_pass(&[]);
    // Our clock is no reason to notify no recipient of what Teleport shows as pending.
    let mut expired = Fixture::new(&["team"]);
    expired.now = sample().expires.unwrap() + SignedDuration::from_hours(1);
    expired.assert_pass(&["post to team: Pending"]);
    // A request that came and went matters no more.
    let mut gone = Fixture::new(&["team"]);
    gone.current = None;
    gone.assert_pass(&[]);
}

/// The recipients, as a changed configuration names them.
fn with_recipients(fixture: &Fixture, names: &[&str]) -> Fixture {
    Fixture { destinations: Fixture::new(names).destinations, ..fixture.clone() }
}

#[test]
fn a_recipient_who_is_added_after_the_decision_gets_no_message_of_it() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.assert_pass(&["post to team: Pending"]);
    // Of one that waits they do.
    with_recipients(&fixture, &["team", "new"]).assert_pass(&["post to new: Pending"]);
    // It is decided while the daemon is down, and the configuration changes: no daemon saw it with all of its messages.
    let mut unseen = with_recipients(&fixture, &["team", "new"]);
    unseen.set_state(RequestState::Denied);
    unseen.assert_pass(&["update Cteam: Denied", "post to new: Denied"]);

    fixture.set_state(RequestState::Approved);
    fixture.assert_pass(&["update Cteam: Approved"]);
    let mut added = with_recipients(&fixture, &["team", "new"]);
    let reason = SkipReason::DecidedBefore;
    let operation = Operation::Post(RecipientKey::new("new"));
    assert_eq!(added.plan().skipped, [Skipped { operation: Some(operation), reason }]);
    added.assert_pass(&[]);
    // What is there is kept up to date.
    added.set_state(RequestState::Denied);
    added.assert_pass(&["update Cteam: Denied"]);
    // Opened again, it asks the new recipient, too.
    added.set_state(RequestState::Pending);
    added.assert_pass(&["update Cteam: Pending", "post to new: Pending"]);
    added.set_state(RequestState::Approved);
    added.assert_pass(&["update Cteam: Approved", "update Cnew: Approved"]);

    // Posted as decided, because it was decided before the daemon saw it.
    let mut late = Fixture::new(&["team"]);
    late.set_state(RequestState::Approved);
    late.assert_pass(&["post to team: Approved"]);
    late.assert_pass(&[]);
    with_recipients(&late, &["team", "new"]).assert_pass(&[]);
}

#[test]
fn a_person_of_two_names_gets_one_message_also_while_one_of_them_is_not_looked_up() {
    let named = |fixture: &mut Fixture, name: &str| {
        let key = RecipientKey::new(name);
        fixture.destinations = vec![Destination { post_to: "U0BOB".into(), recipient_keys: vec![key] }];
    };
    let mut fixture = Fixture::new(&["U0BOB"]);
    fixture.crashes = true;
    fixture.assert_pass(&["post to U0BOB: Pending"]);
    let known = fixture.clone();

    // It may be there, so the other name waits for the look. It is there.
    named(&mut fixture, "bob@example.com");
    let skipped = fixture.plan().skipped;
    assert!(matches!(&skipped[..], [Skipped { reason: SkipReason::VerifyAt(_), .. }]), "{skipped:?}");
    fixture.assert_pass(&["verify U0BOB"]);
    assert_eq!(fixture.slack.len(), 1);
    fixture.assert_pass(&["update CU0BOB: Pending"]);
    // The message was for the id, which the other name leads to.
    fixture.assert_pass(&[]);
    assert_eq!(fixture.plan().skipped[0].reason, SkipReason::SharesDestination);

    // It is not there: the post is made again under the name that it had.
    let mut fixture = known;
    named(&mut fixture, "bob@example.com");
    fixture.slack.clear();
    let doubted = fixture.record.in_doubt[0].clone();
    fixture.record.in_doubt[0].may_retry = true;
    fixture.assert_pass(&["post to U0BOB: Pending"]);
    assert_eq!(fixture.record.deliveries[0].key, Some(RecipientKey::new("U0BOB")));
    assert!(fixture.record.in_doubt.is_empty(), "{doubted:?}");
    fixture.assert_pass(&[]);
}

#[test]
fn a_message_that_was_late_when_the_request_was_decided_is_still_posted() {
    let mut fixture = Fixture::new(&["team", "ops"]);
    let fails = |operation: &Operation| *operation == Operation::Post(RecipientKey::new("ops"));
    assert_eq!(fixture.run_pass(fails), ["post to team: Pending"]);
    fixture.set_state(RequestState::Approved);
    fixture.assert_pass(&["update Cteam: Approved"]);
    fixture.now += SignedDuration::from_secs(10);
    fixture.assert_pass(&["post to ops: Approved"]);
    fixture.assert_pass(&[]);
    with_recipients(&fixture, &["team", "ops", "new"]).assert_pass(&[]);

    // One who is still looked up is waited for, and so is a name of the configuration that an operator corrects; not a
    // suggested reviewer who is unknown in Slack.
    for (recipient, why, is_complete) in [
        (Recipient::Email("a@example.com".into()), Some(Unresolved::NoSuchUser), false),
        (Recipient::Email("a@example.com".into()), None, false),
        (Recipient::Reviewer("a".into()), Some(Unresolved::LookupFailed), false),
        (Recipient::Reviewer("a".into()), Some(Unresolved::NoSuchUser), true),
        (Recipient::Reviewer("a".into()), Some(Unresolved::Requester), true),
    ] {
        let mut fixture = Fixture::new(&["team"]);
        fixture.unresolved.extend(why.map(|why| (recipient.key(), why)));
        fixture.recipients.recipients.push(recipient.clone());
        fixture.assert_pass(&["post to team: Pending"]);
        fixture.set_state(RequestState::Approved);
        fixture.assert_pass(&["update Cteam: Approved"]);
        assert_eq!(fixture.record.owed == Some(vec![]), is_complete, "{recipient:?} {why:?}");
    }
}

#[test]
fn a_recipient_who_cannot_be_reached_lets_no_other_have_decided_requests() {
    let random = Operation::Post(RecipientKey::new("#random"));
    let fails = |operation: &Operation| *operation == random;
    let mut fixture = Fixture::new(&["team", "#random"]);
    assert_eq!(fixture.run_pass(fails), ["post to team: Pending"]);
    fixture.set_state(RequestState::Approved);
    assert_eq!(fixture.run_pass(fails), ["update Cteam: Approved"]);
    assert_eq!(fixture.record.owed, Some(vec![RecipientKey::new("#random")]));
    // The channel is still not there when another recipient is added.
    fixture.now += SignedDuration::from_secs(10);
    let mut added = with_recipients(&fixture, &["team", "new", "#random"]);
    let skipped = Skipped {
        operation: Some(Operation::Post(RecipientKey::new("new"))),
        reason: SkipReason::DecidedBefore,
    };
    assert_eq!(added.plan().skipped, [skipped]);
    assert!(added.run_pass(fails).is_empty());
    added.now += SignedDuration::from_secs(10);
    // Now it is. Its message was made under another name, too.
    added.destinations[2].recipient_keys.push(RecipientKey::new("C0RANDOM"));
    added.assert_pass(&["post to #random: Approved"]);
    added.assert_pass(&[]);
    assert_eq!(added.record.owed, Some(vec![]));
    // One that is opened again is for all.
    added.set_state(RequestState::Pending);
    added.assert_pass(&["update Cteam: Pending", "update C#random: Pending", "post to new: Pending"]);

    // No recipient could be reached at all, or there was none.
    for recipients in [&["#random"][..], &[]] {
        let mut fixture = Fixture::new(recipients);
        fixture.run_pass(fails);
        fixture.set_state(RequestState::Denied);
        fixture.run_pass(fails);
        fixture.now += SignedDuration::from_secs(10);
        let names: Vec<_> = ["new"].iter().chain(recipients).copied().collect();
        let mut added = with_recipients(&fixture, &names);
        assert_eq!(added.run_pass(|_| false).len(), recipients.len());
        assert!(added.slack.iter().all(|(operation, ..)| *operation == random), "{:?}", added.slack);
        added.assert_pass(&[]);
    }
}

#[test]
fn a_post_in_doubt_when_the_request_was_decided_is_repeated_under_another_name() {
    let mut fixture = Fixture::new(&["U0BOB"]);
    fixture.crashes = true;
    fixture.assert_pass(&["post to U0BOB: Pending"]);
    fixture.set_state(RequestState::Approved);
    // The look-up of the id fails; the address leads there.
    fixture.destinations[0].recipient_keys = vec![RecipientKey::new("bob@example.com")];
    fixture.slack.clear();
    fixture.assert_pass(&["verify U0BOB"]);
    fixture.assert_pass(&["post to U0BOB: Approved"]);
    fixture.assert_pass(&[]);
    assert_eq!(fixture.record.owed, Some(vec![]));
}

#[test]
fn a_request_that_is_reopened_endlessly_takes_and_replies_each_vote() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.rules.0[0].approvals = 1;
    fixture.assert_pass(&["post to team: Pending"]);
    for round in 1..=crate::record::votes::MAX_VOTES + 20 {
        let cast = fixture.vote("bob", Decision::Approve);
        assert!(matches!(cast, VoteResult::Decisive(_)), "round {round}: {cast:?}");
        fixture.set_state(RequestState::Approved);
        let story = fixture.run_pass(|_| false);
        assert!(story.len() == 2 && story[1].starts_with(&format!("reply vote {round} in")), "{story:?}");
        fixture.set_state(RequestState::Pending);
        fixture.assert_pass(&["update Cteam: Pending"]);
        fixture.assert_pass(&[]);
    }
}

#[test]
fn a_failing_message_delays_no_other() {
    let mut fixture = Fixture::new(&["team", "ops"]);
    let fails = |operation: &Operation| *operation == Operation::Post(RecipientKey::new("ops"));
    assert_eq!(fixture.run_pass(fails), ["post to team: Pending"]);
    fixture.assert_pass(&[]);
    let again = fixture.plan().requeue_at.unwrap();
    assert_eq!(again, fixture.now + SignedDuration::from_secs(10));
    fixture.now = again;
    fixture.assert_pass(&["post to ops: Pending"]);
}

#[test]
fn an_unrecorded_post_is_verified_and_not_repeated() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.crashes = true;
    fixture.assert_pass(&["post to team: Pending"]);
    // Meanwhile the request is deleted: the unrecorded message must not stay as it is.
    fixture.current = None;
    fixture.assert_pass(&["verify team"]);
    fixture.assert_pass(&["update Cteam: Deleted"]);
    fixture.assert_pass(&[]);
}

#[test]
fn an_unrecorded_reply_is_not_repeated_and_delays_no_edit() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.assert_pass(&["post to team: Pending"]);
    fixture.current.as_mut().unwrap().reviews.push(review("bob"));
    fixture.crashes = true;
    assert_eq!(fixture.run_pass(|_| false).len(), 1);
    fixture.set_state(RequestState::Approved);
    fixture.current.as_mut().unwrap().reviews.push(review("carol"));
    fixture.assert_pass(&["update Cteam: Approved", "verify Cteam"]);
    let last = fixture.run_pass(|_| false);
    assert!(last.len() == 1 && last[0].starts_with("reply 2 in Cteam"), "{last:?}");
    fixture.assert_pass(&[]);
}

#[test]
fn the_second_of_two_messages_to_one_person_is_deleted() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.assert_pass(&["post to team: Pending"]);
    // A daemon that was frozen during its post records it after another one took over.
    let (key, channel) = (RecipientKey::new("team"), ChannelId::new("Cteam"));
    let late = Outcome::Posted { key, channel, ts: MessageTs::new("9.9"), displayed: None, user: None };
    fixture.record.apply(&late);
    fixture.assert_pass(&["update Cteam: Pending", "delete 9.9 in Cteam"]);
    fixture.assert_pass(&[]);
    assert_eq!(fixture.record.deliveries.len(), 1);
}

#[test]
fn an_unreachable_message_is_left_alone_and_not_posted_again() {
    let mut fixture = Fixture::new(&["team", "ops"]);
    fixture.assert_pass(&["post to team: Pending", "post to ops: Pending"]);
    let lost = Outcome::Unreachable {
        channel: ChannelId::new("Cteam"),
        ts: fixture.record.deliveries[0].ts.clone(),
    };
    fixture.record.apply(&lost);
    fixture.set_state(RequestState::Approved);
    fixture.current.as_mut().unwrap().reviews.push(review("bob"));
    let lines = fixture.run_pass(|_| false);
    assert_eq!(lines[0], "update Cops: Approved");
    assert!(lines.len() == 2 && lines[1].starts_with("reply 1 in Cops"), "{lines:?}");
    fixture.assert_pass(&[]);
    assert!(fixture.record.deliveries[0].is_unreachable, "it is remembered in the record");
    assert_eq!(fixture.record.encode()["resolution"], "APPROVED", "every message that is left shows it");
    // A second message to the same person is no duplicate of one that is gone.
    let (key, channel) = (RecipientKey::new("team"), ChannelId::new("Cteam"));
    fixture.record.apply(&Outcome::Posted {
        key,
        channel,
        ts: MessageTs::new("9.9"),
        displayed: None,
        user: None,
    });
    assert_eq!(fixture.run_pass(|_| false)[0], "update Cteam: Approved");
}

#[test]
fn messages_of_the_go_plugin_are_updated_and_not_posted_again() {
    let data = [("user", "alice@example.com"), ("messages", "C9/1.1,D9/2.2"), ("resolution", "APPROVED")];
    let data = data.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let (record, _) = Record::decode(&RequestId::new("x"), &data);
    let mut fixture = Fixture { record, ..Fixture::new(&["team"]) };
    fixture.set_state(RequestState::Approved);
    fixture.assert_pass(&["update C9: Approved", "update D9: Approved"]);
    fixture.assert_pass(&[]);
}

#[test]
fn many_reviews_are_replied_in_order_and_completely() {
    let mut fixture = Fixture::new(&["team"]);
    fixture.assert_pass(&["post to team: Pending"]);
    fixture.current.as_mut().unwrap().reviews = (0..45).map(|n| review(&format!("u{n}"))).collect();
    let rounds: Vec<usize> = (0..4)
        .map(|_| fixture.run_pass(|_| false).iter().filter(|l| l.starts_with("reply")).count())
        .collect();
    assert_eq!(rounds, [20, 20, 5, 0]);
}

const BOTH: [&str; 2] = ["approve", "deny"];
const NONE: [&str; 0] = [];

#[test]
fn buttons_are_drawn_where_they_can_decide_something() {
    #[track_caller]
    fn assert_buttons(mode: Option<Mode>, change: impl Fn(&mut Fixture), expected: &[&str]) {
        let mut fixture = Fixture { mode, ..Fixture::new(&["team"]) };
        change(&mut fixture);
        assert_eq!(fixture.buttons(), [expected]);
    }
    assert_buttons(None, |_| {}, &NONE);
    for mode in [Mode::Reviewer, Mode::Resolver] {
        assert_buttons(Some(mode), |_| {}, &BOTH);
        assert_buttons(Some(mode), |fixture| fixture.rules.0[0].teleport_only = true, &NONE);
        assert_buttons(
            Some(mode),
            |fixture| fixture.current.as_mut().unwrap().kind = RequestKind::LongTerm,
            &NONE,
        );
        assert_buttons(
            Some(mode),
            |fixture| fixture.current.as_mut().unwrap().id = RequestId::new("a b"),
            &NONE,
        );
        assert_buttons(Some(mode), |fixture| fixture.set_state(RequestState::Approved), &NONE);
    }
    let uncovered = |fixture: &mut Fixture| fixture.current.as_mut().unwrap().roles.push("root".into());
    assert_buttons(Some(Mode::Resolver), uncovered, &NONE);
    assert_buttons(Some(Mode::Reviewer), uncovered, &BOTH);
    let without_rules = |fixture: &mut Fixture| fixture.rules = Rules::default();
    assert_buttons(Some(Mode::Resolver), without_rules, &NONE);
    let suggested = |fixture: &mut Fixture| {
        fixture.rules = Rules::default();
        fixture.current.as_mut().unwrap().suggested_reviewers.push("bob".into());
    };
    assert_buttons(Some(Mode::Resolver), suggested, &BOTH);
}

#[test]
fn the_requesters_copy_has_no_buttons() {
    let mut fixture = Fixture::new(&["team", "alice@example.com", "U0ALICE", "U0BOB"]);
    fixture.mode = Some(Mode::Reviewer);
    fixture.requester = vec![RecipientKey::new("U0ALICE")];
    assert_eq!(fixture.buttons(), [&BOTH[..], &NONE, &NONE, &BOTH]);
    fixture.run_pass(|_| false);
    fixture.assert_pass(&[]);
    // Without deciding in Slack the buttons vanish, and so do the words why there are none.
    fixture.mode = None;
    assert_eq!(fixture.buttons(), [NONE; 4]);
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
fn without_deciding_in_slack_a_message_is_unchanged() {
    let fixture = Fixture::new(&["team"]);
    let plan = fixture.plan();
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
fn votes_are_shown_and_replied() {
    let mut fixture = Fixture { mode: Some(Mode::Resolver), ..Fixture::new(&["team"]) };
    fixture.assert_pass(&["post to team: Pending"]);
    assert!(matches!(fixture.vote("bob", Decision::Approve), VoteResult::Counted(_)));
    let json = |fixture: &Fixture| {
        let Step::Update { message, .. } = &fixture.plan().operations[0].1[0] else { panic!() };
        serde_json::to_string(message).unwrap()
    };
    assert!(json(&fixture).contains("1 of 2 approvals"));
    let lines = fixture.run_pass(|_| false);
    assert_eq!(lines[0], "update Cteam: Pending");
    assert!(lines[1].starts_with("reply vote 1 in Cteam: bob reviewed the request in Slack"), "{lines:?}");
    fixture.assert_pass(&[]);

    assert!(matches!(fixture.vote("carol", Decision::Approve), VoteResult::Decisive(_)));
    fixture.set_state(RequestState::Approved);
    assert!(json(&fixture).contains("Decided by bob, carol in Slack"));
    assert_eq!(fixture.run_pass(|_| false).len(), 2);
    fixture.assert_pass(&[]);
    // When deciding in Slack is switched off, the message still shows who decided.
    fixture.mode = None;
    fixture.assert_pass(&[]);
    // Where something else decided, the votes did not.
    fixture.set_state(RequestState::Denied);
    assert!(!json(&fixture).contains("Decided by"));
}

#[test]
fn each_message_says_why_it_has_no_buttons() {
    let shown = |fixture: &Fixture| {
        let steps = fixture.plan().operations.into_iter().flat_map(|(_, steps)| steps);
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
    let assert_no_buttons = |change: &dyn Fn(&mut Fixture), expected: &[&str]| {
        let mut fixture =
            Fixture { mode: Some(Mode::Resolver), ..Fixture::new(&["team", "alice@example.com"]) };
        change(&mut fixture);
        assert_eq!(shown(&fixture), expected);
    };
    let own = "this is your own reque";
    assert_no_buttons(&|_| (), &["", own]);
    let uncovered = |fixture: &mut Fixture| fixture.current.as_mut().unwrap().roles.push("root".into());
    assert_no_buttons(&uncovered, &["no rule lets anybody d", own]);
    assert_no_buttons(
        &|fixture| fixture.current.as_mut().unwrap().roles.clear(),
        &["the request names no r", own],
    );
    assert_no_buttons(&|fixture| fixture.rules = Rules::default(), &["only suggested reviewe", own]);
    assert_no_buttons(&|fixture| fixture.rules.0[0].teleport_only = true, &["the rules leave this r", own]);
    assert_no_buttons(&|fixture| fixture.current.as_mut().unwrap().kind = RequestKind::LongTerm, &["", own]);
    assert_no_buttons(&|fixture| fixture.mode = None, &["", ""]);
}

#[test]
fn a_message_of_another_version_is_redrawn_once() {
    let mut fixture = Fixture::new(&["team", "U0BOB"]);
    fixture.run_pass(|_| false);
    fixture.assert_pass(&[]);
    for delivery in &mut fixture.record.deliveries {
        delivery.displayed.as_mut().unwrap().digest = "0123456789abcdef".into();
    }
    fixture.assert_pass(&["update Cteam: Pending", "update CU0BOB: Pending"]);
    fixture.assert_pass(&[]);
    // Of what Teleport lists no more, the message may know more than we do.
    for delivery in &mut fixture.record.deliveries {
        let digest = "0123456789abcdef".into();
        delivery.displayed = Some(DisplayedState { phase: Phase::Approved, digest });
    }
    fixture.record.known.as_mut().unwrap().state = RequestState::Approved;
    fixture.current = None;
    fixture.assert_pass(&[]);
}

/// Something that happens between two plans.
#[derive(Clone, Debug)]
enum Event {
    State(RequestState),
    Review(String),
    Reason(String),
    Remove,
    AdvanceClock(i64),
    NewDestination(String),
    Fail(bool),
    /// This recipient cannot be reached; the one before can.
    Unreachable(String),
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
        prop_oneof![Just("ops".to_owned()), "[a-z]{1,3}"].prop_map(Event::Unreachable),
        Just(Event::Crash),
        prop::sample::select(vec![None, Some(Mode::Reviewer), Some(Mode::Resolver)]).prop_map(Event::Mode),
        (prop::sample::select(vec!["bob", "carol", "eve"]), any::<bool>())
            .prop_map(|(user, approve)| Event::Vote(user, approve)),
    ]
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_do(events in proptest::collection::vec(event(), 0..12)) {
        let mut fixture = Fixture::new(&["team", "ops"]);
        let mut fails = false;
        let mut unreachable = None;
        // Recipients who were added after the decision.
        let mut late = std::collections::BTreeSet::new();
        for happening in events {
            let is_decided = fixture.record.owed.is_some();
            match (happening, fixture.current.as_mut()) {
                (Event::AdvanceClock(seconds), _) => fixture.now += SignedDuration::from_secs(seconds),
                (Event::NewDestination(name), _) => {
                    let key = RecipientKey::new(&name);
                    if !fixture.destinations.iter().any(|to| to.post_to == name) {
                        fixture.destinations.push(Destination { post_to: name, recipient_keys: vec![key.clone()] });
                        late.extend(Some(Operation::Post(key)).filter(|_| is_decided));
                    }
                }
                (Event::Fail(now), _) => fails = now,
                (Event::Unreachable(name), _) => unreachable = Some(Operation::Post(RecipientKey::new(name))),
                (Event::Crash, _) => fixture.crashes = true,
                (Event::Remove, _) => fixture.current = None,
                (Event::Mode(mode), _) => fixture.mode = mode,
                (Event::Vote(user, approve), Some(_)) => {
                    fixture.vote(user, if approve { Decision::Approve } else { Decision::Deny });
                }
                (Event::State(state), Some(request)) => request.state = state,
                (Event::Review(author), Some(request)) => request.reviews.push(review(&author)),
                (Event::Reason(reason), Some(request)) => request.reason = reason,
                (_, None) => {}
            }
            fixture.run_pass(|operation| fails || Some(operation) == unreachable.as_ref());
            if fixture.record.owed.is_none() {
                late.clear();
            }
        }
        // All obstacles are gone: a few passes (look, post, edit, reply) resolve everything, and it stays so.
        fixture.crashes = false;
        fixture.now += SignedDuration::from_secs(11);
        for _ in 0..4 {
            fixture.run_pass(|_| false);
        }
        prop_assert!(fixture.plan().is_empty(), "{:?}", fixture.plan());
        let mut keys: Vec<_> = fixture.record.deliveries.iter().map(|d| d.key.clone()).collect();
        keys.sort();
        let total = keys.len();
        keys.dedup();
        prop_assert_eq!(keys.len(), total, "a recipient was notified twice");
        prop_assert!(fixture.record.claim.is_none() && fixture.record.in_doubt.is_empty(), "{:?}", fixture.record);
        let mut posted: Vec<_> = fixture.slack.iter().map(|(operation, _, _, replies)| format!("{operation:?} {replies:?}")).collect();
        let count = posted.len();
        posted.sort();
        posted.dedup();
        prop_assert_eq!(posted.len(), count, "something stands in Slack twice: {:?}", fixture.slack);
        let told_late: Vec<_> = fixture.slack.iter().filter(|(operation, ..)| late.contains(operation)).collect();
        prop_assert!(told_late.is_empty(), "a later recipient was told: {told_late:?}");
        let recorded = |ts: &MessageTs| fixture.record.deliveries.iter().any(|d| d.ts == *ts);
        for (operation, _, ts, _) in &fixture.slack {
            prop_assert!(matches!(operation, Operation::Reply(..)) || recorded(ts), "{operation:?} is forgotten");
        }
    }
}

#[test]
fn a_post_without_room_in_the_record_is_not_made() {
    let names: Vec<_> = (0..100).map(|n| format!("c{n}")).collect();
    let destinations: Vec<_> = names.iter().map(String::as_str).collect();
    let mut fixture = Fixture::new(&destinations);
    for n in 0..MAX_DELIVERIES - 3 {
        let (key, channel) = (RecipientKey::new(format!("old {n}")), ChannelId::new(format!("D{n}")));
        fixture.record.apply(&Outcome::Posted {
            key,
            channel,
            ts: MessageTs::new("1.1"),
            displayed: None,
            user: None,
        });
    }
    let posts = |fixture: &Fixture| fixture.plan().posts().count();
    assert_eq!(posts(&fixture), 3, "there is room for three more");
    for n in 0..MAX_IN_DOUBT - 1 {
        let operation = Operation::Post(RecipientKey::new(format!("old post {n}")));
        fixture.record.in_doubt.push(InDoubtPost::new(operation, "C1".into(), fixture.now, fixture.now));
    }
    assert_eq!(posts(&fixture), 1, "and for one more in-doubt post");
}

#[test]
fn a_repeated_post_is_planned_under_its_earlier_name() {
    let mut fixture = Fixture::new(&["C1"]);
    fixture.destinations[0].recipient_keys.push(RecipientKey::new("#team"));
    let again = Operation::Post(RecipientKey::new("#team"));
    let post = InDoubtPost {
        may_retry: true,
        ..InDoubtPost::new(again.clone(), "team".into(), fixture.now, fixture.now)
    };
    fixture.record.in_doubt.push(post.clone());
    let plan = fixture.plan();
    assert_eq!(plan.posts().collect::<Vec<_>>(), [(again.clone(), "C1".to_owned())]);
    assert_eq!(plan.operations.len(), 1);
    // Nothing needs it any more: the plan verifies it, and then forgets it.
    fixture.current = None;
    let plan = fixture.plan();
    let query = plan.operations.iter().find_map(|(operation, steps)| match &steps[..] {
        [Step::VerifyPost(query)] if *operation == again => Some(query),
        _ => None,
    });
    assert!(query.is_none(), "with no request and nothing known there is nothing to plan");
    fixture.record.known = Some(sample());
    let plan = fixture.plan();
    let [(_, steps)] = &plan.operations[..] else { panic!("{plan:?}") };
    assert!(matches!(&steps[..], [Step::VerifyPost(HistoryQuery { is_wanted: false, .. })]), "{steps:?}");
}
