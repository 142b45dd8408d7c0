//! The story that `demo --script` tells: real calls on both sides, narrated. It fails if the daemon does not
//! do its part.

use std::time::Duration;

use access_core::control;
use access_sim::slack::people::{CannotAct, Seen};
use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::refusal::Refusal;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::answer;
use super::stage::Stage;
use crate::error::{Exit, Failure};

/// The daemon does each of its parts within this time, with much to spare.
const PATIENCE: Duration = Duration::from_secs(20);

const CHANNEL: &str = "C0REQUESTS";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// Plays the story. Ends with an error if any step does not come true.
pub(super) async fn play() -> Result<(), Failure> {
    let stage = Stage::new(None).await?;
    let stop = CancellationToken::new();
    tokio::select! {
        done = stage.daemon(stop.clone()) => {
            done?;
            Err(Failure::new(Exit::Failed, "the daemon ended before the story did"))
        }
        told = tell(&stage) => told,
    }
}

async fn tell(stage: &Stage) -> Result<(), Failure> {
    say(
        "A make-believe Teleport cluster and Slack workspace are running, and the real daemon between them.",
    )?;
    until("the daemon to watch the cluster", stage, || (stage.teleport.watchers() > 0).then_some(())).await?;

    say("\n1. alice asks for a role that one approval grants.")?;
    say("   alice$ tsh login --request-roles=dba --request-reason='nightly restore'")?;
    let asked = Instant::now();
    let dba = accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "nightly restore")))?;
    let card = status(stage, &dba, "⏳ PENDING").await?;
    say(&format!("   #access-requests, after {:.1?}:", asked.elapsed()))?;
    show(&card)?;
    until("bob's direct message", stage, || {
        let direct = stage.slack.dm_with("U0BOB")?;
        stage.slack.messages(&direct).into_iter().find(|message| tells_of(message, &dba))
    })
    .await?;
    say("   bob has the same in a direct message, because he is a recipient for dba.")?;

    say("\n2. bob approves on the Teleport side; every copy follows, and the thread says who it was.")?;
    say(&format!("   bob$ tsh request review --approve --reason='looks fine' {dba}"))?;
    accepted(stage.teleport.review(BOB, &dba, Decision::Approve, "looks fine"))?;
    let card = status(stage, &dba, "✅ APPROVED (looks fine)").await?;
    show(&card)?;
    for reply in replies(stage, &card, 1).await? {
        indent("   ↳ ", &reply.text)?;
    }

    say("\n3. alice asks for a role that takes two approvals.")?;
    let admin =
        accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["admin"], "upgrade on Sunday")))?;
    status(stage, &admin, "⏳ PENDING").await?;
    accepted(stage.teleport.review(BOB, &admin, Decision::Approve, "fine by me"))?;
    let progress = until("the count of approvals", stage, || {
        let card = card_of(stage, &admin)?;
        let text = line(&card, 3);
        text.starts_with("1 of 2").then_some(text)
    })
    .await?;
    say(&format!("   After bob's approval the message says: {progress}"))?;
    accepted(stage.teleport.review(CAROL, &admin, Decision::Approve, "and by me"))?;
    let card = status(stage, &admin, "✅ APPROVED (and by me)").await?;
    show(&card)?;
    replies(stage, &card, 2).await?;

    decide_in_slack(stage).await?;

    say("\n5. Refused, deleted, expired: each is told as what it was.")?;
    let reason = "<!channel> *urgent* `rm -rf /`\n*Status:* ✅ APPROVED";
    let denied = accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["dba"], reason)))?;
    let pending = status(stage, &denied, "⏳ PENDING").await?;
    say("   A hostile reason mentions nobody and forges no line:")?;
    show(&pending)?;
    accepted(stage.teleport.set_state(TCTL, &denied, RequestState::Denied, "not like this", ""))?;
    let card = status(stage, &denied, "❌ DENIED (not like this)").await?;
    say(&format!("   {}", line(&card, 2)))?;
    let deleted = accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "never mind")))?;
    status(stage, &deleted, "⏳ PENDING").await?;
    accepted(stage.teleport.delete(TCTL, &deleted))?;
    let card = status(stage, &deleted, "⌛ EXPIRED").await?;
    say(&format!("   {} {}", line(&card, 2), line(&card, 3)))?;

    let expired =
        accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "nobody is there")))?;
    status(stage, &expired, "⏳ PENDING").await?;
    stage.teleport.expire_now(&expired);
    let card = status(stage, &expired, "⌛ EXPIRED").await?;
    say(&format!("   {}", line(&card, 2)))?;

    say("\n6. Teleport goes away, and a request is decided meanwhile.")?;
    let away =
        accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "while you were away")))?;
    status(stage, &away, "⏳ PENDING").await?;
    stage.teleport.stop().await;
    accepted(stage.teleport.review(BOB, &away, Decision::Approve, "did you notice?"))?;
    stage.teleport.restart().await.map_err(|error| Failure::new(Exit::Failed, error))?;
    let card = status(stage, &away, "✅ APPROVED (did you notice?)").await?;
    say(&format!("   It is back: {}", line(&card, 2)))?;
    say("\nThat was all. `teleport-slack demo` lets you play both sides yourself.")
}

