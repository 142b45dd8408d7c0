//! The log as it is now: where lines go, in which form, and which there are. A reload of the configuration may change all of it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tracing::info;

use super::last_errors::{LastErrors, LoggedError};
use super::line::{Beginning, Style};
use super::log_file::{LogFile, identity};
use super::log_level::{ANSWER, LogLevel};
use super::sink::Sink;
use crate::config::{LogConfig, LogFormat, LogOutput};
use crate::exit::{Exit, ExitError};
use crate::supervise::journal;
use client_base::files;

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

/// The form of lines. Who makes a line holds it until the sink has the line, so that each line has the form of the place to
/// which it goes.
pub(super) type CurrentStyle = Arc<RwLock<Style>>;

/// The log in use; clones share it.
#[derive(Clone)]
pub struct CurrentLog(Arc<Shared>);

struct Shared {
    sink: Sink,
    style: CurrentStyle,
    level: LogLevel,
    last_errors: LastErrors,
    is_stderr: AtomicBool,
    /// Held while the sink is switched.
    config: Mutex<LogConfig>,
}

/// What a configuration makes of the log: open, and not in use.
pub struct OpenedLog {
    pub(super) config: LogConfig,
    pub(super) style: Style,
    pub(super) is_stderr: bool,
    /// `None` if lines go where they went.
    pub(super) out: Option<Box<dyn Write + Send>>,
}

impl CurrentLog {
    pub(super) fn new(
        sink: Sink,
        style: CurrentStyle,
        level: LogLevel,
        last_errors: LastErrors,
        config: LogConfig,
        is_stderr: bool,
    ) -> Self {
        let (is_stderr, config) = (AtomicBool::new(is_stderr), Mutex::new(config));
        Self(Arc::new(Shared { sink, style, level, last_errors, is_stderr, config }))
    }

    /// How to change which lines are logged.
    pub fn level(&self) -> &LogLevel {
        &self.0.level
    }

    /// The last lines at ERROR and WARN, the newest first; as far as the severity lets them through.
    pub(crate) fn last_errors(&self) -> Vec<LoggedError> {
        self.0.last_errors.newest_first()
    }

    /// The form of its lines.
    pub fn format(&self) -> LogFormat {
        self.0.config.lock().format
    }

    /// Whether what is logged is read where standard error is, so that nothing needs to be said there again.
    pub fn is_stderr(&self) -> bool {
        self.0.is_stderr.load(Ordering::Relaxed)
    }

    /// After a program that rotates logs has renamed the file: later lines go to what is called by its name now. Returns that
    /// name; `None` if the log is no file. Blocks as opening a file does.
    ///
    /// # Errors
    /// If it cannot be opened; the log then stays where it is.
    pub fn reopen(&self) -> Result<Option<PathBuf>, LogError> {
        let output = self.0.config.lock().output.clone();
        let LogOutput::File(path) = &output else { return Ok(None) };
        let file = open_file(path)?;
        let config = self.0.config.lock();
        // A reload may have moved the log meanwhile.
        if config.output == output {
            self.0.sink.switch_to(Box::new(file));
        }
        Ok(Some(path.clone()))
    }

    /// Opens what another configuration says; `None` if it says the same. Blocks as opening a file does.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(&self, config: &LogConfig) -> Result<Option<OpenedLog>, LogError> {
        let current = self.0.config.lock().clone();
        if current == *config {
            return Ok(None);
        }
        if current.output != config.output {
            return OpenedLog::open(config).map(Some);
        }
        let style = Style { format: config.format, ..*self.0.style.read() };
        Ok(Some(OpenedLog { config: config.clone(), style, is_stderr: self.is_stderr(), out: None }))
    }

    /// Later lines are as the other configuration says. The last line of before says where they go.
    pub fn adopt(&self, opened: OpenedLog) {
        let OpenedLog { config, style, is_stderr, out } = opened;
        if out.is_some() {
            info!(target: ANSWER, "The log continues in {}, as the new configuration says", place(&config.output));
        }
        let mut current = self.0.config.lock();
        let mut current_style = self.0.style.write();
        if let Some(out) = out {
            self.0.sink.switch_to(out);
        }
        *current_style = style;
        drop(current_style);
        self.0.is_stderr.store(is_stderr, Ordering::Relaxed);
        self.0.level.configure(config.severity);
        *current = config;
    }
}

