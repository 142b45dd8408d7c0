//! What became of the last reload: the configuration in use, and why a newer one is not.
//!
//! Who reloads reports here; the metrics read it, and one listener is notified of each change at once.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::time::Instant;

/// What became of the last reload; clones share it.
#[derive(Clone)]
pub struct ReloadState(Arc<Shared>);

struct Shared {
    status: Mutex<ReloadStatus>,
    listener: OnceLock<Listener>,
}

type Listener = Box<dyn Fn(&ReloadStatus) + Send + Sync>;

/// The state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadStatus {
    /// A reload is in progress.
    pub is_reloading: bool,
    /// When what is in use was taken up.
    pub loaded_at: Instant,
    /// Why what the files hold now is not in use; `None` if it is.
    pub refusal: Option<Refusal>,
}

/// A configuration that was not taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When it was refused.
    pub at: Instant,
    /// Why, each cause on one line, with `FILE:LINE` if a line is at fault, and no secret. There is one at least.
    pub causes: Vec<String>,
}

impl Refusal {
    /// The first cause, and how many more there are.
    pub fn summary(&self) -> String {
        match self.causes.as_slice() {
            [only] => only.clone(),
            [first, more @ ..] => format!("{first} (and {} more)", more.len()),
            [] => String::new(),
        }
    }
}

impl ReloadState {
    /// The configuration that the daemon starts with is in use.
    pub fn new() -> Self {
        let status = ReloadStatus { is_reloading: false, loaded_at: Instant::now(), refusal: None };
        Self(Arc::new(Shared { status: Mutex::new(status), listener: OnceLock::new() }))
    }

    /// The state now.
    pub fn status(&self) -> ReloadStatus {
        self.0.status.lock().clone()
    }

    /// Lets `listener` see each change, on the thread that makes it and before that goes on. It must not block. Only the
    /// first listener counts.
    pub fn listen(&self, listener: impl Fn(&ReloadStatus) + Send + Sync + 'static) {
        // A second one would be a mistake in this program that harms nothing.
        let _ = self.0.listener.set(Box::new(listener));
    }

    /// A reload was asked for and begins.
    pub fn reloading(&self) {
        self.change(|status| status.is_reloading = true);
    }

    /// The reload ended, and what the files hold is in use.
    pub fn reloaded(&self) {
        self.change(|status| {
            *status = ReloadStatus { is_reloading: false, loaded_at: Instant::now(), refusal: None };
        });
    }

    /// The reload ended, and what was in use stays for these causes ([`Refusal::causes`]).
    pub fn refused(&self, causes: Vec<String>) {
        self.change(|status| {
            status.is_reloading = false;
            status.refusal = Some(Refusal { at: Instant::now(), causes });
        });
    }

    /// Whether a reload is about to say what is wrong with this file, or did: then who watches the file need not.
    pub fn logs_faults_of(&self, file: &Path) -> bool {
        let (ReloadStatus { is_reloading, refusal, .. }, file) = (self.status(), file.display().to_string());
        is_reloading
            || refusal.is_some_and(|refusal| refusal.causes.iter().any(|cause| cause.contains(&file)))
    }

    fn change(&self, change: impl FnOnce(&mut ReloadStatus)) {
        let now = {
            let mut status = self.0.status.lock();
            change(&mut status);
            status.clone()
        };
        if let Some(listener) = self.0.listener.get() {
            listener(&now);
        }
    }
}

impl Default for ReloadState {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReloadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_leaves_the_time_of_the_last_good_load_and_a_good_load_ends_it() {
        let state = ReloadState::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        state.listen({
            let seen = Arc::clone(&seen);
            move |status| {
                let cause = status.refusal.as_ref().map(Refusal::summary);
                seen.lock().push((status.is_reloading, cause));
            }
        });
        let started = state.status().loaded_at;
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        state.reloading();
        state.refused(vec!["slack.toml:3: no".to_owned()]);
        assert!(state.logs_faults_of(Path::new("slack.toml")) && !state.logs_faults_of(Path::new("/token")));
        assert_eq!(state.status().loaded_at, started);
        state.reloading();
        assert!(state.status().refusal.is_some(), "it holds until a good load");
        state.reloaded();
        assert_eq!(state.status(), ReloadState::new().status());
        let why = Some("slack.toml:3: no".to_owned());
        assert_eq!(*seen.lock(), [(true, None), (false, why.clone()), (true, why), (false, None)]);
    }
}
