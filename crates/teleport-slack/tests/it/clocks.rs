//! Wrong clocks and clocks that are set: every recipient is notified, no pending request is shown as expired, and waits
//! end at the right time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use access_sim::slack::faults::{Fault as SlackFault, FaultRule};
use access_sim::slack::{self as slack_sim};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use access_sim::teleport::{Options, TeleportSim};
use jiff::{SignedDuration, Timestamp};
use slack_client::directory::Directory;
use slack_client::history::Author;
use slack_client::{Client as SlackClient, ClientOptions};
use teleport_client::Client;
use teleport_client::identity::Identity;
use teleport_client::listing::Completeness;
use teleport_client::watcher::WatchUpdate;
use teleport_slack::config;
use teleport_slack::controller::status::StatusHandle;
use teleport_slack::controller::{Context, Controller, ControllerTimings, Handle, Settings};
use teleport_slack::observe::metrics::{Format, Metrics};
use teleport_slack::supervise::clock::Clock;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::deciding::{ANY_OF_THREE, PLUGIN_RW, Transport, full_workspace};
use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
const PENDING: &str = "⏳ PENDING";
const THREE_HOURS: SignedDuration = SignedDuration::from_hours(3);

/// A cluster and a workspace whose clocks are ahead of the daemon's by `offset`.
async fn bed_ahead_by(offset: SignedDuration) -> TestBed {
    let cluster = Options { clock_offset: offset, ..Options::golden() };
    let slack = slack_sim::Options {
        rate_limits: None,
        date_offset: offset,
        ..slack_sim::Options::new(full_workspace())
    };
    let bed = TestBed {
        teleport: TeleportSim::start(cluster).await.unwrap(),
        slack: slack_sim::SlackSim::start(slack).await.unwrap(),
        dir: tempfile::tempdir().unwrap(),
    };
    bed.sign_as(PLUGIN_RW);
    bed
}

#[test]
fn a_clock_that_runs_ahead_delays_no_message_and_expires_none() {
    run_in_process(async {
        let bed = bed_ahead_by(-THREE_HOURS).await;
        let daemon = bed.launch(&bed.config_with_diagnostics(TEAM));
        bed.until_logged(&daemon, "Ready").await;
        let admin = bed
            .teleport
            .request_access("carol@example.com", NewRequest::roles(&["admin"], "two needed"))
            .unwrap();
        let id = bed.create_request();
        let message = bed.until_status(&daemon, "C0TEAM", &admin, PENDING).await;
        bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
        // After an update the message still shows Teleport's state.
        bed.approve(&admin);
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_status(&daemon, "C0TEAM", &admin, PENDING).await;
        bed.teleport.review(DAVE, &admin, Decision::Approve, "").unwrap();
        bed.until_status(&daemon, "C0TEAM", &admin, "✅ APPROVED").await;

        let line = bed.until_warned(&daemon, "s ahead of Slack's").await;
        let seconds =
            line.split("clock is ").nth(1).unwrap().split(' ').next().unwrap().parse::<i64>().unwrap();
        assert!((10_795..=10_801).contains(&seconds), "{line}");
        assert_eq!(daemon.times_logged("ahead of Slack's"), 1, "{}", daemon.log_tail());
        let (status, text) = daemon.get("/readyz").await;
        assert!(status == 200 && text.contains("s ahead of Slack's; set it"), "{status} {text}");
        let skew = daemon.metrics().await["clock_skew_seconds{side=\"slack\"}"];
        assert!((-10_801.0..=-10_795.0).contains(&skew), "{skew}");
        daemon.stop().await;

        // A start lists it, three hours after its end by the daemon's clock.
        let daemon = bed.start(TEAM).await;
        let other = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &other, PENDING).await;
        bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
        bed.teleport.delete(TCTL, &id).unwrap();
        bed.until_status(&daemon, "C0TEAM", &id, "⌛ EXPIRED").await;
        let log = daemon.stop().await;
        assert!(log.matches("phase=expired").count() <= 1, "{log}");
    });
}

