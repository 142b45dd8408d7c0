//! The stress suites: `crash` kills the daemon at every call, and `at_random` makes everything fail at random. The same
//! must hold afterwards in both. Tests with a fixed order of events are in the other files.

#![expect(clippy::print_stdout, reason = "for people: the result of a run, and the command that repeats it")]

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
