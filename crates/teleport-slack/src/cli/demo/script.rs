//! The scenario of `demo --script`: real calls on both sides, with comments. It fails if the daemon does not do its part.

use std::time::Duration;

use access_core::interaction::controls;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::{ActionError, ActionOutcome};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::refusal::RpcError;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::print;
use super::environment::Environment;
use crate::exit::{Exit, ExitError};
use crate::observe::CurrentLog;

/// The daemon does each of its parts within this time, with much to spare.
const TIMEOUT: Duration = Duration::from_secs(20);

const CHANNEL: &str = "C0REQUESTS";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// Plays the scenario. Ends with an error if any step fails.
pub(super) async fn play(log: CurrentLog) -> Result<(), ExitError> {
    let environment = Environment::new(None).await?;
    let stop = CancellationToken::new();
    tokio::select! {
        done = environment.run_daemon(log, stop.clone()) => {
            done?;
            Err(ExitError::new(Exit::Failed, "the daemon ended before the scenario did"))
        }
        done = run_scenario(&environment) => done,
    }
}

async fn run_scenario(environment: &Environment) -> Result<(), ExitError> {
    print_line(
        "A simulated Teleport cluster and Slack workspace are running, and the real daemon between them.",
    )?;
    wait_until("the daemon to watch the cluster", environment, || {
        (environment.teleport.watchers() > 0).then_some(())
    })
    .await?;

    print_line("\n1. alice asks for a role that one approval grants.")?;
    print_line("   alice$ tsh login --request-roles=dba --request-reason='nightly restore'")?;
    let asked = Instant::now();
    let dba = check_accepted(
        environment.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "nightly restore")),
    )?;
    let message = wait_for_status(environment, &dba, "⏳ PENDING").await?;
    print_line(&format!("   #access-requests, after {:.1?}:", asked.elapsed()))?;
    print_message(&message)?;
    wait_until("bob's direct message", environment, || {
        let direct = environment.slack.dm_with("U0BOB")?;
        environment.slack.messages(&direct).into_iter().find(|message| is_about(message, &dba))
    })
    .await?;
    print_line("   bob has the same in a direct message, as a recipient for dba.")?;

    print_line(
        "\n2. bob approves on the Teleport side; every copy follows, and the thread says who it was.",
    )?;
    print_line(&format!("   bob$ tsh request review --approve --reason='looks fine' {dba}"))?;
    check_accepted(environment.teleport.review(BOB, &dba, Decision::Approve, "looks fine"))?;
    let message = wait_for_status(environment, &dba, "✅ APPROVED (looks fine)").await?;
    print_message(&message)?;
    for reply in wait_for_replies(environment, &message, 1).await? {
        print_indented("   ↳ ", &reply.text)?;
    }

    print_line("\n3. alice asks for a role that takes two approvals.")?;
    let admin = check_accepted(
        environment.teleport.request_access(ALICE, NewRequest::roles(&["admin"], "upgrade on Sunday")),
    )?;
    wait_for_status(environment, &admin, "⏳ PENDING").await?;
    check_accepted(environment.teleport.review(BOB, &admin, Decision::Approve, "fine by me"))?;
    let progress = wait_until("the count of approvals", environment, || {
        let message = request_message(environment, &admin)?;
        let text = block_text(&message, 3);
        text.starts_with("1 of 2").then_some(text)
    })
    .await?;
    print_line(&format!("   After bob's approval the message says: {progress}"))?;
    check_accepted(environment.teleport.review(CAROL, &admin, Decision::Approve, "and by me"))?;
    let message = wait_for_status(environment, &admin, "✅ APPROVED (and by me)").await?;
    print_message(&message)?;
    wait_for_replies(environment, &message, 2).await?;

    decide_in_slack(environment).await?;

    print_line("\n5. Refused, deleted, expired: each is shown as what it was.")?;
    let reason = "<!channel> *urgent* `rm -rf /`\n*Status:* ✅ APPROVED";
    let denied =
        check_accepted(environment.teleport.request_access(ALICE, NewRequest::roles(&["dba"], reason)))?;
    let pending = wait_for_status(environment, &denied, "⏳ PENDING").await?;
    print_line("   A hostile reason mentions nobody and forges no line:")?;
    print_message(&pending)?;
    check_accepted(environment.teleport.set_state(TCTL, &denied, RequestState::Denied, "not like this", ""))?;
    let message = wait_for_status(environment, &denied, "❌ DENIED (not like this)").await?;
    print_line(&format!("   {}", block_text(&message, 2)))?;
    let deleted = check_accepted(
        environment.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "never mind")),
    )?;
    wait_for_status(environment, &deleted, "⏳ PENDING").await?;
    check_accepted(environment.teleport.delete(TCTL, &deleted))?;
    let message = wait_for_status(environment, &deleted, "⌛ EXPIRED").await?;
    print_line(&format!("   {} {}", block_text(&message, 2), block_text(&message, 3)))?;

    let expired = check_accepted(
        environment.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "out of hours")),
    )?;
    wait_for_status(environment, &expired, "⏳ PENDING").await?;
    environment.teleport.expire_now(&expired);
    let message = wait_for_status(environment, &expired, "⌛ EXPIRED").await?;
    print_line(&format!("   {}", block_text(&message, 2)))?;

    print_line("\n6. Teleport goes away, and a request is decided meanwhile.")?;
    let away = check_accepted(
        environment.teleport.request_access(ALICE, NewRequest::roles(&["dba"], "while you were away")),
    )?;
    wait_for_status(environment, &away, "⏳ PENDING").await?;
    environment.teleport.stop().await;
    check_accepted(environment.teleport.review(BOB, &away, Decision::Approve, "did you notice?"))?;
    environment.teleport.restart().await.map_err(|error| ExitError::new(Exit::Failed, error))?;
    let message = wait_for_status(environment, &away, "✅ APPROVED (did you notice?)").await?;
    print_line(&format!("   It is back: {}", block_text(&message, 2)))?;
    print_line("\nThat was all. `teleport-slack demo` lets you play both sides yourself.")
}

