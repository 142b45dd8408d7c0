//! The daemon is killed at every call of a request's whole life, before the call is done and after it, and started
//! again: in the end everything is as if nothing had happened.

use std::fmt::Write;
use std::time::Duration;

use access_sim::call_sequence::{CallSequence, HangAt};
use access_sim::teleport::Options;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::deciding::{ANY_OF_THREE, PLUGIN_RW, Transport, full_workspace};
use crate::harness::*;
use crate::observed::{ExpectedState, ObservedMessages};

/// Lives led at once: they wait most of the time, for what a dead daemon claimed to lapse.
const CONCURRENT_RUNS: usize = 24;
/// No step of a life takes longer, with the wait for a dead daemon's claim and a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);
/// A person who sees nothing happen clicks again after this long.
const CLICK_AGAIN_AFTER: Duration = Duration::from_secs(4);
const DESTINATIONS: [&str; 2] = ["C0TEAM", "U0BOB"];
const CAROL: &str = "carol@example.com";

/// A request's life, and how it must look in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// carol asks, two approvals are needed: bob and dave review in Teleport.
    Reviews,
    /// alice asks, bob presses Approve.
    Click,
}

/// Where the daemon is killed.
type CrashPoint = (u64, HangAt);

#[test]
fn killed_before_any_call_of_a_life_with_reviews() {
    run_test(killed_at_every_call(Scenario::Reviews, HangAt::Before));
}

#[test]
fn killed_after_any_call_of_a_life_with_reviews() {
    run_test(killed_at_every_call(Scenario::Reviews, HangAt::After));
}

#[test]
fn killed_before_any_call_of_a_life_with_a_click() {
    run_test(killed_at_every_call(Scenario::Click, HangAt::Before));
}

#[test]
fn killed_after_any_call_of_a_life_with_a_click() {
    run_test(killed_at_every_call(Scenario::Click, HangAt::After));
}

async fn killed_at_every_call(tale: Scenario, stop: HangAt) {
    let undisturbed = run_scenario(tale, None).await;
    assert!(undisturbed.violations.is_empty(), "without any crash:\n{}", undisturbed.report);
    let calls = undisturbed.calls;
    assert!(calls > 20, "a whole life has more than {calls} calls");
    let lives = futures_util::stream::iter(1..=calls).map(|n| run_scenario(tale, Some((n, stop))));
    let lives: Vec<_> = lives.buffer_unordered(CONCURRENT_RUNS).collect().await;
    let crashed = lives.iter().filter(|life| life.crashed).count() as u64;
    // The number of calls differs a little from life to life.
    assert!(crashed * 10 >= calls * 8, "of {calls} calls only {crashed} were met");
    let mut failed: Vec<_> = lives.iter().filter(|life| !life.violations.is_empty()).collect();
    failed.sort_by_key(|life| life.crash.map(|(n, _)| n));
    println!("{tale:?}, killed {stop:?} each of {calls} calls: {} wrong", failed.len());
    let Some(first) = failed.first() else { return };
    let mut list = String::new();
    for life in &failed {
        writeln!(
            list,
            "  call {:?}, {}: {}",
            life.crash.unwrap().0,
            life.crashed_call,
            life.violations.join("; ")
        )
        .unwrap();
    }
    panic!(
        "{tale:?}: killed {stop:?} a call, {} of {crashed} lives ended wrong\n{list}\nThe first of them:\n{}",
        failed.len(),
        first.report
    );
}

/// How a life went.
struct CrashRun {
    crash: Option<CrashPoint>,
    /// Calls in all.
    calls: u64,
    crashed: bool,
    /// The call at which the daemon was killed.
    crashed_call: String,
    violations: Vec<String>,
    report: String,
}

