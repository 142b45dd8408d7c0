//! Sets logging up: which lines, in which form, to where. What may change while the daemon runs: the level (`log_level.rs`)
//! and the file (`log_file.rs`).

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tracing::error;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::line::{self, Beginning, Fields, Style};
use super::log_file::{LogFile, identity};
use super::log_level::{LevelFilterLayer, LogLevel};
use super::sink::{self, LogGuard, Sink};
use crate::config::{LogConfig, LogOutput};
use crate::exit::{Exit, ExitError};
use crate::supervise::journal;
use client_base::files;

#[cfg(test)]
mod tests;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error(
        "cannot open the log file {}; name a file in a folder that is there, let the user that runs teleport-slack write it, or change log.output",
        path.display()
    )]
    Open {
        /// The path of the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Logging is set up once per process.
    #[error("logging was already set up")]
    AlreadyInitialized,
}

impl From<LogError> for ExitError {
    fn from(error: LogError) -> Self {
        let exit = match &error {
            LogError::Open { .. } => Exit::Credentials,
            LogError::Thread(_) | LogError::AlreadyInitialized => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

/// The log of the process; keep it to the end, where its last lines are written.
#[must_use = "dropping it closes the log"]
pub struct Log {
    _guard: LogGuard,
    reopener: LogReopener,
    level: LogLevel,
    is_stderr: bool,
}

impl Log {
    /// How to reopen the log's file.
    pub fn reopener(&self) -> LogReopener {
        self.reopener.clone()
    }

    /// How to change which lines are logged.
    pub fn level(&self) -> LogLevel {
        self.level.clone()
    }

    /// Whether what is logged is read where standard error is, so that nothing needs to be said there again.
    pub fn is_stderr(&self) -> bool {
        self.is_stderr
    }
}

/// Reopens the log's file after a program that rotates logs has renamed it.
#[derive(Clone)]
pub struct LogReopener {
    sink: Sink,
    path: Option<PathBuf>,
}

impl LogReopener {
    /// Later lines go to what is called by the file's name now. Returns that name; `None` if the log is no file. Blocks
    /// as opening a file does.
    ///
    /// # Errors
    /// If it cannot be opened; the log then stays where it is.
    pub fn reopen(&self) -> Result<Option<&Path>, LogError> {
        if let Some(path) = &self.path {
            self.sink.switch_to(Box::new(open(path)?));
        }
        Ok(self.path.as_deref())
    }
}

/// Sets up logging for the whole process; `debug` overrides the configured severity.
/// `grace`: see [`crate::supervise::shutdown::ShutdownTimings::log`].
pub fn init(config: &LogConfig, debug: bool, grace: Duration) -> Result<Log, LogError> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let (path, is_stderr) = match &config.output {
        LogOutput::Stderr => (None, true),
        LogOutput::Stdout => (None, is_same_file(Path::new("/dev/stdout"))),
        LogOutput::File(path) => (Some(path.clone()), is_same_file(path)),
    };
    let begin = |terminal: bool| match is_stderr && journal::is_stderr() {
        true => Beginning::Priority,
        false => Beginning::Time { color: terminal && !no_color },
    };
    let style = |terminal: bool| Style { format: config.format, begin: begin(terminal) };
    let (style, out): (Style, Box<dyn Write + Send>) = match &config.output {
        LogOutput::Stdout => (style(io::stdout().is_terminal()), Box::new(io::stdout())),
        LogOutput::Stderr => (style(io::stderr().is_terminal()), Box::new(io::stderr())),
        LogOutput::File(path) => (style(false), Box::new(open(path)?)),
    };
    let (sink, guard) = start_sink(style, out, grace)?;
    let (filter, level) = LogLevel::new(config.severity, debug);
    subscriber(sink.clone(), style, filter, Timestamp::now)
        .try_init()
        .map_err(|_| LogError::AlreadyInitialized)?;
    Ok(Log { _guard: guard, reopener: LogReopener { sink, path }, level, is_stderr })
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
    let (sink, guard) = start_sink(style, out, grace)?;
    let (filter, level) = LogLevel::new(config.severity, false);
    let dispatch = Dispatch::new(subscriber(sink.clone(), style, filter, Timestamp::now));
    Ok((dispatch, Log { _guard: guard, reopener: LogReopener { sink, path: None }, level, is_stderr: false }))
}

fn start_sink(
    style: Style,
    out: Box<dyn Write + Send>,
    grace: Duration,
) -> Result<(Sink, LogGuard), LogError> {
    let notice = move |count| line::dropped_notice(style, Timestamp::now(), count);
    sink::start(out, notice, grace).map_err(LogError::Thread)
}

/// From now on a panic is a line of the log, whichever task it ends, and goes to standard error only if that is another
/// place or `RUST_BACKTRACE` asks for a back-trace.
pub fn log_panics(log: &Log) {
    let (before, is_stderr) = (std::panic::take_hook(), log.is_stderr());
    let wants_trace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload_as_str().unwrap_or("it did not say why");
        let at = panic.location().map(ToString::to_string);
        error!(at, "A thread panicked: {words}; this is a bug in teleport-slack; please report it");
        if !is_stderr || wants_trace {
            before(panic);
        }
    }));
}

/// Whether it is what standard error is, as under a service manager. `false` where the system does not say.
fn is_same_file(path: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().and_then(|metadata| identity(&metadata));
    identity(path).is_some_and(|file| Some(file) == identity(Path::new("/dev/stderr")))
}

fn open(path: &Path) -> Result<LogFile, LogError> {
    LogFile::open(path).map_err(|source| LogError::Open { path: path.to_owned(), source })
}

/// Whether a log file at this path could be opened, without making it.
///
/// # Errors
/// As opening it would fail.
pub fn try_file(path: &Path) -> Result<(), LogError> {
    let fail = |source| LogError::Open { path: path.to_owned(), source };
    files::reject_pipe(path).map_err(fail)?;
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            files::can_create_in(folder.unwrap_or(Path::new("."))).map_err(fail)
        }
        Err(error) => Err(fail(error)),
    }
}

fn subscriber(
    sink: Sink,
    style: Style,
    filter: LevelFilterLayer,
    now: fn() -> Timestamp,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry().with(LineLayer { sink, style, now }.with_filter(filter))
}

/// Turns events into lines; the fields of the spans around an event belong to its line.
struct LineLayer {
    sink: Sink,
    style: Style,
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
        self.sink.push(line::line(self.style, (self.now)(), *metadata.level(), metadata.target(), &fields));
    }
}
