//! Carries out a schedule against a bed with one or more daemons, lets everything calm down, and judges.

use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

use access_sim::call_sequence::CallSequence;
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::Options;
use access_sim::teleport::fixture::Role;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::event_log::EventLog;
use crate::harness::deciding::{ANY_OF_THREE, PLUGIN_RW, Transport, full_workspace};
use crate::harness::*;
use crate::oracle::{Violation, find_violations};
use crate::replica::{Replica, Usage};
use crate::schedule::{CHANNELS, CLICKERS, TimedAction, schedule};
use crate::settings::Settings;

/// When nothing goes wrong any more, everything must be true within this time: the longest waits that the daemon
/// allows itself after a few failures in a row are below it.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(150);
/// And stay true for this long, in which every claim of a dead daemon lapses.
const STABLE_FOR: Duration = Duration::from_secs(15);
/// In a long run, what happens by itself at the end, such as that a request expires, is shown within this time.
const LATE_CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request lives in a long run.
const SOAK_REQUEST_TTL: Duration = Duration::from_secs(90);
/// A daemon at rest may have grown by this factor.
const MAX_MEMORY_GROWTH: u64 = 3;

/// Of admin requests two approvals are needed by the rule; everyone named may decide.
fn review() -> String {
    let (_, rule) = ANY_OF_THREE.split_once("[[review.rule]]").unwrap();
    let of = |text: &str, roles: &str| text.replace("[\"*\"]", roles);
    let usual = of(ANY_OF_THREE, "[\"dba\", \"prod-*\"]");
    format!("{usual}[[review.rule]]{}approvals = 2\n", of(rule, "[\"admin\"]"))
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedRequest {
    pub(crate) id: String,
    pub(crate) requester: &'static str,
    /// Who is to be told: channels by id, people by theirs.
    pub(crate) destinations: Vec<String>,
    pub(crate) created: Timestamp,
    /// In a long run: everything about it was cleared away, and it is not judged.
    pub(crate) is_finished: bool,
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) bed: TestBed,
    pub(crate) call_sequence: CallSequence,
    pub(crate) event_log: EventLog,
    pub(crate) requests: Mutex<Vec<CreatedRequest>>,
    /// Everybody's line to Slack.
    pub(crate) slack_proxy: TcpProxy,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) transport: Transport,
}

