//! Sets logging up: which lines, in which form, to where.
//!
//! The daemon's own lines from the configured severity on; those of its libraries only from warnings on, because
//! their chatter is not the operator's concern.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::line::{self, Fields, Style};
use super::sink::{self, LogGuard, Sink};
use crate::config::{LogConfig, LogFormat, LogOutput, Severity};

/// The crates whose lines follow the configured severity.
const OURS: [&str; 3] = ["teleport_slack", "access_core", "access_sim"];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error(
        "cannot open the log file {}; let the user that runs teleport-slack write there, or change log.output",
        path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Logging is set up once per process.
    #[error("logging was already set up")]
    Again,
}

/// Sets up logging for the whole process; `debug` overrides the configured severity. Keep the guard to the end.
pub fn init(config: &LogConfig, debug: bool) -> Result<LogGuard, LogError> {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = |terminal: bool| Style { format: config.format, colour: terminal && !no_colour };
    let (style, out): (Style, Box<dyn Write + Send>) = match &config.output {
        LogOutput::Stdout => (style(io::stdout().is_terminal()), Box::new(io::stdout())),
        LogOutput::Stderr => (style(io::stderr().is_terminal()), Box::new(io::stderr())),
        LogOutput::File(path) => (style(false), Box::new(open(path)?)),
    };
    let owned_up = move |count| line::lost(style, Timestamp::now(), count);
    let (sink, guard) = sink::start(out, owned_up).map_err(LogError::Thread)?;
    let severity = if debug { Severity::Debug } else { config.severity };
    subscriber(sink, style, severity, Timestamp::now).try_init().map_err(|_| LogError::Again)?;
    Ok(guard)
}

fn open(path: &Path) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path).map_err(|source| LogError::Open { path: path.to_owned(), source })
}

fn subscriber(
    sink: Sink,
    style: Style,
    severity: Severity,
    now: fn() -> Timestamp,
) -> impl Subscriber + Send + Sync {
    let ours = match severity {
        Severity::Debug => LevelFilter::DEBUG,
        Severity::Info => LevelFilter::INFO,
        Severity::Warn => LevelFilter::WARN,
        Severity::Error => LevelFilter::ERROR,
    };
    let libraries = ours.min(LevelFilter::WARN);
    let which = Targets::new().with_targets(OURS.map(|target| (target, ours))).with_default(libraries);
    tracing_subscriber::registry().with(Lines { sink, style, now }.with_filter(which))
}

