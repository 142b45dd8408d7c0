//! Everything at once and at random, from a seed. The settings are in `settings.rs`, the commands in
//! `CONTRIBUTING.md`.

use crate::chaos::run::run;
use crate::chaos::settings::Settings;
use crate::harness::run_test;

/// How long the faults last unless the environment says otherwise; the calm afterwards takes about as long.
const SECONDS: u64 = 15;

#[test]
fn random_faults_lose_duplicate_and_falsify_nothing() {
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
        let mut reports = Vec::new();
        for end in ends {
            match end {
                Ok(summary) => println!("{summary}"),
                Err(report) => reports.push(report),
            }
        }
        assert!(reports.is_empty(), "{}", reports.join("\n\n"));
    });
}
