//! All waits stand in the timings of their layer, where their constructor checks what depends on each other.

use crate::rules::{Source, all_production};

/// Where a wait may stand that is not in a file of timings, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "access-core/src/domain/lifecycle.rs",
        "how long what Teleport said of a request counts, beside the rule",
    ),
    ("access-core/src/domain/log_once.rs", "how often a line is logged; nothing waits for it"),
    ("access-core/src/domain/outage.rs", "the timings of outages, beside their rule"),
    ("client-base/src/tcp.rs", "when the next address of a name is tried, as RFC 8305 has it"),
    ("slack-client/src/error.rs", "what an answer of Slack means that names no time"),
    ("slack-client/src/wire.rs", "the same"),
    ("slack-client/src/rate_limit.rs", "the rate of look-ups, beside its burst"),
    ("teleport-slack/src/check/", "the command `check` waits by itself"),
    ("teleport-slack/src/explain/", "so does the command `explain`"),
    ("teleport-slack/src/cli/", "commands wait by themselves"),
    ("teleport-slack/src/observe/health.rs", "the default of one value of `app::timings`"),
    ("teleport-slack/src/observe/outages.rs", "how often, at most, it looks whether a reminder is due"),
    ("teleport-slack/src/observe/log_file.rs", "the log is there before any timings"),
    ("teleport-slack/src/supervise/shutdown.rs", "the timings of a stop"),
    ("teleport-slack/src/supervise/signals.rs", "signals are caught before any timings"),
];

/// How a wait is spelled.
const SPELLINGS: [&str; 4] =
    ["Duration::from_secs", "Duration::from_millis", "Duration::from_mins", "Duration::from_hours"];

/// The lines that spell a wait. A [`jiff::SignedDuration`] lies between two times, so no wait has that type.
fn waits(source: &Source) -> Vec<String> {
    let code = source.production_lines().filter(|line| !line.trim_start().starts_with("//"));
    let spells = |line: &&str| {
        let line = line.replace("SignedDuration", "");
        SPELLINGS.iter().any(|spelling| line.contains(spelling))
    };
    code.filter(spells).map(|line| format!("{}: {}", source.path, line.trim())).collect()
}

fn is_timings(path: &str) -> bool {
    path.ends_with("timings.rs")
}

#[test]
fn every_wait_stands_in_the_timings_of_its_layer() {
    let sources = all_production();
    let sources = sources.iter().filter(|source| {
        let is_ours = !source.path.contains("/access-sim/") && !is_timings(&source.path);
        is_ours && !ELSEWHERE.iter().any(|(place, _)| source.path.contains(place))
    });
    let stray: Vec<_> = sources.flat_map(waits).collect();
    assert!(stray.is_empty(), "move these waits into the timings of their layer: {stray:#?}");
}

#[test]
fn the_exceptions_have_waits() {
    let sources = all_production();
    for (place, reason) in ELSEWHERE {
        let mut here = sources.iter().filter(|source| source.path.contains(place));
        assert!(here.any(|source| !waits(source).is_empty()), "{place} has no wait any more ({reason})");
    }
}

#[test]
fn a_stray_wait_is_found() {
    let text = "const A: Duration = Duration::from_secs(1);\n\
                const B: SignedDuration = SignedDuration::from_secs(1);\n\
                // Duration::from_secs(1)\n\
                #[cfg(test)]\nmod tests {\n    const C: Duration = Duration::from_secs(1);\n}\n";
    let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
    assert_eq!(waits(&source), ["a.rs: const A: Duration = Duration::from_secs(1);"]);
}
