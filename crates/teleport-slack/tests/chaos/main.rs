//! The hard suites: the daemon is killed between any two calls (`crash`), and everything goes wrong at random
//! (`at_random`). What must hold afterwards is the same in both.
//!
//! Stories that can be told in order are in `tests/it`, whose bed this borrows.

#![expect(clippy::unwrap_used, reason = "in a test, an unwrap that fails is a failed test")]
#![expect(clippy::print_stdout, reason = "for people: what a run came to, and how to have it again")]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "the bed of the stories, of which less is needed here")]
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
