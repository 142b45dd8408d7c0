//! Kills the daemon after every call of a scenario, and before every sixth, and restarts it. In the end everything must
//! be as without the crash. `KILL_BEFORE_EACH=1 cargo test --test it crash` kills it before every call.

use std::fmt::Write;
use std::time::Duration;

use access_sim::call_sequence::{CallSequence, HangAt};
use access_sim::teleport::Options;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chaos::observed::{ExpectedState, ObservedMessages};
use crate::harness::deciding::{ANY_OF_THREE, PLUGIN_RW, Transport, full_workspace};
use crate::harness::*;

/// Concurrent runs: they wait most of the time, until the claim of a dead daemon expires.
const CONCURRENT_RUNS: usize = 24;
/// No step of a run takes longer, including the wait for a dead daemon's claim and a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);
/// A user who sees no change clicks again after this long.
const CLICK_AGAIN_AFTER: Duration = Duration::from_secs(4);
/// Slack and Teleport are before a call as they are after the one before it, and a new daemon knows nothing else. So before
/// the calls a sample is enough: it shows that an answer which the daemon had received counts no more than one it had not.
const BEFORE_EVERY: usize = 6;
const DESTINATIONS: [&str; 2] = ["C0TEAM", "U0BOB"];
const CAROL: &str = "carol@example.com";

/// What happens to a request, and how it must look in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// carol creates a request that needs two approvals: bob and dave review in Teleport.
    Reviews,
    /// alice creates a request, bob presses Approve.
    Click,
}

/// The call at which the daemon is killed.
type CrashPoint = (u64, HangAt);

#[test]
fn killed_before_any_call_of_a_request_with_reviews() {
    run_test(killed_at_every_call(Scenario::Reviews, HangAt::Before));
}

#[test]
fn killed_after_any_call_of_a_request_with_reviews() {
    run_test(killed_at_every_call(Scenario::Reviews, HangAt::After));
}

#[test]
fn killed_before_any_call_of_a_request_with_a_click() {
    run_in_process(killed_at_every_call(Scenario::Click, HangAt::Before));
}

#[test]
fn killed_after_any_call_of_a_request_with_a_click() {
    run_in_process(killed_at_every_call(Scenario::Click, HangAt::After));
}

async fn killed_at_every_call(scenario: Scenario, hang_at: HangAt) {
    let undisturbed = run_scenario(scenario, None).await;
    assert!(undisturbed.violations.is_empty(), "without any crash:\n{}", undisturbed.report);
    let calls = undisturbed.calls;
    assert!(calls > 20, "a whole run has more than {calls} calls");
    let is_sample = hang_at == HangAt::Before && std::env::var_os("KILL_BEFORE_EACH").is_none();
    let killed_at = (1..=calls).step_by(if is_sample { BEFORE_EVERY } else { 1 });
    let runs = futures_util::stream::iter(killed_at).map(|n| run_scenario(scenario, Some((n, hang_at))));
    let runs: Vec<_> = runs.buffer_unordered(CONCURRENT_RUNS).collect().await;
    let crashed = runs.iter().filter(|run| run.crashed).count();
    // The number of calls differs a little between runs.
    assert!(crashed * 10 >= runs.len() * 8, "of {} calls only {crashed} were reached", runs.len());
    let mut failed: Vec<_> = runs.iter().filter(|run| !run.violations.is_empty()).collect();
    failed.sort_by_key(|run| run.crash.map(|(n, _)| n));
    println!("{scenario:?}, killed {hang_at:?} {crashed} of {calls} calls: {} wrong", failed.len());
    let Some(first) = failed.first() else { return };
    let mut list = String::new();
    for run in &failed {
        writeln!(
            list,
            "  call {:?}, {}: {}",
            run.crash.unwrap().0,
            run.crashed_call,
            run.violations.join("; ")
        )
        .unwrap();
    }
    panic!(
        "{scenario:?}: killed {hang_at:?} a call, {} of {crashed} runs ended wrong\n{list}\nThe first of them:\n{}",
        failed.len(),
        first.report
    );
}

/// The result of a run.
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