/// Two approvals by button, and one click that is not allowed.
async fn decide_in_slack(stage: &Stage) -> Result<(), Failure> {
    say("\n4. The same in Slack: two people press Approve, and a third may not.")?;
    say("   alice$ tsh login --request-roles=prod-db --request-reason='fix the index'")?;
    let id =
        accepted(stage.teleport.request_access(ALICE, NewRequest::roles(&["prod-db"], "fix the index")))?;
    let card = status(stage, &id, "⏳ PENDING").await?;
    let labels: Vec<_> = card.buttons.iter().map(|button| format!("[{}]", button.text)).collect();
    say(&format!("   Under the message: {}", labels.join(" ")))?;

    // A click counts once the daemon has noted which message is whose; only a program is fast enough to be earlier.
    until("the daemon to note its message", stage, || {
        stage.teleport.plugin_data(&id, "slack").values().any(|note| note.contains(&card.ts)).then_some(())
    })
    .await?;
    say("   alice presses Approve. Only she sees the answer:")?;
    let seen = acted(press(stage, "U0ALICE", &card).await)?;
    indent("   ┆ ", &told(&seen).await?)?;

    say("   bob presses Approve, confirms, and gives his reason in the dialogue that opens:")?;
    indent("   ┆ ", &approve(stage, "U0BOB", &card, "seen the plan").await?)?;
    let progress = until("the count of approvals", stage, || {
        let card = card_of(stage, &id)?;
        let text = line(&card, 3);
        text.starts_with("1 of 2").then_some(text)
    })
    .await?;
    say(&format!("   The message says: {progress}"))?;
    say("   carol does the same:")?;
    indent("   ┆ ", &approve(stage, "U0CAROL", &card, "go on").await?)?;

    let card = status(stage, &id, "✅ APPROVED (go on)").await?;
    say("   alice's tsh is unblocked: her request is approved in Teleport. The message, its buttons gone:")?;
    show(&card)?;
    for reply in replies(stage, &card, 2).await? {
        indent("   ↳ ", &reply.text)?;
    }
    let is_left = |message: &MessageView| message.buttons.iter().any(|button| button.action_id == APPROVE);
    until("the buttons to vanish from every copy", stage, || {
        let mut copies = stage.slack.all_messages();
        copies.retain(|message| tells_of(message, &id));
        (!copies.iter().any(is_left)).then_some(())
    })
    .await?;
    let event = until("the audit log", stage, || {
        let mut events = stage.teleport.audit().into_iter();
        events.find(|event| event.request_id == id && event.delegator.is_some())
    })
    .await?;
    let people = event.annotations.get("slack_users").cloned().unwrap_or_default();
    say(&format!(
        "   Teleport's audit log: {} {} by {}, delegator {}, in Slack {}",
        event.code,
        event.state.name(),
        event.user,
        event.delegator.unwrap_or_default(),
        people.join(" and ")
    ))
}

/// The button's action id.
const APPROVE: &str = "approve";