#[test]
fn clicks_count_even_if_the_daemons_clock_says_expired() {
    run_in_process(async {
        let bed = bed_ahead_by(-THREE_HOURS).await;
        let (daemon, id, message) = bed.start_with_buttons(Transport::Socket, ANY_OF_THREE).await;
        let reply = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        assert_eq!(reply, "The request is approved.", "{}", daemon.log_tail());
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_clock_that_runs_behind_is_logged_once_per_side() {
    run_in_process(async {
        let bed = bed_ahead_by(THREE_HOURS).await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        for _ in 0..2 {
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
        }
        for side in ["Slack", "Teleport"] {
            let words = format!("s behind {side}'s");
            assert!(bed.until_warned(&daemon, &words).await.contains("set it"));
            assert_eq!(daemon.times_logged(&words), 1, "{}", daemon.log_tail());
            let skew =
                daemon.metrics().await[&format!("clock_skew_seconds{{side=\"{}\"}}", side.to_lowercase())];
            assert!((10_795.0..=10_801.0).contains(&skew), "{side} {skew}");
        }
        daemon.stop().await;
    });
}

#[test]
fn clocks_that_agree_are_not_logged() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, PENDING).await;
        assert_eq!(daemon.get("/readyz").await.1, "ready\n");
        let metrics = daemon.metrics().await;
        for side in ["Slack", "Teleport"] {
            assert!(
                metrics[&format!("clock_skew_seconds{{side=\"{}\"}}", side.to_lowercase())].abs() <= 1.0,
                "{metrics:?}"
            );
        }
        assert!(!daemon.stop().await.contains("This machine's clock"));
    });
}

/// The controller in the test's process. The test sends it watch updates and sets its clock.
struct InProcessController {
    bed: TestBed,
    client: Client,
    updates: mpsc::Sender<WatchUpdate>,
    metrics: Metrics,
    clock_off_by: Arc<AtomicI64>,
    stop: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
}

impl InProcessController {
    /// Starts it with a clock that is off by `off_by`.
    async fn start(cluster: Options, off_by: SignedDuration) -> Self {
        let bed = TestBed::with_options(cluster, workspace()).await;
        let path = bed.write_config(&bed.config(TEAM));
        let config = config::load(&path).unwrap().config;
        let metrics = Metrics::new();
        let identity = Identity::load(&config.teleport.credentials, Timestamp::now()).unwrap();
        let client = Client::new(&config.teleport.addr, &identity, Arc::new(metrics.clone()));
        let slack = SlackClient::new(ClientOptions {
            api_url: bed.slack.api_url(),
            observer: Arc::new(metrics.clone()),
            ..ClientOptions::new(config.slack.token.clone())
        })
        .unwrap();
        let auth = slack.auth_test().await.unwrap();
        let clock_off_by = Arc::new(AtomicI64::new(off_by.as_secs()));
        let off_by = Arc::clone(&clock_off_by);
        let clock =
            Clock::new(move || Timestamp::now() + SignedDuration::from_secs(off_by.load(Ordering::SeqCst)));
        let context = Context {
            teleport: client.clone(),
            slack: slack.clone(),
            author: Author::from(&auth),
            directory: Directory::new(slack),
            settings: watch::channel(Settings { rules: config.rules(), review: None }).1,
            enqueued: Handle::new().1,
            status: StatusHandle::new().1,
            cluster: "local-site".to_owned(),
            is_enterprise: false,
            web_proxy: None,
            metrics: metrics.clone(),
            clock,
            timings: ControllerTimings::default(),
        };
        let (sender, updates) = mpsc::channel(8);
        let (stop, ready) = (CancellationToken::new(), watch::channel(false).0);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(Controller::new(context, ready).run(updates, stop.clone()));
        Self { bed, client, updates: sender, metrics, clock_off_by, stop, tasks }
    }

    fn set_clock(&self, off_by: SignedDuration) {
        self.clock_off_by.store(off_by.as_secs(), Ordering::SeqCst);
    }

    /// Reads the request from Teleport.
    async fn read(&self, id: &str) -> access_core::domain::request::AccessRequest {
        self.client.get_request(&access_core::domain::ids::RequestId::new(id)).await.unwrap().unwrap()
    }

    async fn send_change(&self, request: access_core::domain::request::AccessRequest) {
        self.updates.send(WatchUpdate::Changed(Box::new(request))).await.unwrap();
    }

    async fn send_snapshot(&self, requests: Vec<access_core::domain::request::AccessRequest>) {
        let update = WatchUpdate::Snapshot {
            requests,
            completeness: Completeness::Complete,
            already_reported: Default::default(),
        };
        self.updates.send(update).await.unwrap();
    }