/// Does it all; the error is the story of what went wrong.
pub(crate) async fn run(settings: &Settings) -> Result<String, String> {
    let way = if settings.seed.is_multiple_of(2) { Transport::Http } else { Transport::Socket };
    let order = CallSequence::default();
    let mut cluster = Options { call_sequence: order.clone(), ..Options::golden() };
    let mut workspace = full_workspace();
    for n in 0..CHANNELS {
        cluster.fixture.roles.push(Role { name: format!("prod-{n}"), ..Role::default() });
        workspace = workspace.add_channel(&format!("C0N{n}"), &format!("n{n}"));
    }
    if settings.is_soak() {
        cluster.access_ttl = SOAK_REQUEST_TTL;
        // Longer than the judge asks for it.
        cluster.plugin_data_afterlife = 4 * SOAK_REQUEST_TTL;
    }
    let bed = TestBed::with_options(cluster, workspace).await;
    bed.sign_as(PLUGIN_RW);
    bed.slack.set_socket_mode(way == Transport::Socket);
    let logs = if settings.is_soak() { "INFO" } else { "DEBUG" };
    // What Slack hands out leads through the line too.
    let line = TcpProxy::start(bed.slack.addr()).await.unwrap();
    bed.slack.set_public_addr(line.addr());
    let mut config = bed.review_config(way, &review()).replace("DEBUG", logs);
    if settings.rate > 1 {
        let channels = (0..CHANNELS).map(|n| format!("\"prod-{n}\" = \"C0N{n}\"\n"));
        config = config.replace(r#"recipients = ["team", "bob@example.com"]"#, "");
        config += &format!("[role_to_recipients]\n{}", channels.collect::<String>());
    }
    let config = config.replace(&bed.slack.addr().to_string(), &line.addr().to_string());
    let starting = (1..=settings.replicas).map(|number| Replica::start(&bed, number, &config));
    let replicas = futures_util::future::join_all(starting).await;
    let run = Run {
        call_sequence: order,
        slack_proxy: line,
        event_log: EventLog::new(),
        requests: Mutex::default(),
        replicas,
        transport: way,
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
        let (past, complaints) = replica.finish().await;
        logs.extend(past.into_iter().map(|log| (replica.number, log)));
        // First: what a daemon did to itself explains the rest.
        wrong.splice(0..0, complaints.into_iter().map(Violation::without_request));
    }
    let asked = run.requests.lock().unwrap().clone();
    let summary = format!(
        "{} requests, {} messages, {} calls, {} answers to clicks, {} lives of {} replicas by {way:?}; true after {:.1} s; \
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
    if std::env::var_os("CHAOS_DIARY").is_some() {
        println!("{}", run.event_log.full_text());
    }
    if wrong.is_empty() {
        return Ok(summary);
    }
    let mut story =
        format!("{} things are wrong; again with\n  {}\n{summary}\n", wrong.len(), settings.command());
    for wrong in wrong.iter().take(30) {
        writeln!(story, "- {wrong}").unwrap();
    }
    let mut told: Vec<_> = wrong.iter().filter_map(|wrong| wrong.request).collect();
    told.dedup();
    for number in told.into_iter().take(2) {
        let one = run.event_log.request_timeline(&run, number, &asked[number], &logs);
        writeln!(story, "\nThe story of request {number}, {}:\n{one}", asked[number].id).unwrap();
    }
    Err(story)
}

impl Run {
    async fn run_schedule(&self, schedule: &[TimedAction], is_soak: bool) {
        let begun = Instant::now();
        let mut under_way = FuturesUnordered::new();
        let minute = Duration::from_secs(60);
        let mut minutes = tokio::time::interval_at(begun + minute, minute);
        for timed in schedule {
            let due = tokio::time::sleep_until(begun + timed.at);
            tokio::pin!(due);
            loop {
                tokio::select! {
                    () = &mut due => break,
                    Some(()) = under_way.next() => {}
                    now = minutes.tick(), if is_soak => self.report_minute((now - begun).as_secs() / 60),
                }
            }
            under_way.push(self.execute(timed.action.clone()));
        }
        while under_way.next().await.is_some() {}
    }

    /// Waits until nothing is wrong any more, or long enough; returns what still is.
    async fn until_consistent(&self, limit: Duration) -> Vec<Violation> {
        let deadline = Instant::now() + limit;
        loop {
            let wrong = find_violations(self);
            if wrong.is_empty() || Instant::now() > deadline {
                return wrong;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn usage(&self) -> Vec<Usage> {
        self.replicas.iter().map(Replica::usage).collect()
    }

    /// Once a minute of a long run: says how things are, and clears away what is over, as Teleport does by itself.
    fn report_minute(&self, minute: u64) {
        let usage: Vec<_> = self.usage().iter().map(ToString::to_string).collect();
        let (open, messages) = (self.bed.teleport.requests().len(), self.bed.slack.all_messages());
        println!(
            "{minute:>4} min: {}; {} requests made, {open} open, {} messages",
            usage.join("; "),
            self.requests.lock().unwrap().len(),
            messages.len(),
        );
        let over = Timestamp::now() - jiff::SignedDuration::try_from(2 * SOAK_REQUEST_TTL).unwrap();
        // Replies first: the head of a thread leaves something behind as long as there are any.
        let (replies, heads): (Vec<_>, Vec<_>) =
            messages.iter().filter(|m| m.posted_at < over).partition(|m| m.thread_ts.is_some());
        for message in replies.into_iter().chain(heads) {
            self.bed.slack.delete_message(&message.channel, &message.ts);
        }
        CLICKERS.iter().for_each(|person| self.bed.slack.reload_client(person));
        let mut asked = self.requests.lock().unwrap();
        asked.iter_mut().filter(|asked| asked.created < over).for_each(|asked| asked.is_finished = true);
    }

    pub(crate) fn id(&self, request: usize) -> String {
        self.requests.lock().unwrap()[request].id.clone()
    }
}

fn describe_usage(idle: &[Usage], full: &[Usage]) -> String {
    let pairs = idle.iter().zip(full).map(|(idle, full)| format!("{idle} -> {full}"));
    pairs.collect::<Vec<_>>().join("; ")
}
