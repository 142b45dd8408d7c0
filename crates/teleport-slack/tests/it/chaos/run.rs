//! Executes a schedule against a test bed with one or more daemons, ends all faults, and checks the result.

use std::fmt::Write;
use std::time::Duration;

use access_sim::call_sequence::CallSequence;
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::Options;
use access_sim::teleport::fixture::Role;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::chaos::event_log::EventLog;
use crate::chaos::oracle::{Violation, find_violations};
use crate::chaos::replica::{Replica, Usage};
use crate::chaos::schedule::{CHANNELS, CLICKERS, TimedAction, schedule};
use crate::chaos::settings::Settings;
use crate::harness::deciding::{ANY_OF_THREE, PLUGIN_RW, Transport, full_workspace};
use crate::harness::*;

/// After the last fault, everything must be up to date within this time. The daemon's longest waits after a few
/// failures in a row are shorter.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(150);
/// Everything must stay up to date for this long; every claim of a dead daemon expires in it.
const STABLE_FOR: Duration = Duration::from_secs(15);
/// In a long run, late changes such as the expiry of a request are shown within this time.
const LATE_CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The lifetime of a request in a long run.
const SOAK_REQUEST_TTL: Duration = Duration::from_secs(90);
/// An idle daemon may have grown by this factor.
const MAX_MEMORY_GROWTH: u64 = 3;

/// Two approvals for admin requests; every named user may decide.
fn review() -> String {
    let (_, rule) = ANY_OF_THREE.split_once("[[review.rule]]").unwrap();
    let of = |text: &str, roles: &str| text.replace("[\"*\"]", roles);
    let usual = of(ANY_OF_THREE, "[\"dba\", \"prod-*\"]");
    format!("{usual}[[review.rule]]{}approvals = 2\n", of(rule, "[\"admin\"]"))
}

/// A created request.
#[derive(Clone, Debug)]
pub(crate) struct CreatedRequest {
    pub(crate) id: String,
    pub(crate) requester: &'static str,
    /// The expected destinations: channels and users, by their ids.
    pub(crate) destinations: Vec<String>,
    pub(crate) created: Timestamp,
    /// In a long run: everything about it was deleted, and it is not checked.
    pub(crate) is_finished: bool,
}

/// A run in progress.
pub(crate) struct Run {
    pub(crate) bed: TestBed,
    pub(crate) call_sequence: CallSequence,
    pub(crate) event_log: EventLog,
    pub(crate) requests: Mutex<Vec<CreatedRequest>>,
    /// The connection of all replicas to Slack.
    pub(crate) slack_proxy: TcpProxy,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) transport: Transport,
}

