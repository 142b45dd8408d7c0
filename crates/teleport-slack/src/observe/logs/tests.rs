//! What lines say and which there are, through the whole of logging but the process-wide set-up.

use std::io::{Read, pipe};

use tracing::{debug, error, info, info_span, warn};

use super::super::current_log::open_file;
use super::*;
use crate::config::{LogFormat, LogOutput, Severity};

/// How long the end of a log waits.
const GRACE: Duration = Duration::from_secs(1);

fn noon() -> Timestamp {
    Timestamp::from_millisecond(1_795_363_200_120).unwrap()
}

const PLAIN: Beginning = Beginning::Time { color: false };
const COLORED: Beginning = Beginning::Time { color: true };

/// What is logged while `act` runs.
fn logged(format: LogFormat, begin: Beginning, severity: Severity, act: impl FnOnce()) -> String {
    let (mut reader, writer) = pipe().unwrap();
    let style = Style { format, begin };
    let (sink, guard) =
        sink::start(Box::new(writer), move |count| line::dropped_notice(style, noon(), count), GRACE)
            .unwrap();
    let (filter, _) = LogLevel::new(severity, false);
    let style = CurrentStyle::new(RwLock::new(style));
    let lines = LineLayer { sink, style, last_errors: LastErrors::default(), now: noon };
    tracing::subscriber::with_default(subscriber(lines, filter), act);
    drop(guard);
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    out
}

fn text(act: impl FnOnce()) -> String {
    logged(LogFormat::Text, PLAIN, Severity::Info, act)
}

