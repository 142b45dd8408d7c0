//! Everything at once and at random, from a seed. The settings are in `settings.rs`, the commands in
//! `CONTRIBUTING.md`.

use crate::harness::run_test;
use crate::run::run;
use crate::settings::Settings;

/// How long things go wrong if the environment does not say; the calm afterwards is as long again.
const SECONDS: u64 = 40;

#[test]
fn nothing_is_lost_doubled_or_left_untrue_at_random() {
    let counts: Vec<_> = match std::env::var_os("CHAOS_REPLICAS") {
        Some(_) => vec![1],
        None => (1..=3).collect(),
    };
    run_test(async {
        let all: Vec<_> = counts.iter().map(|count| Settings::from_environment(*count, SECONDS)).collect();
        for settings in &all {
            println!("{}", settings.command());
        }
        let ends = futures_util::future::join_all(all.iter().map(run)).await;
        let mut stories = Vec::new();
        for end in ends {
            match end {
                Ok(summary) => println!("{summary}"),
                Err(story) => stories.push(story),
            }
        }
        assert!(stories.is_empty(), "{}", stories.join("\n\n"));
    });
}
