//! The stress suites: `crash` kills the daemon at every call, and `at_random` makes everything fail at random. The same
//! must hold afterwards in both.
//!
//! Tests with a fixed order of events are in `tests/it`, whose harness this uses.

#![expect(clippy::unwrap_used, reason = "in a test, an unwrap that fails is a failed test")]
#![expect(clippy::print_stdout, reason = "for people: the result of a run, and the command that repeats it")]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "the harness of `it`, of which less is needed here")]
mod harness;

mod observed;
mod crash;
mod settings;
mod schedule;
mod replica;
mod event_log;
mod run;
mod actions;
mod oracle;
mod at_random;
