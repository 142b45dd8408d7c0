use tracing::{debug, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, fmt};

use super::*;

/// What is logged while `act` changes the level.
fn logged(configured: Severity, is_forced: bool, act: impl FnOnce(&LogLevel)) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (filter, level) = LogLevel::new(configured, is_forced);
    let writer = Arc::clone(&lines);
    let layer = fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || Lines(writer.clone()));
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    tracing::subscriber::with_default(subscriber, || act(&level));
    let lines = lines.lock();
    String::from_utf8_lossy(&lines).lines().map(str::trim_start).collect::<Vec<_>>().join("\n")
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn step(name: &str) {
    debug!("{name}");
    debug!(target: "hyper::client", "{name} of a library");
    warn!("{name}");
}

#[test]
fn a_signal_raises_the_level_and_the_next_restores_it() {
    let out = logged(Severity::Warn, false, |level| {
        step("first");
        level.toggle_debug("SIGUSR1");
        step("second");
        level.toggle_debug("SIGUSR1");
        step("third");
    });
    insta::assert_snapshot!(out, @"
    WARN first
    INFO SIGUSR1 received: the log level is DEBUG until another SIGUSR1
    DEBUG second
    WARN second
    INFO SIGUSR1 received: the log level is WARN again, as configured
    WARN third
    ");
}

#[test]
fn a_level_that_is_raised_outlasts_a_reload_and_goes_back_to_the_new_one() {
    let out = logged(Severity::Info, false, |level| {
        level.toggle_debug("SIGUSR1");
        level.configure(Severity::Error);
        step("raised");
        level.toggle_debug("SIGUSR1");
        step("at ERROR");
        level.configure(Severity::Debug);
        step("at DEBUG");
    });
    insta::assert_snapshot!(out, @"
    INFO SIGUSR1 received: the log level is DEBUG until another SIGUSR1
    DEBUG raised
    WARN raised
    INFO SIGUSR1 received: the log level is ERROR again, as configured
    DEBUG at DEBUG
    WARN at DEBUG
    ");
}

#[test]
fn what_is_at_debug_already_stays_there() {
    for (configured, is_forced) in [(Severity::Debug, false), (Severity::Error, true)] {
        let out = logged(configured, is_forced, |level| {
            level.toggle_debug("SIGUSR1");
            level.toggle_debug("SIGUSR1");
            // What the command line asks for is not the configuration's.
            if is_forced {
                level.configure(Severity::Warn);
            }
            debug!("still");
        });
        insta::allow_duplicates! {
            insta::assert_snapshot!(out, @"
            INFO SIGUSR1 received: the log level is DEBUG already
            INFO SIGUSR1 received: the log level is DEBUG already
            DEBUG still
            ");
        }
    }
}

#[test]
fn every_crate_of_ours_logs_from_the_configured_severity_on() {
    let crates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
    let names = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap().replace('-', "_"));
    let mut names: Vec<_> = names.filter(|name| name != "teleport_proto").collect();
    names.sort();
    let mut own = OWN_CRATES.to_vec();
    own.sort();
    assert_eq!(own, names, "another crate's lines are shown from warnings on only");
}