/// Presses Approve, and Yes to Slack's question.
async fn press(stage: &Stage, user: &str, card: &MessageView) -> Result<Seen, CannotAct> {
    stage.slack.click(user, &card.channel, &card.ts, APPROVE).confirmed().await
}

/// Approves with a reason; returns what the person is told.
async fn approve(stage: &Stage, user: &str, card: &MessageView, reason: &str) -> Result<String, Failure> {
    let seen = acted(press(stage, user, card).await)?;
    let Some(dialogue) = seen.modal_within(PATIENCE).await else {
        return Err(in_vain("the dialogue for a reason"));
    };
    let submitted = stage.slack.submit_view(user, &dialogue.id, &[(control::REASON, reason)]).await;
    told(&submitted.map_err(|cause| Failure::new(Exit::Failed, cause))?.seen).await
}

fn acted(seen: Result<Seen, CannotAct>) -> Result<Seen, Failure> {
    seen.map_err(|cause| Failure::new(Exit::Failed, cause))
}

/// What only this person sees after they acted.
async fn told(seen: &Seen) -> Result<String, Failure> {
    if let Some(warning) = seen.warning() {
        return Err(Failure::new(Exit::Failed, format!("Slack shows a warning: {warning}")));
    }
    let answer = seen.ephemeral_within(PATIENCE).await;
    answer.map(|message| message.text).ok_or_else(|| in_vain("the answer to a click"))
}

fn card_of(stage: &Stage, id: &str) -> Option<MessageView> {
    stage.slack.messages(CHANNEL).into_iter().find(|message| tells_of(message, id))
}

fn tells_of(message: &MessageView, id: &str) -> bool {
    message.thread_ts.is_none() && line(message, 1).contains(id)
}

fn line(message: &MessageView, block: usize) -> String {
    let block = message.blocks.get(block);
    let text = block.and_then(|b| b["text"]["text"].as_str().or(b["elements"][0]["text"].as_str()));
    text.unwrap_or_default().to_owned()
}

async fn status(stage: &Stage, id: &str, wanted: &str) -> Result<MessageView, Failure> {
    let wanted = format!("*Status:* {wanted}");
    until(&format!("the message to say {wanted:?}"), stage, || {
        card_of(stage, id).filter(|card| line(card, 2) == wanted)
    })
    .await
}

async fn replies(stage: &Stage, card: &MessageView, count: usize) -> Result<Vec<MessageView>, Failure> {
    until("the replies in the thread", stage, || {
        let mut thread = stage.slack.thread(&card.channel, &card.ts);
        thread.retain(|message| message.ts != card.ts);
        (thread.len() == count).then_some(thread)
    })
    .await
}

/// Waits until something is there; looks again after every change of either side.
async fn until<T>(what: &str, stage: &Stage, mut look: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let (mut teleport, mut slack) = (stage.teleport.changes(), stage.slack.changes());
    let deadline = Instant::now() + PATIENCE;
    loop {
        teleport.mark_unchanged();
        slack.mark_unchanged();
        if let Some(found) = look() {
            return Ok(found);
        }
        let change = async {
            tokio::select! {
                _ = teleport.changed() => {}
                _ = slack.changed() => {}
            }
        };
        if timeout_at(deadline, change).await.is_err() {
            return Err(in_vain(what));
        }
    }
}

fn in_vain(what: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("waited {PATIENCE:?} in vain for {what}; this is a fault, please report it"),
    )
}

fn accepted<T>(answer: Result<T, Refusal>) -> Result<T, Failure> {
    answer.map_err(|refusal| {
        Failure::new(Exit::Failed, format!("the make-believe Teleport refused: {refusal:?}"))
    })
}

fn show(card: &MessageView) -> Result<(), Failure> {
    for block in 0..card.blocks.len() {
        indent("   │ ", &line(card, block))?;
    }
    Ok(())
}

fn indent(mark: &str, text: &str) -> Result<(), Failure> {
    text.lines().try_for_each(|line| say(&format!("{mark}{line}")))
}

fn say(line: &str) -> Result<(), Failure> {
    answer(&format!("{line}\n"))
}
