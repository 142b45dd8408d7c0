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
use crate::config::{LogConfig, LogOutput, Severity};

#[cfg(test)]
mod tests;

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
