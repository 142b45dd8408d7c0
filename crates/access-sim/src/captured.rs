//! What is logged while a test runs, of every level, to look for what must be there and for what must not.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Listens to everything and is never used. With one listener alone, tracing takes a line that is first reached on
/// another thread, which has no listener, for an unwanted one. The test would then wait for it without success.
static SECOND_SUBSCRIBER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Collects what this thread logs until it is dropped. For tests on a current-thread runtime, whose tasks all run
/// on the test's thread.
pub struct Captured {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// From every crate.
    pub fn start() -> Self {
        Self::collect(|_| true)
    }

    /// Only what the crate of this name logs.
    pub fn of_crate(name: &'static str) -> Self {
        Self::collect(move |line| line.target().starts_with(name))
    }

    /// A line is its level and its text.
    fn collect(is_wanted: impl Fn(&Metadata<'_>) -> bool + Send + Sync + 'static) -> Self {
        LazyLock::force(&SECOND_SUBSCRIBER);
        let text = Text::default();
        let lines = tracing_subscriber::fmt::layer()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(text.clone())
            .with_filter(filter_fn(is_wanted));
        Self { text, _guard: tracing_subscriber::registry().with(lines).set_default() }
    }

    /// All that was logged so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.0.lock()).into_owned()
    }

    /// How many lines hold these words.
    pub fn count(&self, words: &str) -> usize {
        self.text().lines().filter(|line| line.contains(words)).count()
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Text {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn a_line_is_collected_although_a_thread_without_listener_came_first() {
    let say = || tracing::info!("said");
    let log = Captured::start();
    std::thread::spawn(say).join().unwrap();
    say();
    assert_eq!(log.count("said"), 1, "{}", log.text());
}