/// Leads one life and judges it.
async fn run_scenario(tale: Scenario, crash: Option<CrashPoint>) -> CrashRun {
    let order = CallSequence::default();
    let bed = tale.test_bed(order.clone()).await;
    if let Some((n, stop)) = crash {
        order.hang_at(n, stop);
    }
    let config = tale.config(&bed);
    let first = bed.launch(&config);
    let over = CancellationToken::new();
    let people = async {
        let mut wrong: Vec<_> = tale.play(&bed).await.err().into_iter().collect();
        let end = || Some(tale.violations(&bed)).filter(Vec::is_empty).map(drop);
        if wrong.is_empty() && wait_until(&bed, end).await.is_err() {
            wrong = tale.violations(&bed);
        }
        over.cancel();
        wrong
    };
    let fate = async {
        tokio::select! {
            biased;
            () = order.until_hanging() => {}
            () = over.cancelled() => return (first, String::new()),
        }
        first.signal("KILL");
        let (_, log) = first.wait_for_any_exit().await;
        order.release();
        (bed.launch(&config), log)
    };
    let (mut wrong, (daemon, mut log)) = tokio::join!(people, fate);
    // Before that it may not hear a signal, and it may still spoil what is right.
    if wait_until_within(STEP_TIMEOUT, &bed, Some(&daemon), || daemon.find_logged("Ready")).await.is_err() {
        wrong.push("started again, the daemon was never ready".to_owned());
    }
    daemon.signal("TERM");
    let (status, rest) = daemon.wait_for_any_exit().await;
    log += "--- started again\n";
    log += &rest;
    if !status.success() {
        wrong.push(format!("the daemon ended with {status}"));
    }
    if log.contains("panicked") {
        wrong.push("a task panicked".to_owned());
    }
    if wrong.is_empty() {
        wrong = tale.violations(&bed);
    }
    let crashed = order.is_hanging() && crash.is_some();
    let calls = order.calls();
    let at = calls.iter().find(|call| call.hang.is_some());
    let at = at.map_or_else(String::new, |call| format!("{} {}", call.method, call.subject));
    let listed: Vec<_> = calls.iter().map(ToString::to_string).collect();
    let story = format!(
        "{tale:?}, killed at {crash:?}\n{}\n--- calls\n{}\n--- log\n{log}",
        wrong.join("\n"),
        listed.join("\n")
    );
    CrashRun { crash, calls: order.count(), crashed, crashed_call: at, violations: wrong, report: story }
}

impl Scenario {
    async fn test_bed(self, order: CallSequence) -> TestBed {
        let bed =
            TestBed::with_options(Options { call_sequence: order, ..Options::golden() }, full_workspace())
                .await;
        bed.sign_as(if self == Self::Click { PLUGIN_RW } else { PLUGIN_USER });
        bed.slack.set_socket_mode(self == Self::Click);
        bed
    }

