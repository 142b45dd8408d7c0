//! Sets logging up: events become lines. What may change while the daemon runs is in `current_log.rs`.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::RwLock;
use tracing::error;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::current_log::{CurrentLog, CurrentStyle, LogError, OpenedLog};
use super::last_errors::LastErrors;
use super::line::{self, Beginning, Fields, Style};
use super::log_level::{LevelFilterLayer, LogLevel};
use super::sink::{self, LogGuard, Sink};
use crate::config::LogConfig;

#[cfg(test)]
mod tests;

/// The log of the process; keep it to the end, where its last lines are written.
#[must_use = "dropping it closes the log"]
pub struct Log {
    _guard: LogGuard,
    current: CurrentLog,
}

impl Log {
    /// What may change while the daemon runs.
    pub fn current(&self) -> &CurrentLog {
        &self.current
    }
}

/// Sets up logging for the whole process; `debug` overrides the configured severity.
/// `grace`: see [`crate::supervise::shutdown::ShutdownTimings::log`].
pub fn init(config: &LogConfig, debug: bool, grace: Duration) -> Result<Log, LogError> {
    let (subscriber, log) = build(OpenedLog::open(config)?, debug, grace)?;
    subscriber.try_init().map_err(|_| LogError::AlreadyInitialized)?;
    Ok(log)
}

/// Logs what `lines` logs to where and as `config` says, whatever the log of the process is.
///
/// # Errors
/// If that log cannot be opened.
pub fn log_apart(config: &LogConfig, grace: Duration, lines: impl FnOnce()) -> Result<(), LogError> {
    let (subscriber, _log) = build(OpenedLog::open(config)?, false, grace)?;
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), lines);
    Ok(())
}

/// A log of its own for a daemon that shares its process with others, written to `out` without colors. The caller makes the
/// dispatcher the default of the daemon's threads.
///
/// # Errors
/// If the thread that writes cannot be started.
pub fn dispatcher(
    config: &LogConfig,
    out: Box<dyn Write + Send>,
    grace: Duration,
) -> Result<(Dispatch, Log), LogError> {
    let style = Style { format: config.format, begin: Beginning::Time { color: false } };
    let opened = OpenedLog { config: config.clone(), style, is_stderr: false, out: Some(out) };
    let (subscriber, log) = build(opened, false, grace)?;
    Ok((Dispatch::new(subscriber), log))
}

fn build(
    opened: OpenedLog,
    debug: bool,
    grace: Duration,
) -> Result<(impl Subscriber + Send + Sync, Log), LogError> {
    let OpenedLog { config, style, is_stderr, out } = opened;
    let style = CurrentStyle::new(RwLock::new(style));
    let out = out.unwrap_or_else(|| Box::new(io::sink()));
    let (sink, guard) = start_sink(&style, out, grace)?;
    let (filter, level) = LogLevel::new(config.severity, debug);
    let last_errors = LastErrors::default();
    let lines = LineLayer {
        sink: sink.clone(),
        style: Arc::clone(&style),
        last_errors: last_errors.clone(),
        now: Timestamp::now,
    };
    let current = CurrentLog::new(sink, style, level, last_errors, config, is_stderr);
    Ok((subscriber(lines, filter), Log { _guard: guard, current }))
}

fn start_sink(
    style: &CurrentStyle,
    out: Box<dyn Write + Send>,
    grace: Duration,
) -> Result<(Sink, LogGuard), LogError> {
    let style = Arc::clone(style);
    let notice = move |count| line::dropped_notice(*style.read(), Timestamp::now(), count);
    sink::start(out, notice, grace).map_err(LogError::Thread)
}

/// From now on a panic is a line of the log, whichever task it ends, and goes to standard error only if that is another
/// place or `RUST_BACKTRACE` asks for a back-trace.
pub fn log_panics(log: &Log) {
    let (before, log) = (std::panic::take_hook(), log.current.clone());
    let wants_trace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload_as_str().unwrap_or("it did not say why");
        let at = panic.location().map(ToString::to_string);
        error!(at, "A thread panicked: {words}; this is a bug in teleport-slack; please report it");
        if !log.is_stderr() || wants_trace {
            before(panic);
        }
    }));
}

fn subscriber(lines: LineLayer, filter: LevelFilterLayer) -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry().with(lines.with_filter(filter))
}

/// Turns events into lines; the fields of the spans around an event belong to its line.
struct LineLayer {
    sink: Sink,
    style: CurrentStyle,
    last_errors: LastErrors,
    now: fn() -> Timestamp,
}

impl<S> Layer<S> for LineLayer
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
        let (now, level) = ((self.now)(), *metadata.level());
        {
            let style = self.style.read();
            self.sink.push(line::line(*style, now, level, metadata.target(), &fields));
        }
        if LastErrors::keeps(level) {
            self.last_errors.push(fields.logged(now, level));
        }
    }
}
