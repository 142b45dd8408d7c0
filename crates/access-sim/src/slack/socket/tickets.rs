//! The tickets in the addresses that `apps.connections.open` hands out: each lets one socket in, soon after.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::super::interactive::random_token;

/// Slack keeps the lifetime to itself; an address is meant to be used at once.
const TICKET_LIFETIME: Duration = Duration::from_secs(30);
/// Older ones are forgotten.
const MAX_TICKETS: usize = 1_000;

/// The unused ones, oldest first.
#[derive(Default)]
pub(in crate::slack) struct Tickets(VecDeque<(String, Instant)>);

impl Tickets {
    pub(in crate::slack) fn create(&mut self, now: Instant) -> String {
        let ticket = random_token();
        self.0.push_back((ticket.clone(), now));
        if self.0.len() > MAX_TICKETS {
            self.0.pop_front();
        }
        ticket
    }

    /// Uses a ticket up. Says whether it was good.
    pub(super) fn redeem(&mut self, ticket: &str, now: Instant) -> bool {
        let at = self.0.iter().position(|(known, _)| known == ticket);
        let found = at.and_then(|at| self.0.remove(at));
        found.is_some_and(|(_, made)| now.duration_since(made) <= TICKET_LIFETIME)
    }
}