#[test]
fn a_text_line_reads_like_the_guides() {
    let out = text(|| {
        info!("Starting Teleport Access Slack 7.1.3");
        warn!(channel = "C1", attempt = 2, ok = true, reason = "two words", "Cannot post");
        let error = io::Error::other("disk on fire");
        error!(error = &error as &dyn std::error::Error, name = %"x=y", "Gone");
    });
    insta::assert_snapshot!(out, @r#"
    2026-11-22T16:00:00.120Z INFO  Starting Teleport Access Slack 7.1.3
    2026-11-22T16:00:00.120Z WARN  Cannot post channel=C1 attempt=2 ok=true reason="two words"
    2026-11-22T16:00:00.120Z ERROR Gone error="disk on fire" name="x=y"
    "#);
}

#[test]
fn a_line_with_nothing_left_out_before_it_says_nothing_of_that() {
    let lines = || {
        warn!(suppressed = 0_u64, retry_in_s = 1, "The first");
        warn!(suppressed = 9_u64, retry_in_s = 1, "A later one");
    };
    insta::assert_snapshot!(text(lines), @r"
    2026-11-22T16:00:00.120Z WARN  The first retry_in_s=1
    2026-11-22T16:00:00.120Z WARN  A later one suppressed=9 retry_in_s=1
    ");
}

#[test]
fn the_fields_of_spans_belong_to_the_line() {
    let out = text(|| {
        let outer = info_span!("request", request = "8f77", phase = tracing::field::Empty).entered();
        outer.record("phase", "pending");
        let _inner = info_span!("post", recipient = "C1").entered();
        info!(request = "own", "posted");
    });
    insta::assert_snapshot!(out, @r"2026-11-22T16:00:00.120Z INFO  posted request=own recipient=C1 phase=pending");
}

#[test]
fn nothing_from_outside_forges_a_line_or_reaches_the_terminal() {
    let evil = "x\n2026-11-22T16:00:00Z INFO  approved user=\"bob\"\r\u{1b}[2K\u{202e}";
    let out = text(|| {
        info!(reason = evil, shown = %evil, debug = ?evil, "message {evil}");
    });
    insta::assert_snapshot!(out, @r#"2026-11-22T16:00:00.120Z INFO  message x\n2026-11-22T16:00:00Z INFO  approved user="bob"\r\u{1b}[2K\u{202e} reason="x\n2026-11-22T16:00:00Z INFO  approved user=\"bob\"\r\u{1b}[2K\u{202e}" shown="x\n2026-11-22T16:00:00Z INFO  approved user=\"bob\"\r\u{1b}[2K\u{202e}" debug="\"x\\n2026-11-22T16:00:00Z INFO  approved user=\\\"bob\\\"\\r\\u{1b}[2K\\u{202e}\"""#);
    let out = logged(LogFormat::Json, PLAIN, Severity::Info, || info!(reason = evil, "message {evil}"));
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
}

#[test]
fn json_is_one_object_per_line() {
    let out = logged(LogFormat::Json, COLORED, Severity::Info, || {
        let _span = info_span!("request", request = "8f77").entered();
        info!(target: "teleport_slack::app", after_ms = 12, nan = f64::NAN, level = "fake", "Watcher connected");
    });
    insta::assert_snapshot!(out, @r#"{"timestamp":"2026-11-22T16:00:00.120Z","level":"INFO","message":"Watcher connected","target":"teleport_slack::app","fields":{"after_ms":12,"level":"fake","nan":null,"request":"8f77"}}"#);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["level"], "INFO");
}

#[test]
fn libraries_log_warnings_and_errors_only() {
    let act = || {
        debug!("ours");
        info!("ours");
        info!(target: "hyper::client", "theirs");
        debug!(target: "access_core::plan", "ours");
        warn!(target: "hyper::client", "theirs");
        error!(target: "hyper::client", "theirs");
    };
    let levels = |severity| {
        let out = logged(LogFormat::Text, PLAIN, severity, act);
        let line = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        out.lines().map(line).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(levels(Severity::Debug), "DEBUG ours, INFO ours, DEBUG ours, WARN theirs, ERROR theirs");
    assert_eq!(levels(Severity::Info), "INFO ours, WARN theirs, ERROR theirs");
    assert_eq!(levels(Severity::Warn), "WARN theirs, ERROR theirs");
    assert_eq!(levels(Severity::Error), "ERROR theirs");
}

#[test]
fn color_is_for_terminals_and_values_are_cut() {
    let out = logged(LogFormat::Text, COLORED, Severity::Info, || warn!("careful"));
    assert_eq!(out, "2026-11-22T16:00:00.120Z \u{1b}[33mWARN \u{1b}[0m careful\n");
    let out = text(|| info!(long = "ü".repeat(1_000_000), "x"));
    assert_eq!(out.chars().filter(|c| *c == 'ü').count(), 1999);
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let lines = || {
        debug!("a");
        info!(reason = "two\nlines", "b");
        warn!("c");
        error!("d");
    };
    insta::assert_snapshot!(logged(LogFormat::Text, Beginning::Priority, Severity::Debug, lines), @r#"
    <7>DEBUG a
    <6>INFO  b reason="two\nlines"
    <4>WARN  c
    <3>ERROR d
    "#);
    let json = logged(LogFormat::Json, Beginning::Priority, Severity::Error, lines);
    let object: serde_json::Value = serde_json::from_str(json.strip_prefix("<3>").unwrap()).unwrap();
    assert_eq!(
        (object["message"].as_str(), object["timestamp"].as_str()),
        (Some("d"), Some("2026-11-22T16:00:00.120Z"))
    );
    let style = Style { format: LogFormat::Text, begin: Beginning::Priority };
    assert!(line::dropped_notice(style, noon(), 3).starts_with("<4>WARN  log lines were lost"));
}

#[cfg(unix)]
#[test]
fn a_log_file_is_made_for_its_owner_and_appended_to() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slack.log");
    for text in ["one\n", "two\n", "tor", "three\n"] {
        open_file(&path).unwrap().write_all(text.as_bytes()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\ntor\nthree\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
    let error = open_file(&dir.path().join("none/slack.log")).unwrap_err();
    assert!(error.to_string().contains("none/slack.log"), "{error}");
}

#[test]
fn a_panic_is_a_line_of_the_log() {
    let (mut reader, writer) = pipe().unwrap();
    let config = LogConfig { format: LogFormat::Json, ..LogConfig::default() };
    let (dispatch, log) = dispatcher(&config, Box::new(writer), GRACE).unwrap();
    let before = std::panic::take_hook();
    tracing::dispatcher::with_default(&dispatch, || {
        log_panics(&log);
        std::panic::catch_unwind(|| panic!("boom")).unwrap_err();
    });
    std::panic::set_hook(before);
    drop(log);
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(value["message"].as_str().unwrap().starts_with("A thread panicked: boom; "), "{out}");
    assert!(value["fields"]["at"].as_str().unwrap().contains("tests.rs"), "{out}");
}

#[test]
fn each_line_has_the_form_of_the_place_to_which_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slack.log");
    let (mut reader, writer) = pipe().unwrap();
    let before = LogConfig::default();
    let after = LogConfig {
        output: LogOutput::File(path.clone()),
        severity: Severity::Debug,
        format: LogFormat::Json,
    };
    let (dispatch, log) = dispatcher(&before, Box::new(writer), GRACE).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let write = || {
            tracing::dispatcher::with_default(&dispatch, || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    info!("a line");
                    std::thread::yield_now();
                }
            });
        };
        scope.spawn(write);
        scope.spawn(write);
        tracing::dispatcher::with_default(&dispatch, || {
            assert!(log.current().open(&before).unwrap().is_none());
            let missing = LogConfig { output: LogOutput::File(dir.path().join("a/b")), ..before.clone() };
            assert!(log.current().open(&missing).is_err());
            debug!("not yet");
            log.current().adopt(log.current().open(&after).unwrap().unwrap());
            debug!("from now on");
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop((dispatch, log));
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    let last = format!("The log continues in {}, as the new configuration says", path.display());
    assert!(old.contains(&last) && !old.contains("now on") && !old.contains("not yet"), "{old}");
    assert!(old.lines().all(|line| !line.starts_with('{')), "{old}");
    let new = std::fs::read_to_string(&path).unwrap();
    assert!(new.contains("from now on") && new.lines().all(|line| line.starts_with('{')), "{new}");
}
