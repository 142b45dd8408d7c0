//! Executes the actions of a schedule: what users do, and which faults occur.

use std::time::Duration;

use access_sim::slack::faults::FaultRule;
use access_sim::tcp_proxy::TcpProxy;
use access_sim::teleport::faults::{Repeat, WatchEnd};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::refusal::{Code, RpcError};
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use jiff::Timestamp;

use crate::chaos::replica::Replica;
use crate::chaos::run::{CreatedRequest, Run};
use crate::chaos::schedule::{Action, Side};
use crate::harness::deciding::Transport;

/// How long a user waits for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

impl Run {
    pub(crate) async fn execute(&self, action: Action) {
        let result = match &action {
            Action::Click { request, by, copy, approve } => self.click(*request, by, *copy, *approve).await,
            Action::Proxy { replica, side, freeze, lasts } => {
                self.event_log.record(None, format!("{action:?}"));
                let proxy = match side {
                    Side::Teleport => &self.replicas[*replica].proxy,
                    Side::Slack => &self.slack_proxy,
                };
                disrupt(proxy, *freeze, *lasts).await;
                "the connection is back".to_owned()
            }
            Action::Restart { replica, signal, downtime: away } => {
                self.event_log.record(None, format!("{action:?}"));
                describe_done(self.replicas[*replica].restart(signal, *away).await)
            }
            Action::Pause { replica, lasts } => {
                self.event_log.record(None, format!("{action:?}"));
                describe_done(self.replicas[*replica].pause(*lasts).await)
            }
            Action::EndWatches { losing, after } => {
                self.bed.teleport.faults().drop_events(Repeat::Next(*losing));
                tokio::time::sleep(*after).await;
                self.bed.teleport.faults().drop_events(Repeat::Next(0));
                let refusal = RpcError::new(Code::Unavailable, "the cache is being rebuilt");
                self.bed.teleport.faults().end_watches(&WatchEnd::Error(refusal));
                String::new()
            }
            _ => self.execute_now(&action),
        };
        self.event_log.record(self.request_of(&action), format!("{action:?} {result}"));
    }

    /// The request that a line of the event log is about.
    fn request_of(&self, action: &Action) -> Option<usize> {
        match action {
            Action::Create { .. } => Some(self.requests.lock().len() - 1),
            _ => action.request(),
        }
    }

    fn execute_now(&self, action: &Action) -> String {
        let (teleport, slack) = (&self.bed.teleport, &self.bed.slack);
        match action {
            Action::Create { by, role, expires } => {
                let new = NewRequest { pending_ttl: *expires, ..NewRequest::roles(&[role], "because") };
                let id = teleport.request_access(by, new).unwrap();
                let destinations = match role.strip_prefix("prod-") {
                    Some(number) => vec![format!("C0N{number}")],
                    None => vec!["C0TEAM".to_owned(), "U0BOB".to_owned()],
                };
                let asked = CreatedRequest {
                    id: id.clone(),
                    requester: by,
                    destinations,
                    created: Timestamp::now(),
                    is_finished: false,
                };
                self.requests.lock().push(asked);
                id
            }
            Action::Review { request, by, approve } => {
                let decision = if *approve { Decision::Approve } else { Decision::Deny };
                describe_result(teleport.review(by, &self.id(*request), decision, "looked at"))
            }
            Action::Resolve { request, approve } => {
                let state = if *approve { RequestState::Approved } else { RequestState::Denied };
                // No user changes a decided request.
                match teleport.request(&self.id(*request)) {
                    Some(now) if now.state == RequestState::Pending => {
                        describe_result(teleport.set_state(TCTL, &self.id(*request), state, "by hand", ""))
                    }
                    _ => "too late".to_owned(),
                }
            }
            Action::Delete { request } => describe_result(teleport.delete(TCTL, &self.id(*request))),
            Action::Slack { method, fault, after_work, calls } => {
                let rule = FaultRule::new(method, fault.clone()).times(*calls);
                slack.faults().add(if *after_work { rule.after_work() } else { rule });
                String::new()
            }
            Action::Teleport { method, fault, calls } => {
                // One at a time: the faults of a rarely called method must not add up to an endless outage.
                teleport.faults().clear_method(*method);
                teleport.faults().inject(*method, fault.clone(), Repeat::Next(*calls));
                String::new()
            }
            Action::Conflicts { calls } => {
                teleport.faults().conflict_updates(*calls);
                String::new()
            }
            Action::Click { .. }
            | Action::Proxy { .. }
            | Action::Restart { .. }
            | Action::Pause { .. }
            | Action::EndWatches { .. } => String::new(),
        }
    }

    async fn click(&self, request: usize, user: &str, copy: usize, approve: bool) -> String {
        let (id, destination) = {
            let asked = self.requests.lock();
            let CreatedRequest { id, destinations, .. } = &asked[request];
            (id.clone(), destinations[copy.min(destinations.len() - 1)].clone())
        };
        if self.transport == Transport::Http {
            // Like a load balancer, choose any replica that runs.
            let Some(url) = self.replicas.iter().find_map(Replica::callback_url) else {
                return "no replica takes callbacks".to_owned();
            };
            self.bed.slack.set_request_url(Some(&url));
        }
        let Some(message) = self.bed.messages_about(&destination, &id).pop() else {
            return "sees no message".to_owned();
        };
        let button = if approve { "approve" } else { "deny" };
        let seen = match self.bed.slack.click(user, &message.channel, &message.ts, button).confirmed().await {
            Ok(seen) => seen,
            Err(cannot) => return cannot.to_string(),
        };
        if let Some(warning) = seen.warning() {
            return warning.to_string();
        }
        match seen.ephemeral_within(REPLY_TIMEOUT).await {
            // This may be the reply to another click of the same user.
            Some(message) => format!("sees {:?}", message.text),
            None => "got no reply".to_owned(),
        }
    }
}

/// Cuts or freezes a proxied connection for a while.
async fn disrupt(proxy: &TcpProxy, freeze: bool, lasts: Duration) {
    if freeze {
        proxy.freeze();
        tokio::time::sleep(lasts).await;
        proxy.thaw();
    } else {
        proxy.cut().await;
        tokio::time::sleep(lasts).await;
        proxy.restore().await.unwrap();
    }
}

fn describe_done(done: bool) -> String {
    if done { "over".to_owned() } else { "not now".to_owned() }
}

fn describe_result<T>(result: Result<T, RpcError>) -> String {
    result.map_or_else(|refusal| format!("{refusal:?}"), |_| "done".to_owned())
}