/// Turns events into lines; the fields of the spans around an event belong to its line.
struct Lines {
    sink: Sink,
    style: Style,
    now: fn() -> Timestamp,
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inherit(outer);
            }
        }
        let metadata = event.metadata();
        self.sink.push(line::line(self.style, (self.now)(), *metadata.level(), metadata.target(), &fields));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use tracing::{debug, error, info, info_span, warn};

    use super::*;

    fn noon() -> Timestamp {
        Timestamp::from_millisecond(1_795_363_200_120).unwrap()
    }

    /// What is logged while `act` runs.
    fn logged(format: LogFormat, colour: bool, severity: Severity, act: impl FnOnce()) -> String {
        let (mut reader, writer) = pipe().unwrap();
        let style = Style { format, colour };
        let (sink, guard) = sink::start(writer, move |count| line::lost(style, noon(), count)).unwrap();
        tracing::subscriber::with_default(subscriber(sink, style, severity, noon), act);
        drop(guard);
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        out
    }

    fn text(act: impl FnOnce()) -> String {
        logged(LogFormat::Text, false, Severity::Info, act)
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
        2026-11-22T16:00:00Z INFO  Starting Teleport Access Slack 7.1.3
        2026-11-22T16:00:00Z WARN  Cannot post channel=C1 attempt=2 ok=true reason="two words"
        2026-11-22T16:00:00Z ERROR Gone error="disk on fire" name="x=y"
        "#);
    }

    #[test]
    fn the_fields_of_spans_belong_to_the_line() {
        let out = text(|| {
            let outer = info_span!("request", request = "8f77", phase = tracing::field::Empty).entered();
            outer.record("phase", "pending");
            let _inner = info_span!("post", recipient = "C1").entered();
            info!(request = "own", "posted");
        });
        insta::assert_snapshot!(out, @r"2026-11-22T16:00:00Z INFO  posted request=own recipient=C1 phase=pending");
    }

    #[test]
    fn nothing_from_outside_forges_a_line_or_reaches_the_terminal() {
        let evil = "x\n2026-11-22T16:00:00Z INFO  approved user=\"bob\"\r\u{1b}[2K\u{202e}";
        let out = text(|| {
            info!(reason = evil, shown = %evil, debug = ?evil, "message {evil}");
        });
        insta::assert_snapshot!(out, @r#"2026-11-22T16:00:00Z INFO  message x\n2026-11-22T16:00:00Z INFO  approved user="bob"\r\u{1b}[2K\u{202e} reason="x\n2026-11-22T16:00:00Z INFO  approved user=\"bob\"\r\u{1b}[2K\u{202e}" shown="x\n2026-11-22T16:00:00Z INFO  approved user=\"bob\"\r\u{1b}[2K\u{202e}" debug="\"x\\n2026-11-22T16:00:00Z INFO  approved user=\\\"bob\\\"\\r\\u{1b}[2K\\u{202e}\"""#);
        let out = logged(LogFormat::Json, false, Severity::Info, || info!(reason = evil, "message {evil}"));
        assert_eq!(out.lines().count(), 1, "{out}");
        assert!(!out.contains('\u{1b}'), "{out}");
    }

    #[test]
    fn json_is_one_object_per_line() {
        let out = logged(LogFormat::Json, true, Severity::Info, || {
            let _span = info_span!("request", request = "8f77").entered();
            info!(target: "teleport_slack::app", after_ms = 12, nan = f64::NAN, level = "fake", "Watcher connected");
        });
        insta::assert_snapshot!(out, @r#"{"timestamp":"2026-11-22T16:00:00.120Z","level":"INFO","message":"Watcher connected","target":"teleport_slack::app","fields":{"after_ms":12,"level":"fake","nan":null,"request":"8f77"}}"#);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn libraries_are_heard_from_warnings_on() {
        let act = || {
            debug!("ours");
            info!("ours");
            info!(target: "hyper::client", "theirs");
            debug!(target: "access_core::plan", "ours");
            warn!(target: "hyper::client", "theirs");
            error!(target: "hyper::client", "theirs");
        };
        let levels = |severity| {
            let out = logged(LogFormat::Text, false, severity, act);
            let line = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
            out.lines().map(line).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(levels(Severity::Debug), "DEBUG ours, INFO ours, DEBUG ours, WARN theirs, ERROR theirs");
        assert_eq!(levels(Severity::Info), "INFO ours, WARN theirs, ERROR theirs");
        assert_eq!(levels(Severity::Warn), "WARN theirs, ERROR theirs");
        assert_eq!(levels(Severity::Error), "ERROR theirs");
    }

    #[test]
    fn colour_is_for_terminals_and_values_are_cut() {
        let out = logged(LogFormat::Text, true, Severity::Info, || warn!("careful"));
        assert_eq!(out, "2026-11-22T16:00:00Z \u{1b}[33mWARN \u{1b}[0m careful\n");
        let out = text(|| info!(long = "ü".repeat(1_000_000), "x"));
        assert_eq!(out.chars().filter(|c| *c == 'ü').count(), 2000);
    }

    #[cfg(unix)]
    #[test]
    fn a_log_file_is_made_for_its_owner_and_appended_to() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slack.log");
        for text in ["one\n", "two\n"] {
            open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
        let error = open(&dir.path().join("none/slack.log")).unwrap_err();
        assert!(error.to_string().contains("none/slack.log"), "{error}");
    }
}