/// Executes a whole run; the error is a report of the violations.
pub(crate) async fn run(settings: &Settings) -> Result<String, String> {
    let transport = if settings.seed.is_multiple_of(2) { Transport::Http } else { Transport::Socket };
    let call_sequence = CallSequence::default();
    let mut cluster = Options { call_sequence: call_sequence.clone(), ..Options::golden() };
    let mut workspace = full_workspace();
    for n in 0..CHANNELS {
        cluster.fixture.roles.push(Role { name: format!("prod-{n}"), ..Role::default() });
        workspace = workspace.add_channel(&format!("C0N{n}"), &format!("n{n}"));
    }
    if settings.is_soak() {
        cluster.access_ttl = SOAK_REQUEST_TTL;
        // Longer than the oracle reads it.
        cluster.plugin_data_afterlife = 4 * SOAK_REQUEST_TTL;
    }
    let bed = TestBed::with_options(cluster, workspace).await;
    bed.sign_as(PLUGIN_RW);
    bed.slack.set_socket_mode(transport == Transport::Socket);
    let logs = if settings.is_soak() { "INFO" } else { "DEBUG" };
    // The addresses that Slack hands out lead through the proxy too.
    let slack_proxy = TcpProxy::start(bed.slack.addr()).await.unwrap();
    bed.slack.set_public_addr(slack_proxy.addr());
    let mut config = bed.review_config(transport, &review()).replace("DEBUG", logs);
    if settings.rate > 1 {
        let channels = (0..CHANNELS).map(|n| format!("\"prod-{n}\" = \"C0N{n}\"\n"));
        config = config.replace(r#"recipients = ["team", "bob@example.com"]"#, "");
        config += &format!("[role_to_recipients]\n{}", channels.collect::<String>());
    }
    let config = config.replace(&bed.slack.addr().to_string(), &slack_proxy.addr().to_string());
    let starting = (1..=settings.replicas).map(|number| Replica::start(&bed, number, &config));
    let replicas = futures_util::future::join_all(starting).await;
    let run = Run {
        call_sequence,
        slack_proxy,
        event_log: EventLog::new(),
        requests: Mutex::default(),
        replicas,
        transport,
        bed,
    };
    let idle = run.usage();

    run.run_schedule(&schedule(settings), settings.is_soak()).await;
    run.bed.slack.faults().clear();
    run.bed.teleport.faults().clear();
    run.event_log.record(None, "--- everything works from now on".to_owned());
    let calm = Instant::now();
    let mut wrong = run.until_consistent(RECOVERY_TIMEOUT).await;
    let took = calm.elapsed();
    if wrong.is_empty() {
        tokio::time::sleep(STABLE_FOR).await;
        wrong =
            run.until_consistent(if settings.is_soak() { LATE_CHANGE_TIMEOUT } else { Duration::ZERO }).await;
    }
    let full = run.usage();
    for (n, (idle, full)) in idle.iter().zip(&full).enumerate() {
        if full.resident_kib > idle.resident_kib * MAX_MEMORY_GROWTH {
            wrong.push(Violation::without_request(format!("replica {} grew from {idle} to {full}", n + 1)));
        }
    }
    let mut logs = Vec::new();
    for replica in &run.replicas {
        let (past, violations) = replica.finish().await;
        logs.extend(past.into_iter().map(|log| (replica.number, log)));
        // First: a daemon's own failure explains the rest.
        wrong.splice(0..0, violations.into_iter().map(Violation::without_request));
    }
    let asked = run.requests.lock().clone();
    let summary = format!(
        "{} requests, {} messages, {} calls, {} replies to clicks, {} processes of {} replicas over {transport:?}; up to date after {:.1} s; \
         {}",
        asked.len(),
        run.bed.slack.all_messages().len(),
        run.call_sequence.count(),
        run.bed.slack.calls_of("response_url").len(),
        logs.len(),
        settings.replicas,
        took.as_secs_f32(),
        describe_usage(&idle, &full),
    );
    if std::env::var_os("CHAOS_EVENT_LOG").is_some() {
        println!("{}", run.event_log.full_text());
    }
    if wrong.is_empty() {
        return Ok(summary);
    }
    let mut report =
        format!("{} violations; repeat with\n  {}\n{summary}\n", wrong.len(), settings.command());
    for wrong in wrong.iter().take(30) {
        writeln!(report, "- {wrong}").unwrap();
    }
    let mut affected: Vec<_> = wrong.iter().filter_map(|wrong| wrong.request).collect();
    affected.dedup();
    for number in affected.into_iter().take(2) {
        let one = run.event_log.request_timeline(&run, number, &asked[number], &logs);
        writeln!(report, "\nThe timeline of request {number}, {}:\n{one}", asked[number].id).unwrap();
    }
    Err(report)
}

impl Run {
    async fn run_schedule(&self, schedule: &[TimedAction], is_soak: bool) {
        let begun = Instant::now();
        let mut in_progress = FuturesUnordered::new();
        let minute = Duration::from_secs(60);
        let mut minutes = tokio::time::interval_at(begun + minute, minute);
        for timed in schedule {
            let due = tokio::time::sleep_until(begun + timed.at);
            tokio::pin!(due);
            loop {
                tokio::select! {
                    () = &mut due => break,
                    Some(()) = in_progress.next() => {}
                    now = minutes.tick(), if is_soak => self.report_minute((now - begun).as_secs() / 60),
                }
            }
            in_progress.push(self.execute(timed.action.clone()));
        }
        while in_progress.next().await.is_some() {}
    }

    /// Waits until there is no violation, or until the limit; returns the remaining ones.
    async fn until_consistent(&self, limit: Duration) -> Vec<Violation> {
        let consistent = async || find_violations(self).is_empty().then_some(());
        let found = poll_within(limit, Duration::from_millis(500), Vec::new(), consistent).await;
        found.map_or_else(|| find_violations(self), |()| Vec::new())
    }

    fn usage(&self) -> Vec<Usage> {
        self.replicas.iter().map(Replica::usage).collect()
    }

    /// Once a minute of a long run: prints the state, and deletes what is finished, as Teleport does by itself.
    fn report_minute(&self, minute: u64) {
        let usage: Vec<_> = self.usage().iter().map(ToString::to_string).collect();
        let (open, messages) = (self.bed.teleport.requests().len(), self.bed.slack.all_messages());
        println!(
            "{minute:>4} min: {}; {} requests made, {open} open, {} messages",
            usage.join("; "),
            self.requests.lock().len(),
            messages.len(),
        );
        let over = Timestamp::now() - jiff::SignedDuration::try_from(2 * SOAK_REQUEST_TTL).unwrap();
        // Replies first: the parent of a thread leaves a tombstone as long as it has replies.
        let (replies, heads): (Vec<_>, Vec<_>) =
            messages.iter().filter(|m| m.posted_at < over).partition(|m| m.thread_ts.is_some());
        for message in replies.into_iter().chain(heads) {
            self.bed.slack.delete_message(&message.channel, &message.ts);
        }
        CLICKERS.iter().for_each(|person| self.bed.slack.reload_client(person));
        let mut asked = self.requests.lock();
        asked.iter_mut().filter(|asked| asked.created < over).for_each(|asked| asked.is_finished = true);
    }

    pub(crate) fn id(&self, request: usize) -> String {
        self.requests.lock()[request].id.clone()
    }
}

fn describe_usage(idle: &[Usage], full: &[Usage]) -> String {
    let pairs = idle.iter().zip(full).map(|(idle, full)| format!("{idle} -> {full}"));
    pairs.collect::<Vec<_>>().join("; ")
}