    fn config(self, bed: &TestBed) -> String {
        match self {
            Self::Reviews => bed.config(r#"recipients = ["team", "bob@example.com"]"#),
            Self::Click => bed.review_config(Transport::Socket, ANY_OF_THREE),
        }
    }

    /// What people do, each step when they see the one before.
    async fn play(self, bed: &TestBed) -> Result<(), String> {
        match self {
            Self::Reviews => {
                let id = bed.teleport.request_access(CAROL, NewRequest::roles(&["admin"], "two needed"));
                let id = id.unwrap();
                self.until(bed, "every place told", |shown| {
                    shown.for_request(&id).len() >= DESTINATIONS.len()
                })
                .await?;
                bed.teleport.review(BOB, &id, Decision::Approve, "looks fine").unwrap();
                let told = |shown: &ObservedMessages| {
                    shown.for_request(&id).iter().filter(|card| !card.replies.is_empty()).count()
                };
                self.until(bed, "bob's review told", |shown| told(shown) >= DESTINATIONS.len()).await?;
                bed.teleport.review(DAVE, &id, Decision::Approve, "go").unwrap();
            }
            Self::Click => {
                let id = bed.create_request();
                let approved = || bed.teleport.request(&id).unwrap().state == RequestState::Approved;
                let deadline = Instant::now() + STEP_TIMEOUT;
                while !approved() {
                    if Instant::now() > deadline {
                        return Err("bob's clicks decided nothing".to_owned());
                    }
                    self.until(bed, "#team told", |shown| !shown.for_request(&id).is_empty()).await?;
                    let cards = ObservedMessages::of(bed);
                    // Of two copies the newer one is in the record.
                    let card = cards.for_request(&id).iter().rfind(|card| card.message.channel == "C0TEAM");
                    if let Some(card) = card {
                        // He is answered, or warned, or sees nothing; then he looks at the request.
                        let click = bed.slack.click("U0BOB", "C0TEAM", &card.message.ts, "approve");
                        let _ = click.confirmed().await;
                    }
                    let _ =
                        wait_until_within(CLICK_AGAIN_AFTER, bed, None, || approved().then_some(())).await;
                }
            }
        }
        Ok(())
    }

    async fn until(
        self,
        bed: &TestBed,
        what: &str,
        holds: impl Fn(&ObservedMessages) -> bool,
    ) -> Result<(), String> {
        let seen = wait_until(bed, || holds(&ObservedMessages::of(bed)).then_some(())).await;
        seen.map_err(|()| format!("waited {STEP_TIMEOUT:?} in vain for {what}"))
    }

    /// What is not as it must be in the end.
    fn violations(self, bed: &TestBed) -> Vec<String> {
        let [request] = &bed.teleport.requests()[..] else { return vec!["one request was made".to_owned()] };
        let replies: &[&str] = match self {
            Self::Reviews => &["bob@example.com reviewed the request at", "dave@example.com reviewed"],
            Self::Click => &["bob@example.com reviewed the request in Slack"],
        };
        let truth = ExpectedState {
            id: &request.id,
            destinations: &DESTINATIONS,
            statuses: &["✅ APPROVED"],
            has_buttons: false,
            replies: replies.iter().map(|text| (*text).to_owned()).collect(),
            must_exist: true,
        };
        let mut wrong = truth.violations(bed, &ObservedMessages::of(bed));
        let record = bed.record(&request.id);
        let reviews = if self == Self::Reviews { "2" } else { "" };
        for (key, value) in [("resolution", "APPROVED"), ("reviews_count", reviews)] {
            let is = field(&record, key);
            // Without reviews the count may be absent or nought.
            if is != value && !(value.is_empty() && is == "0") {
                wrong.push(format!("the record's {key} is {is:?}, not {value:?}"));
            }
        }
        let decided = bed.decision_events(&request.id).into_iter();
        let set = decided.filter(|line| line.delegator.as_deref() == Some(BOB)).count();
        if set != usize::from(self == Self::Click) {
            wrong.push(format!("the daemon set the state {set} times"));
        }
        wrong
    }
}

/// Waits until both simulators are as wished.
async fn wait_until<T>(bed: &TestBed, look: impl FnMut() -> Option<T>) -> Result<T, ()> {
    wait_until_within(STEP_TIMEOUT, bed, None, look).await
}

/// The same within another limit; also looks after each line of a daemon's log.
async fn wait_until_within<T>(
    limit: Duration,
    bed: &TestBed,
    daemon: Option<&Daemon>,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, ()> {
    let (mut teleport, mut slack) = (bed.teleport.changes(), bed.slack.changes());
    let mut log = daemon.map(Daemon::log_changes);
    let waiting = async {
        loop {
            teleport.mark_unchanged();
            slack.mark_unchanged();
            log.iter_mut().for_each(|log| log.mark_unchanged());
            if let Some(found) = look() {
                return found;
            }
            let written = async {
                let Some(log) = &mut log else { return std::future::pending().await };
                if log.changed().await.is_err() {
                    std::future::pending().await
                }
            };
            tokio::select! {
                _ = teleport.changed() => {}
                _ = slack.changed() => {}
                () = written => {}
            }
        }
    };
    tokio::time::timeout(limit, waiting).await.map_err(drop)
}
