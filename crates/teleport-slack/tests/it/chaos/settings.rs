//! The settings of a run, from the environment: enough to repeat a failed run, or a smaller one.

use std::time::Duration;

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Gives the schedule, action by action and fault by fault.
    pub(crate) seed: u64,
    /// How long actions and faults last; a shorter run has the beginning of the same schedule.
    pub(crate) duration: Duration,
    pub(crate) replicas: usize,
    /// Requests a second, on average.
    pub(crate) rate: u32,
    /// Kinds of actions and faults that are left out; the rest stays as it is.
    pub(crate) without: Vec<String>,
}

impl Settings {
    /// `CHAOS_SEED`, `CHAOS_SECONDS`, `CHAOS_RATE`, `CHAOS_WITHOUT` (comma list); `replicas` unless `CHAOS_REPLICAS` says so.
    pub(crate) fn from_environment(replicas: usize, seconds: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
        };
        let without = std::env::var("CHAOS_WITHOUT").unwrap_or_default();
        Self {
            seed: number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000)),
            duration: Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(seconds)),
            replicas: number("CHAOS_REPLICAS").map_or(replicas, |n| usize::try_from(n).unwrap()),
            rate: number("CHAOS_RATE").map_or(1, |n| u32::try_from(n).unwrap().max(1)),
            without: without.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// Whether it is long enough to watch memory and files. Finished requests are then deleted, and the daemons log less.
    pub(crate) fn is_soak(&self) -> bool {
        self.duration > Duration::from_secs(600)
    }

    /// The command that repeats the run.
    pub(crate) fn command(&self) -> String {
        let Self { seed, duration: length, replicas, rate, without } = self;
        let without = match without.is_empty() {
            true => String::new(),
            false => format!("CHAOS_WITHOUT={} ", without.join(",")),
        };
        format!(
            "CHAOS_SEED={seed} CHAOS_SECONDS={} CHAOS_REPLICAS={replicas} CHAOS_RATE={rate} {without}\
             cargo test -p teleport-slack --test it chaos::at_random",
            length.as_secs()
        )
    }
}
