//! The hard suites: the daemon is killed between any two calls (`crash`), and everything goes wrong at random
//! (`at_random`). What must hold afterwards is the same in both.
//!
//! Stories that can be told in order are in `tests/it`, whose bed this borrows.

#![expect(clippy::unwrap_used, reason = "in a test, an unwrap that fails is a failed test")]
#![expect(clippy::print_stdout, reason = "for people: what a run came to, and how to have it again")]

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "the bed of the stories, of which less is needed here")]
mod support;

mod shown;
mod crash;
mod settings;
mod schedule;
mod replica;
mod diary;
mod run;
mod acts;
mod judge;
mod at_random;