impl OpenedLog {
    /// Opens what a configuration says. Blocks as opening a file does.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(super) fn open(config: &LogConfig) -> Result<Self, LogError> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_stderr = match &config.output {
            LogOutput::Stderr => true,
            LogOutput::Stdout => is_same_file(Path::new("/dev/stdout")),
            LogOutput::File(path) => is_same_file(path),
        };
        let begin = |terminal: bool| match is_stderr && journal::is_stderr() {
            true => Beginning::Priority,
            false => Beginning::Time { color: terminal && !no_color },
        };
        let (begin, out): (Beginning, Box<dyn Write + Send>) = match &config.output {
            LogOutput::Stdout => (begin(io::stdout().is_terminal()), Box::new(io::stdout())),
            LogOutput::Stderr => (begin(io::stderr().is_terminal()), Box::new(io::stderr())),
            LogOutput::File(path) => (begin(false), Box::new(open_file(path)?)),
        };
        let style = Style { format: config.format, begin };
        Ok(Self { config: config.clone(), style, is_stderr, out: Some(out) })
    }
}

fn place(output: &LogOutput) -> String {
    match output {
        LogOutput::Stdout => "standard output".to_owned(),
        LogOutput::Stderr => "standard error".to_owned(),
        LogOutput::File(path) => path.display().to_string(),
    }
}

/// Whether it is what standard error is, as under a service manager. `false` where the system does not say.
fn is_same_file(path: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().and_then(|metadata| identity(&metadata));
    identity(path).is_some_and(|file| Some(file) == identity(Path::new("/dev/stderr")))
}

pub(super) fn open_file(path: &Path) -> Result<LogFile, LogError> {
    LogFile::open(path).map_err(|source| LogError::Open { path: path.to_owned(), source })
}

/// Whether a log file at this path can be opened. One that is not there is made for the moment, as only that shows it: the
/// rights of a folder say nothing of a file system that takes no new files.
///
/// # Errors
/// As opening it would fail.
pub fn try_file(path: &Path) -> Result<(), LogError> {
    let fail = |source| LogError::Open { path: path.to_owned(), source };
    files::reject_pipe(path).map_err(fail)?;
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = behind_links(path);
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(fail)?;
            std::fs::remove_file(&path).map_err(fail)
        }
        Err(error) => Err(fail(error)),
    }
}

/// Where a link to a file that is not there leads.
fn behind_links(path: &Path) -> PathBuf {
    /// As many as Linux follows.
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_a_log_file_finds_what_opening_it_would_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("old.log"), "line\n").unwrap();
        for (link, target) in [("link.log", "new.log"), ("bad.log", "none/new.log"), ("own.log", "own.log")] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let names = || {
            let mut names: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        for sound in ["new.log", "old.log", "link.log"] {
            assert!(try_file(&at(sound)).is_ok(), "{sound}");
        }
        // No user may make a file there, and root's rights say otherwise.
        for broken in
            [at("none/new.log"), at("bad.log"), at("own.log"), dir.path().into(), "/proc/x.log".into()]
        {
            let LogError::Open { source, .. } = try_file(&broken).unwrap_err() else { panic!("{broken:?}") };
            assert_eq!(
                source.kind(),
                open_file(&broken)
                    .err()
                    .map(|error| match error {
                        LogError::Open { source, .. } => source.kind(),
                        other => panic!("{other}"),
                    })
                    .unwrap(),
                "{broken:?}"
            );
        }
        assert_eq!(names(), before);
        assert_eq!(std::fs::read_to_string(at("old.log")).unwrap(), "line\n");
    }
}
