//! Gives each interaction to the handler of the moment. A reload replaces the handler as a whole, so that no interaction is
//! judged by a mixture of two configurations.

use std::sync::Arc;

use access_core::interaction::Sender;
use access_core::policy::refusal::Refusal;
use tokio::sync::watch;

use super::handler::InteractionHandler;
use super::receiver::Received;
use crate::observe::metrics::InteractionResult;
use crate::supervise::job_queue::JobHandler;

/// The handler by the settings in force: each interaction is handled by one of them, from its beginning to its end.
#[derive(Clone, Debug)]
pub struct CurrentHandler(pub watch::Receiver<Arc<InteractionHandler>>);

impl CurrentHandler {
    pub(super) fn get(&self) -> Arc<InteractionHandler> {
        Arc::clone(&self.0.borrow())
    }
}

impl JobHandler<Received> for CurrentHandler {
    type ReplyTo = Option<Sender>;

    fn reply_to(&self, incoming: &Received) -> Option<Sender> {
        incoming.sender()
    }

    async fn handle(self, incoming: Received) {
        let handler = self.get();
        match incoming {
            Received::Interaction(interaction) => handler.handle_interaction(*interaction).await,
            Received::Unrecognized(sender) => {
                handler.metrics.interaction_ended(InteractionResult::Refused(&Refusal::UnknownOrigin));
                handler.responder.refuse(&sender, &Refusal::UnknownOrigin).await;
            }
        }
    }

    async fn on_aborted(self, sender: Option<Sender>) {
        if let Some(sender) = sender {
            self.get().responder.refuse(&sender, &Refusal::Interrupted).await;
        }
    }
}
