//! Many reloads while the files change at random between good and bad contents, and kills in between: in the end what counts
//! is what the files hold.

use std::time::Duration;

use crate::harness::*;

const ROUNDS: usize = 200;
/// How many of them end in a kill.
const KILLS: usize = 4;
const CHANNELS: [&str; 2] = ["C0TEAM", "C0DBA"];
/// A request is shown within this time once the configuration is in use.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Good configurations, each with the channels that it makes a request for `dba` go to.
fn good(bed: &TestBed) -> Vec<(String, Vec<&'static str>)> {
    let [team, dba] = CHANNELS;
    let config = |more: &str| bed.config_with_diagnostics(more);
    let one = config(&format!("recipients = [{team:?}]"));
    let by_role = format!("recipients = []\n[role_to_recipients]\ndba = [{dba:?}]\n\"*\" = [{team:?}]");
    vec![
        (one.replace("DEBUG", "INFO"), vec![team]),
        (one, vec![team]),
        (config(&format!("recipients = [{dba:?}]")), vec![dba]),
        (config(&format!("recipients = [{team:?}, {dba:?}]")), vec![team, dba]),
        (config(&format!("recipients = [\"team\", {dba:?}]")), vec![team, dba]),
        (config(&by_role), vec![dba]),
    ]
}

/// Bad ones: the file itself, what it names, and what only others can say.
fn bad(bed: &TestBed, good: &str) -> Vec<String> {
    vec![
        String::new(),
        "[[[".to_owned(),
        good.replace("recipients", "recipient"),
        good.replace("auth.key", "absent.key"),
        good.replace(&bed.slack.token(), "xoxb-3-unknown-4711"),
        good.replace("127.0.0.1:0", "192.0.2.1:9"),
    ]
}

/// Waits until a new request goes to these channels and nowhere else. One that was made just before the reload may differ.
async fn until_requests_go_to(bed: &TestBed, daemon: &Daemon, channels: &[&str]) {
    let is_shown = |id: &str, channel: &str| bed.message_about(channel, id).is_some();
    for _ in 0..6 {
        let id = bed.create_request();
        let all = || channels.iter().all(|channel| is_shown(&id, channel)).then_some(());
        let shown = bed.holds_within(SHOWN_WITHIN, Some(daemon), all).await.is_some();
        if shown && CHANNELS.iter().filter(|channel| is_shown(&id, channel)).count() == channels.len() {
            return;
        }
    }
    panic!("no request goes to {channels:?} alone\n{}", daemon.log_tail());
}

async fn until_successful(daemon: &Daemon, successful: bool) {
    let value = f64::from(u8::from(successful));
    poll_until("the metric", daemon.log_changes(), async || {
        (daemon.metrics().await["config_last_reload_successful"] == value).then_some(())
    })
    .await;
}

#[test]
fn after_many_reloads_and_kills_what_the_files_hold_counts() {
    run_in_process(async {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let bed = TestBed::new().await;
        let good = good(&bed);
        let mut daemon = bed.launch(&good[0].0);
        bed.until_logged(&daemon, "Ready").await;
        for round in 1..=ROUNDS {
            let (config, _) = random.choice(&good).unwrap();
            let bad = bad(&bed, config);
            let text = if random.bool() { config } else { random.choice(&bad).unwrap() };
            let before = daemon.log().len();
            let path = bed.write_config(text);
            daemon.signal("HUP");
            // Sometimes the daemon gets time to judge, sometimes the next change comes at once.
            if random.u8(..4) == 0 {
                bed.until(&daemon, "a line", || (daemon.log().len() > before).then_some(())).await;
            }
            if round % (ROUNDS / KILLS) == 0 {
                daemon.kill().await;
                // With a bad one it would not start.
                bed.write_config(config);
                daemon = Daemon::start(&path, &bed.slack.token());
                bed.until_logged(&daemon, "Ready").await;
            }
        }
        for _ in 0..3 {
            let (config, channels) = random.choice(&good).unwrap();
            bed.write_config(config);
            until_requests_go_to(&bed, &daemon, channels).await;
            until_successful(&daemon, true).await;
            bed.write_config(random.choice(&bad(&bed, config)).unwrap());
            until_successful(&daemon, false).await;
            until_requests_go_to(&bed, &daemon, channels).await;
        }
        let log = daemon.stop().await;
        assert!(!log.contains("4711"), "{log}");
    });
}