/// Executes one run and checks it.
async fn run_scenario(scenario: Scenario, crash: Option<CrashPoint>) -> CrashRun {
    let order = CallSequence::default();
    let bed = scenario.test_bed(order.clone()).await;
    if let Some((n, hang_at)) = crash {
        order.hang_at(n, hang_at);
    }
    let config = scenario.config(&bed);
    let first = bed.launch(&config);
    let over = CancellationToken::new();
    let people = async {
        let mut wrong: Vec<_> = scenario.play(&bed).await.err().into_iter().collect();
        let end = || Some(scenario.violations(&bed)).filter(Vec::is_empty).map(drop);
        if wrong.is_empty() && bed.holds_within(STEP_TIMEOUT, None, end).await.is_none() {
            wrong = scenario.violations(&bed);
        }
        over.cancel();
        wrong
    };
    let crash_and_restart = async {
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
    let (mut wrong, (daemon, mut log)) = tokio::join!(people, crash_and_restart);
    // Before that it may not handle signals, and it may still break a correct state.
    if bed.holds_within(STEP_TIMEOUT, Some(&daemon), || daemon.find_logged("Ready")).await.is_none() {
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
        wrong = scenario.violations(&bed);
    }
    let crashed = order.is_hanging() && crash.is_some();
    let calls = order.calls();
    let at = calls.iter().find(|call| call.hang.is_some());
    let at = at.map_or_else(String::new, |call| format!("{} {}", call.method, call.subject));
    let listed: Vec<_> = calls.iter().map(ToString::to_string).collect();
    let report = format!(
        "{scenario:?}, killed at {crash:?}\n{}\n--- calls\n{}\n--- log\n{log}",
        wrong.join("\n"),
        listed.join("\n")
    );
    CrashRun { crash, calls: order.count(), crashed, crashed_call: at, violations: wrong, report }
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

    /// What users do; each step waits for the visible result of the one before.
    async fn play(self, bed: &TestBed) -> Result<(), String> {
        match self {
            Self::Reviews => {
                let id = bed.teleport.request_access(CAROL, NewRequest::roles(&["admin"], "two needed"));
                let id = id.unwrap();
                self.until(bed, "a message at every destination", |observed| {
                    observed.for_request(&id).len() >= DESTINATIONS.len()
                })
                .await?;
                bed.teleport.review(BOB, &id, Decision::Approve, "looks fine").unwrap();
                let with_replies = |observed: &ObservedMessages| {
                    observed.for_request(&id).iter().filter(|entry| !entry.replies.is_empty()).count()
                };
                self.until(bed, "replies about bob's review", |observed| {
                    with_replies(observed) >= DESTINATIONS.len()
                })
                .await?;
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
                    self.until(bed, "the message in #team", |observed| !observed.for_request(&id).is_empty())
                        .await?;
                    let observed = ObservedMessages::of(bed);
                    // The newer one of two messages is in the record.
                    let entry =
                        observed.for_request(&id).iter().rfind(|entry| entry.message.channel == "C0TEAM");
                    if let Some(entry) = entry {
                        // Bob gets a reply or a warning, or sees nothing; then bob looks at the request.
                        let click = bed.slack.click("U0BOB", "C0TEAM", &entry.message.ts, "approve");
                        let _ = click.confirmed().await;
                    }
                    let _ = bed.holds_within(CLICK_AGAIN_AFTER, None, || approved().then_some(())).await;
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
        let seen = || holds(&ObservedMessages::of(bed)).then_some(());
        let seen = bed.holds_within(STEP_TIMEOUT, None, seen).await;
        seen.ok_or_else(|| format!("waited {STEP_TIMEOUT:?} without success for {what}"))
    }

    /// The violations at the end.
    fn violations(self, bed: &TestBed) -> Vec<String> {
        let [request] = &bed.teleport.requests()[..] else { return vec!["one request was made".to_owned()] };
        let replies: &[&str] = match self {
            Self::Reviews => &["bob@example.com reviewed the request at", "dave@example.com reviewed"],
            Self::Click => &["bob@example.com reviewed the request in Slack"],
        };
        let expected = ExpectedState {
            id: &request.id,
            destinations: &DESTINATIONS,
            statuses: &["✅ APPROVED"],
            has_buttons: false,
            replies: replies.iter().map(|text| (*text).to_owned()).collect(),
            must_exist: true,
        };
        let mut wrong = expected.violations(bed, &ObservedMessages::of(bed));
        let record = bed.record(&request.id);
        let reviews = if self == Self::Reviews { "2" } else { "" };
        for (key, value) in [("resolution", "APPROVED"), ("reviews_count", reviews)] {
            let is = field(&record, key);
            // Without reviews the count may be absent or zero.
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
