//! Whether Slack would show each kind of message and modal (`blocks.validate`).

use std::time::Duration;

use access_core::render::samples::{Sample, samples};
use slack_client::error::{Retry, SlackError};
use slack_client::validation::{Layout, Validation};

use super::failure::slack_failure;
use crate::causes::Exit;
use crate::check::report::{Item, ItemId};

/// Waits that Slack asks for are kept, up to this long in all: its limit for this method is not published.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Asks Slack about each kind once. It stops at the first answer that says nothing of layouts.
pub(super) async fn items(slack: &slack_client::Client) -> Vec<Item> {
    let mut waited = Duration::ZERO;
    let mut answers = Vec::new();
    for (name, sample) in samples() {
        let answer = ask(slack, &sample, &mut waited).await;
        let is_last = !matches!(answer, Ok(Validation::Valid | Validation::Invalid(_)));
        answers.push((name, answer));
        if is_last {
            break;
        }
    }
    judge(&answers)
}

/// Asks Slack about one, as soon as it may; `waited` is how long this has taken before.
pub(crate) async fn ask(
    slack: &slack_client::Client,
    sample: &Sample,
    waited: &mut Duration,
) -> Result<Validation, SlackError> {
    loop {
        let answer = match sample {
            Sample::Message(message) => slack.validate(Layout::<()>::Message(message)).await,
            Sample::Modal(view) => slack.validate(Layout::View(view)).await,
        };
        match answer {
            Err(error)
                if let Retry::After(wait) = error.retry()
                    && *waited + wait <= MAX_WAIT =>
            {
                tokio::time::sleep(wait).await;
                *waited += wait;
            }
            answer => return answer,
        }
    }
}

/// One item for each layout that Slack refuses or did not judge; one for all if it would show each.
fn judge(answers: &[(&str, Result<Validation, SlackError>)]) -> Vec<Item> {
    let id = ItemId::SlackLayouts;
    let mut items = Vec::new();
    for (name, answer) in answers {
        items.extend(match answer {
            Ok(Validation::Valid) => None,
            Ok(Validation::Invalid(errors)) => {
                let words: Vec<_> = errors
                    .iter()
                    .map(|error| {
                        format!("{} {} {}", error.pointer, error.code, error.message).trim().to_owned()
                    })
                    .collect();
                let cause = match words.is_empty() {
                    true => "Slack does not say why".to_owned(),
                    false => words.join("; "),
                };
                let remedy = "please report it; until then such a message is posted as plain text";
                Some(Item::failed(id, Exit::Failed, "Slack would not show it", cause, remedy).of(*name))
            }
            Ok(Validation::NotAsked) => {
                let cause = "this workspace, or what stands in for Slack, does not know blocks.validate";
                let remedy = "nothing is to be done: a layout that Slack refuses is posted as plain text";
                Some(Item::not_looked_at(id, Exit::Failed, cause, remedy))
            }
            Err(error) => Some(slack_failure(id, error, false).of(*name)),
        });
    }
    if items.is_empty() {
        items.push(Item::ok(
            id,
            format!("Slack would show each of {} kinds of message and modal", answers.len()),
        ));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Status;
    use slack_client::method::Method;
    use slack_client::validation::LayoutError;

    #[test]
    fn a_method_that_is_not_known_is_no_failure_and_no_success() {
        let one = |answer| judge(&[("request with buttons", answer)]).remove(0);
        assert_eq!(one(Ok(Validation::Valid)).status, Status::Ok);
        assert_eq!(one(Ok(Validation::NotAsked)).status, Status::Warning);
        assert_eq!(one(Err(SlackError::status(Method::BlocksValidate, 503))).status, Status::Warning);
        let error = LayoutError {
            pointer: "/blocks/0".to_owned(),
            code: "failed_constraint".to_owned(),
            message: "too long".to_owned(),
        };
        let invalid = one(Ok(Validation::Invalid(vec![error])));
        assert_eq!(invalid.status, Status::Failed);
        assert_eq!(invalid.problem.unwrap().cause, "/blocks/0 failed_constraint too long");
    }
}
