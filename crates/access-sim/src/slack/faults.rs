//! Faults on order: what can go wrong between a client and Slack, for the next calls that match.
//!
//! This is the list and the matching; `delivery.rs` carries faults out on the wire.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use super::call_log::Call;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// HTTP 200 with `ok: false` and this code.
    Error(String),
    /// This HTTP status with this body.
    Status {
        /// Such as 503.
        status: u16,
        /// Sent as plain text.
        body: String,
    },
    /// HTTP 429.
    RateLimited {
        /// Seconds in `Retry-After`.
        retry_after: u64,
    },
    /// The call goes through, later.
    Delay(Duration),
    /// Never an answer, and the connection stays open.
    Hang,
    /// The connection is reset. Unless the rule names a channel or a user, this happens before the body is read.
    Reset,
    /// HTTP 200 with `Content-Type: application/json` and a page of HTML.
    NotJson,
    /// HTTP 200 with JSON that is not an object.
    NotAnObject,
    /// HTTP 200 with a JSON object without `ok`.
    NoOk,
    /// The true answer, called `text/html`. The work is done.
    WrongContentType,
    /// A valid JSON answer with a padding of this many bytes, streamed; `u64::MAX` never ends.
    Oversized(u64),
    /// The true answer in ten pieces with this pause before each. The work is done.
    Slow(Duration),
    /// The first half of the true answer, then the connection ends. The work is done.
    HalfBody,
    /// HTTP 302 to this address.
    Redirect(String),
    /// The true answer with these fields replaced, or taken out where there is no value. The work is done.
    Altered(Vec<(String, Option<Value>)>),
}

impl Fault {
    /// Whether the fault shows the true answer, for which the work must be done.
    fn needs_answer(&self) -> bool {
        matches!(
            self,
            Fault::Delay(_) | Fault::WrongContentType | Fault::Slow(_) | Fault::HalfBody | Fault::Altered(_)
        )
    }
}

/// A fault and the calls it hits. By default it hits every call of its method until cleared, and nothing is done
/// of what the call asked, unless the fault needs the true answer.
#[derive(Debug, Clone)]
pub struct FaultRule {
    method: String,
    channel: Option<String>,
    user: Option<String>,
    remaining: Option<u32>,
    after_work: bool,
    fault: Fault,
}

impl FaultRule {
    /// Hits `method`, or every method if that is `*`. `response_url` stands for POSTs to such addresses, `link` for
    /// the opening of sockets.
    pub fn new(method: &str, fault: Fault) -> Self {
        let (channel, user) = (None, None);
        FaultRule { method: method.to_owned(), channel, user, remaining: None, after_work: false, fault }
    }

    /// Only calls with this channel: the argument as given, or the channel it stands for.
    pub fn in_channel(self, channel: &str) -> Self {
        FaultRule { channel: Some(channel.to_owned()), ..self }
    }

    /// Only calls with this `user` argument.
    pub fn about_user(self, user: &str) -> Self {
        FaultRule { user: Some(user.to_owned()), ..self }
    }

    /// Only the next `calls` matching calls.
    pub fn times(self, calls: u32) -> Self {
        FaultRule { remaining: Some(calls), ..self }
    }

    /// The work is done first: "done, but the answer was lost". A delay then delays the answer only.
    pub fn after_work(self) -> Self {
        FaultRule { after_work: true, ..self }
    }

    fn matches(&self, method: &str, channels: &[&str], user: Option<&str>) -> bool {
        (self.method == "*" || self.method == method)
            && self.remaining != Some(0)
            && self.channel.as_deref().is_none_or(|channel| channels.contains(&channel))
            && (self.user.is_none() || self.user.as_deref() == user)
    }
}

/// A fault to apply to one call.
#[derive(Debug, Clone)]
pub(super) struct ActiveFault {
    pub(super) fault: Fault,
    /// Whether the work is done before the fault strikes.
    pub(super) after_work: bool,
    /// Whether the work is done at all.
    pub(super) does_work: bool,
}

impl ActiveFault {
    /// Notes the fault in the log.
    pub(super) fn record(&self, call: &mut Call) {
        call.fault = Some(format!("{:?}", self.fault));
    }
}

/// Identifies a rule, for taking it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

#[derive(Default)]
struct Rules {
    rules: Vec<(FaultId, FaultRule)>,
    next_id: u64,
}

/// The faults on order; a handle that is cheap to clone.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Rules>>);

impl Faults {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.lock()
    }

    /// Adds a rule. When several match a call, the one added first hits it.
    pub fn add(&self, rule: FaultRule) -> FaultId {
        let mut rules = self.rules();
        let id = FaultId(rules.next_id);
        rules.next_id += 1;
        rules.rules.push((id, rule));
        id
    }

    /// Takes one rule back. Calls that it has already hit stay hit.
    pub fn remove(&self, id: FaultId) {
        self.rules().rules.retain(|(own, _)| *own != id);
    }

    /// Takes all rules back.
    pub fn clear(&self) {
        self.rules().rules.clear();
    }

    /// How many rules still wait for calls.
    pub fn pending(&self) -> usize {
        self.rules().rules.len()
    }

    /// The reset that hits a call before its body is read.
    pub(super) fn take_unread(&self, method: &str) -> Option<ActiveFault> {
        self.take_where(|rule| {
            rule.fault == Fault::Reset
                && !rule.after_work
                && rule.channel.is_none()
                && rule.matches(method, &[], None)
        })
    }

    /// The fault that hits a call.
    pub(super) fn take(&self, method: &str, channels: &[&str], user: Option<&str>) -> Option<ActiveFault> {
        self.take_where(|rule| rule.matches(method, channels, user))
    }

    fn take_where(&self, hit: impl Fn(&FaultRule) -> bool) -> Option<ActiveFault> {
        let mut rules = self.rules();
        let (_, rule) = rules.rules.iter_mut().find(|(_, rule)| hit(rule))?;
        let after_work = rule.after_work;
        let does_work = after_work || rule.fault.needs_answer();
        let strike = ActiveFault { fault: rule.fault.clone(), after_work, does_work };
        if let Some(remaining) = &mut rule.remaining {
            *remaining -= 1;
        }
        rules.rules.retain(|(_, rule)| rule.remaining != Some(0));
        Some(strike)
    }
}
