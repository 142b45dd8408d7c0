//! Prints every message, modal and correction that can be shown in Slack, so that Slack's own libraries can judge
//! them (`conformance/run`): one line of JSON each, `{"name", "kind", "content"}`, where `kind` is `message`, `view` or
//! `correction`.
//!
//! Nothing here is written by hand: it is what the renderer makes of the inputs in `inputs`, for every variant that
//! `variants` goes through.

mod inputs;
mod variants;

use std::error::Error;
use std::io::{BufWriter, StdoutLock, Write, stdout};

use access_core::domain::ids::{ChannelId, MessageTs};
use access_core::interaction::controls::ModalState;
use access_core::policy::refusal::Refusal;
use access_core::policy::{Tally, tally_votes};
use access_core::render::ephemeral::{accepted, refused};
use access_core::render::modal::{notice, reason_missing, reason_modal};
use access_core::render::request_message::{
    Edition, MessageInput, ReviewSection, fallback_message, request_message_with_review, shown_cluster,
};
use access_core::render::thread_reply::{review_reply, vote_reply};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use inputs::Inputs;
use variants::{accepted_after, chain, controls, decision, phase, refusal_after, state};

/// Where the lines go.
struct Lines {
    out: BufWriter<StdoutLock<'static>>,
}

impl Lines {
    fn print(&mut self, kind: &str, name: &str, content: &impl Serialize) -> Result<(), Box<dyn Error>> {
        writeln!(self.out, "{}", json!({ "name": name, "kind": kind, "content": content }))?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = Lines { out: BufWriter::new(stdout().lock()) };
    for inputs in inputs::all() {
        messages(&mut lines, &inputs)?;
        replies(&mut lines, &inputs)?;
        ephemerals(&mut lines, &inputs)?;
        modals(&mut lines, &inputs)?;
    }
    lines.print("view", "notice", &notice(&Refusal::UnknownOrigin)["view"])?;
    lines.print("correction", "reason missing", &reason_missing())?;
    lines.out.flush()?;
    Ok(())
}

/// The message in every phase, with everything that can be pressed on it and with both ways to Teleport; and in short.
fn messages(lines: &mut Lines, inputs: &Inputs) -> Result<(), Box<dyn Error>> {
    let Inputs { name, request, votes, rules, cluster, .. } = inputs;
    let counted = Some(tally_votes(rules, request, votes)).filter(|_| !votes.list().is_empty());
    for phase in chain(phase) {
        for edition in [
            Edition::Community,
            Edition::Enterprise { web_proxy: None },
            Edition::Enterprise { web_proxy: Some("teleport.example.com:443") },
            Edition::Enterprise { web_proxy: Some("javascript:alert(1)") },
        ] {
            let view = MessageInput { request, phase, cluster, edition };
            for offer in chain(controls) {
                let deciding =
                    ReviewSection { controls: offer, tally: counted, votes: Some(votes), unnotified: None };
                let name = format!("message, {name}, {phase:?}, {offer:?}, {edition:?}");
                lines.print("message", &name, &request_message_with_review(&view, &deciding))?;
            }
            let name = format!("fallback, {name}, {phase:?}, {edition:?}");
            lines.print("message", &name, &fallback_message(&view))?;
        }
    }
    Ok(())
}

fn replies(lines: &mut Lines, inputs: &Inputs) -> Result<(), Box<dyn Error>> {
    let name = inputs.name;
    for state in chain(state) {
        let review = inputs.review(state);
        lines.print("message", &format!("review, {name}, {state:?}"), &review_reply(&review))?;
    }
    for decision in chain(decision) {
        lines.print(
            "message",
            &format!("vote, {name}, {decision:?}"),
            &vote_reply(&inputs.vote(decision)),
        )?;
    }
    Ok(())
}

/// The answers that only the person who clicked sees.
fn ephemerals(lines: &mut Lines, inputs: &Inputs) -> Result<(), Box<dyn Error>> {
    let name = inputs.name;
    for decision in chain(decision) {
        let tally = Tally { approvals: 1, approvals_needed: 2, denials: 0, denials_needed: usize::MAX };
        for what in chain(|last| accepted_after(last, decision, tally)) {
            lines.print("message", &format!("done, {name}, {what:?}"), &accepted(what))?;
        }
        for (index, refusal) in chain(|last| refusal_after(last, inputs, decision)).enumerate() {
            let kind = refusal.kind();
            lines.print(
                "message",
                &format!("refused {index}, {name}, {kind}, {decision:?}"),
                &refused(&refusal),
            )?;
        }
    }
    Ok(())
}

fn modals(lines: &mut Lines, inputs: &Inputs) -> Result<(), Box<dyn Error>> {
    let Inputs { name, request, .. } = inputs;
    for decision in chain(decision) {
        for required in [false, true] {
            let state = ModalState {
                request: request.id.clone(),
                decision,
                channel: ChannelId::new("C0TEAM"),
                ts: MessageTs::new("1795363190.000001"),
                opened_at: Timestamp::from_second(1_800_000_000)?,
                required,
                cluster: shown_cluster(&inputs.text),
            };
            // A request whose id is no word has none: its messages have no buttons either.
            if let Some(view) = reason_modal(request, &state) {
                lines.print("view", &format!("modal, {name}, {decision:?}, required {required}"), &view)?;
            }
        }
    }
    Ok(())
}
