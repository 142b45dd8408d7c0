//! The words that every layer uses: requests, ids, roles, recipients, times, and text from outside made safe to show.

pub mod backoff;
pub mod decision;
pub mod error_chain;
pub mod ids;
pub mod known_ids;
pub mod lifecycle;
pub mod log_once;
pub mod look_alike;
#[cfg(test)]
mod ordinary_names;
pub mod outage;
mod re2_syntax;
pub mod recipients;
pub mod request;
pub mod role_overlap;
pub mod role_pattern;
pub mod skew;
pub mod secret;
pub mod text;
pub mod uncommon;
pub mod unseen;