/// Two approvals by button, and one click that is not allowed.
async fn decide_in_slack(environment: &Environment) -> Result<(), ExitError> {
    print_line("\n4. The same in Slack: two people press Approve, and a third may not.")?;
    print_line("   alice$ tsh login --request-roles=prod-db --request-reason='fix the index'")?;
    let id = check_accepted(
        environment.teleport.request_access(ALICE, NewRequest::roles(&["prod-db"], "fix the index")),
    )?;
    let message = wait_for_status(environment, &id, "⏳ PENDING").await?;
    let labels: Vec<_> = message.buttons.iter().map(|button| format!("[{}]", button.text)).collect();
    print_line(&format!("   Under the message: {}", labels.join(" ")))?;

    // A click counts once the daemon has recorded its message; only a program is fast enough to be earlier.
    wait_until("the daemon to note its message", environment, || {
        environment
            .teleport
            .plugin_data(&id, "slack")
            .values()
            .any(|note| note.contains(&message.ts))
            .then_some(())
    })
    .await?;
    print_line("   alice presses Approve. Only alice sees the answer:")?;
    let seen = check_acted(press_approve(environment, "U0ALICE", &message).await)?;
    print_indented("   ┆ ", &ephemeral_text(&seen).await?)?;

    print_line("   bob presses Approve, confirms, and gives a reason in the form that opens:")?;
    print_indented("   ┆ ", &approve(environment, "U0BOB", &message, "seen the plan").await?)?;
    let progress = wait_until("the count of approvals", environment, || {
        let message = request_message(environment, &id)?;
        let text = block_text(&message, 3);
        text.starts_with("1 of 2").then_some(text)
    })
    .await?;
    print_line(&format!("   The message says: {progress}"))?;
    print_line("   carol does the same:")?;
    print_indented("   ┆ ", &approve(environment, "U0CAROL", &message, "go on").await?)?;

    let message = wait_for_status(environment, &id, "✅ APPROVED (go on)").await?;
    print_line(
        "   alice's tsh is unblocked: the request is approved in Teleport. The message, its buttons gone:",
    )?;
    print_message(&message)?;
    for reply in wait_for_replies(environment, &message, 2).await? {
        print_indented("   ↳ ", &reply.text)?;
    }
    let is_left = |message: &MessageView| message.buttons.iter().any(|button| button.action_id == APPROVE);
    wait_until("the buttons to vanish from every copy", environment, || {
        let mut copies = environment.slack.all_messages();
        copies.retain(|message| is_about(message, &id));
        (!copies.iter().any(is_left)).then_some(())
    })
    .await?;
    let event = wait_until("the audit log", environment, || {
        let mut events = environment.teleport.audit().into_iter();
        events.find(|event| event.request_id == id && event.delegator.is_some())
    })
    .await?;
    let people = event.annotations.get("slack_users").cloned().unwrap_or_default();
    print_line(&format!(
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
async fn press_approve(
    environment: &Environment,
    user: &str,
    message: &MessageView,
) -> Result<ActionOutcome, ActionError> {
    environment.slack.click(user, &message.channel, &message.ts, APPROVE).confirmed().await
}

/// Approves with a reason; returns the reply that the user sees.
async fn approve(
    environment: &Environment,
    user: &str,
    message: &MessageView,
    reason: &str,
) -> Result<String, ExitError> {
    let seen = check_acted(press_approve(environment, user, message).await)?;
    let Some(modal) = seen.modal_within(TIMEOUT).await else {
        return Err(timed_out("the form for a reason"));
    };
    let submitted = environment.slack.submit_view(user, &modal.id, &[(controls::REASON, reason)]).await;
    ephemeral_text(&submitted.map_err(|cause| ExitError::new(Exit::Failed, cause))?.outcome).await
}

fn check_acted(seen: Result<ActionOutcome, ActionError>) -> Result<ActionOutcome, ExitError> {
    seen.map_err(|cause| ExitError::new(Exit::Failed, cause))
}

/// What only this person sees after they acted.
async fn ephemeral_text(seen: &ActionOutcome) -> Result<String, ExitError> {
    if let Some(warning) = seen.warning() {
        return Err(ExitError::new(Exit::Failed, format!("Slack shows a warning: {warning}")));
    }
    let answer = seen.ephemeral_within(TIMEOUT).await;
    answer.map(|message| message.text).ok_or_else(|| timed_out("the answer to a click"))
}

fn request_message(environment: &Environment, id: &str) -> Option<MessageView> {
    environment.slack.messages(CHANNEL).into_iter().find(|message| is_about(message, id))
}

fn is_about(message: &MessageView, id: &str) -> bool {
    message.thread_ts.is_none() && block_text(message, 1).contains(id)
}

fn block_text(message: &MessageView, block: usize) -> String {
    let block = message.blocks.get(block);
    let text = block.and_then(|b| b["text"]["text"].as_str().or(b["elements"][0]["text"].as_str()));
    text.unwrap_or_default().to_owned()
}

async fn wait_for_status(
    environment: &Environment,
    id: &str,
    wanted: &str,
) -> Result<MessageView, ExitError> {
    let wanted = format!("*Status:* {wanted}");
    wait_until(&format!("the message to say {wanted:?}"), environment, || {
        request_message(environment, id).filter(|message| block_text(message, 2) == wanted)
    })
    .await
}

async fn wait_for_replies(
    environment: &Environment,
    parent: &MessageView,
    count: usize,
) -> Result<Vec<MessageView>, ExitError> {
    wait_until("the replies in the thread", environment, || {
        let mut thread = environment.slack.thread(&parent.channel, &parent.ts);
        thread.retain(|message| message.ts != parent.ts);
        (thread.len() == count).then_some(thread)
    })
    .await
}

/// Waits until something is there; looks again after every change of either side.
async fn wait_until<T>(
    what: &str,
    environment: &Environment,
    mut check: impl FnMut() -> Option<T>,
) -> Result<T, ExitError> {
    let (mut teleport, mut slack) = (environment.teleport.changes(), environment.slack.changes());
    let deadline = Instant::now() + TIMEOUT;
    loop {
        teleport.mark_unchanged();
        slack.mark_unchanged();
        if let Some(found) = check() {
            return Ok(found);
        }
        let change = async {
            tokio::select! {
                _ = teleport.changed() => {}
                _ = slack.changed() => {}
            }
        };
        if timeout_at(deadline, change).await.is_err() {
            return Err(timed_out(what));
        }
    }
}

fn timed_out(what: &str) -> ExitError {
    ExitError::new(
        Exit::Failed,
        format!("waited {TIMEOUT:?} for {what} without success; this is a bug, please report it"),
    )
}

fn check_accepted<T>(answer: Result<T, RpcError>) -> Result<T, ExitError> {
    answer.map_err(|refusal| {
        ExitError::new(Exit::Failed, format!("the simulated Teleport refused: {refusal:?}"))
    })
}

fn print_message(message: &MessageView) -> Result<(), ExitError> {
    for block in 0..message.blocks.len() {
        print_indented("   │ ", &block_text(message, block))?;
    }
    Ok(())
}

fn print_indented(mark: &str, text: &str) -> Result<(), ExitError> {
    text.lines().try_for_each(|line| print_line(&format!("{mark}{line}")))
}

fn print_line(line: &str) -> Result<(), ExitError> {
    print(&format!("{line}\n"))
}
