//! How fast clicks are acknowledged and applied, and whether many clicks lose any: the built daemon against both
//! simulators, over real sockets on this machine (`cargo bench -p teleport-slack --bench deciding`).
//!
//! Times are printed, not checked, because machines differ. Counts are checked: the benchmark fails if a vote is lost or
//! duplicated, or if a request is not decided exactly once.

#![expect(clippy::unwrap_used, reason = "a failed set-up ends the benchmark")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod harness;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::ActionOutcome;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::request::RequestState;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use harness::deciding::*;
use harness::*;

/// Clicks that are timed one by one.
const SINGLE: usize = 100;
/// Requests that are clicked on all at the same time.
const REQUESTS: usize = 200;
/// Clicks a second.
const RATE: u32 = 200;
/// How long all work may take to finish; on a busy machine much longer than expected.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The users who press Approve on each request; all three votes are needed.
const VOTERS: [(&str, &str); 3] = [("U0BOB", BOB), ("U0DAVE", DAVE), ("U0CAROL", "carol@example.com")];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        one_at_a_time().await;
        if many_at_once().await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

/// Starts the daemon as in production: Slack calls it, it logs at INFO, and one channel is the recipient.
async fn start(bed: &TestBed, review: &str) -> Daemon {
    let config = bed.review_config(Transport::Http, review);
    let config = config.replace("\"DEBUG\"", "\"INFO\"").replace(", \"bob@example.com\"]", "]");
    let daemon = bed.launch_with_review(&config);
    bed.until_logged(&daemon, "Ready").await;
    bed.slack.set_request_url(Some(&callback_url(bed, &daemon).await));
    daemon
}

/// From a click to its acknowledgement and to Teleport, without other load.
async fn one_at_a_time() {
    let bed = TestBed::with_review().await;
    let daemon = start(&bed, ANY_OF_THREE).await;
    let (mut acknowledged, mut first, mut deciding) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SINGLE {
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let seen = bed.press("U0BOB", &message, "approve").await;
        // The next click must not overlap calls that this one caused.
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        bed.until_replies(&daemon, &message, 1).await;
        let interaction = bed.slack.interaction(seen.seq().unwrap()).unwrap();
        let calls = bed.teleport.call_log().calls();
        let mut since = calls.iter().filter(|call| call.at >= interaction.time);
        acknowledged.push(interaction.acknowledged_after.unwrap());
        first.push(between(interaction.time, since.next().unwrap().at));
        let set = since.find(|call| call.method == Method::SetAccessRequestState).unwrap();
        deciding.push(between(interaction.time, set.at));
        bed.slack.delete_message(&message.channel, &message.ts);
    }
    daemon.stop().await;
    println!("{SINGLE} clicks, one at a time:");
    println!("  acknowledged after              {}   (wanted: under 50 ms)", Figures::of(acknowledged));
    println!("  first call to Teleport after    {}   (wanted: under 20 ms)", Figures::of(first));
    println!("  deciding call to Teleport after {}", Figures::of(deciding));
}

/// A request that is clicked on.
struct Target {
    id: String,
    message: MessageView,
}

/// The result of one click.
struct ClickResult {
    request: usize,
    user: &'static str,
    /// Absent if the button was already gone.
    acknowledged: Option<bool>,
    after: Option<Duration>,
}

/// Whether no vote was lost or duplicated and each request was decided once.
async fn many_at_once() -> bool {
    let bed = TestBed::with_review().await;
    // Alice is the requester, so carol replaces alice as an approver.
    let review = ANY_OF_THREE.replace("\"alice@example.com\"]", "\"carol@example.com\"]");
    let daemon = start(&bed, &format!("{review}\napprovals = {}", VOTERS.len())).await;
    let targets = targets(&bed, &daemon).await;

    let (clicks, firing) = fire(&bed, &targets).await;
    let fired = Instant::now();
    let acknowledged = clicks.iter().filter(|one| one.acknowledged == Some(true)).count();
    let sent = clicks.iter().filter(|one| one.acknowledged.is_some()).count();
    until_settled(&daemon, "every click is handled", || {
        daemon.times_logged("Click slack_user=") >= acknowledged
    })
    .await;
    let working = fired.elapsed();
    until_settled(&daemon, "every click has a reply", || replies(&bed) >= acknowledged).await;
    let log = daemon.stop().await;

    let count = count_outcomes(&bed, &targets, &clicks);
    let took = |line: &str| {
        Some(Duration::from_millis(line.split_once("took_ms=")?.1.split(' ').next()?.parse().ok()?))
    };
    println!(
        "{sent} clicks on {REQUESTS} requests in {:.2} s ({:.0} a second):",
        firing.as_secs_f64(),
        rate(sent, firing)
    );
    println!("  acknowledged                    {acknowledged}, rejected {}", sent - acknowledged);
    println!("  acknowledged after              {}", Figures::of(clicks.iter().filter_map(|one| one.after)));
    println!("  handled within                  {}", Figures::of(log.lines().filter_map(took)));
    println!("  last one done after             {:.0} ms since the last click", working.as_secs_f64() * 1e3);
    println!("  replies to clicks               {}", replies(&bed));
    println!(
        "  votes recorded                  {}, {} of them by acknowledged clicks",
        count.votes, count.acknowledged_votes
    );
    println!("  votes lost, duplicated          {}, {}", count.lost, count.duplicated);
    println!("  decisions made                  {} of {}", count.decisions, count.due);
    println!("  requests not decided once       {}", count.wrong);
    count.lost + count.duplicated + count.wrong == 0 && replies(&bed) >= acknowledged
}