    async fn until_status(&self, id: &str, status: &str, limit: Duration) {
        let wanted = format!("*Status:* {status}");
        let polled = poll_until(status, self.bed.slack.changes(), async || {
            self.bed.message_about("C0TEAM", id).filter(|message| status_line(message) == wanted)
        });
        let ended = tokio::time::timeout(limit, polled).await;
        assert!(ended.is_ok(), "no {status:?} within {limit:?}: {:?}", self.bed.messages_about("C0TEAM", id));
    }

    /// Waits until every reconcile has ended and set the time of the next.
    async fn until_idle(&self) {
        let is_idle =
            || self.metrics.text(Format::OpenMetrics).contains("teleport_slack_active_reconciles 0\n");
        poll_until("no reconcile", self.bed.teleport.changes(), async || is_idle().then_some(())).await;
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

#[test]
fn a_clock_set_forward_or_back_takes_effect_within_seconds() {
    run_in_process(async {
        let pending_ttl = Duration::from_secs(8);
        let cluster = Options { pending_ttl, delete_delay: Duration::from_secs(3_600), ..Options::golden() };
        // The clock is behind: the request's end seems three hours away. No DELETE comes.
        let controller = InProcessController::start(cluster, -THREE_HOURS).await;
        let seconds = Duration::from_secs;
        let id = controller.bed.create_request();
        controller.send_change(controller.read(&id).await).await;
        controller.until_status(&id, PENDING, seconds(10)).await;
        controller.until_idle().await;
        controller.bed.teleport.expire_now(&id);
        controller.set_clock(SignedDuration::ZERO);
        controller.until_status(&id, "⌛ EXPIRED", seconds(30)).await;

        // The clock is set back: a retry that waits by the clock would wait three hours more.
        controller.set_clock(THREE_HOURS);
        let failed = SlackFault::Status { status: 503, body: String::new() };
        controller.bed.slack.faults().add(FaultRule::new("chat.postMessage", failed));
        let id = controller.bed.create_request();
        controller.send_change(controller.read(&id).await).await;
        let tried = || (controller.bed.slack.calls_of("chat.postMessage").len() >= 3).then_some(());
        poll_until("tries", controller.bed.slack.changes(), async || tried()).await;
        controller.set_clock(SignedDuration::ZERO);
        controller.bed.slack.faults().clear();
        controller.until_status(&id, PENDING, seconds(30)).await;
        controller.stop().await;
    });
}

#[test]
fn outdated_snapshots_are_checked_by_id_before_any_update() {
    run_in_process(async {
        let controller = InProcessController::start(Options::golden(), SignedDuration::ZERO).await;
        let seconds = Duration::from_secs;
        let [made, decided] = [controller.bed.create_request(), controller.bed.create_request()];
        let before = controller.read(&decided).await;
        controller.bed.approve(&decided);
        for id in [&made, &decided] {
            controller.send_change(controller.read(id).await).await;
        }
        controller.until_status(&made, PENDING, seconds(10)).await;
        controller.until_status(&decided, "✅ APPROVED (looks fine)", seconds(10)).await;
        let updates = || controller.bed.slack.calls_of("chat.update").len();
        let (edits, reads) = (
            updates(),
            controller
                .bed
                .teleport
                .call_log()
                .count(access_sim::teleport::call_log::Method::GetAccessRequests),
        );
        // The snapshot is a second old: it lacks one request and shows the other as pending.
        controller.send_snapshot(vec![before.clone()]).await;
        poll_until("both read by id", controller.bed.teleport.changes(), async || {
            let now = controller
                .bed
                .teleport
                .call_log()
                .count(access_sim::teleport::call_log::Method::GetAccessRequests);
            (now >= reads + 2).then_some(())
        })
        .await;
        // A deleted request is updated, which shows that the reconciles before it have ended.
        let last = controller.bed.create_request();
        controller.send_change(controller.read(&last).await).await;
        controller.until_status(&last, PENDING, seconds(10)).await;
        controller.bed.teleport.delete(TCTL, &last).unwrap();
        controller.send_snapshot(vec![controller.read(&made).await, before]).await;
        controller.until_status(&last, "⌛ EXPIRED", seconds(10)).await;
        controller.until_status(&made, PENDING, seconds(1)).await;
        controller.until_status(&decided, "✅ APPROVED (looks fine)", seconds(1)).await;
        assert_eq!(updates(), edits + 1, "only the deletion was shown");
        controller.stop().await;
    });
}
