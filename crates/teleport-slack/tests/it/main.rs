//! The daemon as its users run it: the built program against both simulators over real sockets.
//!
//! `harness` is the test bed; each other file holds the scenarios of one kind.

#![expect(clippy::unwrap_used, reason = "in a test, an unwrap that fails is a failed test")]

mod harness;

mod chaos;
mod journal;
mod layers;
mod lifecycle;
mod lists;
mod log_fields;
mod steps;
mod downtime;
mod backlog;
mod go_compat;
mod moving;
mod bad_input;
mod slack_faults;
mod recovery;
mod teleport_faults;
mod service_manager;
mod shut_out;
mod tokens;
mod tls;
mod verdicts;
mod remedies;
mod reach;
mod render;
mod reload;
mod reload_connections;
mod reload_at_random;
mod reload_refused;
mod renewal;
mod starting;
mod status;
mod shutdown;
mod changelog;
mod check;
mod check_table;
mod explain;
mod cli;
mod clocks;
mod demo;
mod documents;
mod figures;
mod people;
mod readme;
mod rules;
mod diagnostics;
mod deciding;
mod in_doubt;
mod order;
mod outages;
mod earlier_voters;
mod recipients;
mod skipped;
mod attacks;
mod concurrency;
mod concurrent_changes;
mod replicas;
mod enterprise;
mod two_clusters;
mod callbacks;
mod refusals;
mod modes;
mod impossible;
mod role_patterns;
mod manifest;
mod resources;
mod misplaced;
mod capitals;
mod files;
mod waits;
mod words;
mod corpus;