/// All requests, each with a recorded message.
async fn targets(bed: &TestBed, daemon: &Daemon) -> Vec<Target> {
    let ids: Vec<_> = (0..REQUESTS).map(|_| bed.create_request()).collect();
    let is_recorded = |id: &String| !field(&bed.record(id), "messages").is_empty();
    until_settled(daemon, "every request is posted", || ids.iter().all(is_recorded)).await;
    let messages = bed.slack.messages("C0TEAM");
    let message =
        |id: &str| messages.iter().find(|message| block_text(message, 1).contains(id)).unwrap().clone();
    ids.into_iter().map(|id| Target { message: message(&id), id }).collect()
}

/// The clicks in a random order that is the same each time. First one user clicks on every request. Then the second
/// user, the first one again and the third one click on each, all within the time that one click takes.
fn order() -> Vec<(usize, &'static str)> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut requests: Vec<_> = (0..REQUESTS).collect();
    let voters = |request: usize| {
        let user = |destination: usize| VOTERS[(request + destination) % VOTERS.len()].0;
        (user(0), user(1), user(2))
    };
    rng.shuffle(&mut requests);
    let mut clicks: Vec<_> = requests.iter().map(|&request| (request, voters(request).0)).collect();
    rng.shuffle(&mut requests);
    for &request in &requests {
        let (first, second, third) = voters(request);
        clicks.extend([second, first, third].map(|user| (request, user)));
    }
    clicks
}

/// Sends [`RATE`] clicks a second without waiting for earlier ones. The second value is the time from the first click
/// to the last.
async fn fire(bed: &TestBed, targets: &[Target]) -> (Vec<ClickResult>, Duration) {
    let mut in_flight = JoinSet::new();
    let begun = Instant::now();
    for (number, (request, user)) in (0..).zip(order()) {
        sleep_until(begun + Duration::from_secs(1) * number / RATE).await;
        let message = &targets[request].message;
        let click = bed.slack.click(user, &message.channel, &message.ts, "approve");
        in_flight.spawn(async move { (request, user, click.await.ok()) });
    }
    let firing = begun.elapsed();
    let seen = in_flight.join_all().await;
    let interactions: BTreeMap<_, _> =
        bed.slack.interactions().into_iter().map(|interaction| (interaction.seq, interaction)).collect();
    let clicks = seen.into_iter().map(|(request, user, seen)| ClickResult {
        request,
        user,
        acknowledged: seen.as_ref().map(ActionOutcome::acknowledged),
        after: seen.and_then(|seen| interactions.get(&seen.seq()?)?.acknowledged_after),
    });
    (clicks.collect(), firing)
}

/// The outcomes of all clicks.
#[derive(Default)]
struct Count {
    /// Votes by acknowledged clicks.
    acknowledged_votes: usize,
    votes: usize,
    lost: usize,
    duplicated: usize,
    /// Requests with all votes.
    due: usize,
    decisions: usize,
    wrong: usize,
}

fn count_outcomes(bed: &TestBed, targets: &[Target], clicks: &[ClickResult]) -> Count {
    let mut count = Count::default();
    for (index, target) in targets.iter().enumerate() {
        let of =
            |user: &'static str| clicks.iter().filter(move |one| one.request == index && one.user == user);
        let record = bed.record(&target.id);
        let recorded: serde_json::Value = serde_json::from_str(field(&record, "x_votes")).unwrap_or_default();
        let votes: Vec<_> =
            recorded["l"].as_array().into_iter().flatten().map(|vote| vote["u"].as_str().unwrap()).collect();
        count.votes += votes.len();
        // A click that Slack gave up on may count, but only once.
        let mut may = 0;
        for (slack_user, user) in VOTERS {
            let times = votes.iter().filter(|voter| **voter == user).count();
            let must = of(slack_user).any(|one| one.acknowledged == Some(true));
            may += times.min(of(slack_user).count()).min(1);
            count.acknowledged_votes += usize::from(must);
            count.lost += usize::from(must && times == 0);
        }
        count.duplicated += votes.len() - may;

        let due = usize::from(may == VOTERS.len());
        let decisions = bed.decision_events(&target.id).len();
        let expected = if due == 1 { RequestState::Approved } else { RequestState::Pending };
        let is_right = decisions == due && bed.teleport.request(&target.id).unwrap().state == expected;
        count.due += due;
        count.decisions += decisions;
        count.wrong += usize::from(!is_right);
    }
    count
}

/// The number of replies to clicks.
fn replies(bed: &TestBed) -> usize {
    bed.slack.calls_of("response_url").iter().filter(|call| call.succeeded()).count()
}

/// Checks ten times a second, so that checking does not distort the measured time.
async fn until_settled(daemon: &Daemon, what: &str, is_so: impl Fn() -> bool) {
    let settled = async || is_so().then_some(());
    assert!(
        poll_within(SETTLE_TIMEOUT, LOOK_INTERVAL, Vec::new(), settled).await.is_some(),
        "waited {SETTLE_TIMEOUT:?} without success until {what}\n{}",
        daemon.log()
    );
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(earlier).try_into().unwrap_or_default()
}

fn rate(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64()
}

/// The median, the 99th percentile and the maximum of many durations.
struct Figures {
    median: Duration,
    p99: Duration,
    max: Duration,
}

impl Figures {
    fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort();
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        Self { median: at(50), p99: at(99), max: at(100) }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "median {:.1} ms, p99 {:.1} ms, max {:.1} ms", ms(self.median), ms(self.p99), ms(self.max))
    }
}
