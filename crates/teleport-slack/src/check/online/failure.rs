//! A call to Slack that failed, as an item.

use access_core::domain::error_chain::chain;
use slack_client::error::{Retry, SlackError};

use crate::causes::Exit;
use crate::check::report::{Item, ItemId, Status};
use crate::config::slack_setting;

/// The exit status for a call that failed.
pub(crate) fn slack_exit(error: &SlackError) -> Exit {
    match error.retry() {
        Retry::NeedsOperator => Exit::Credentials,
        Retry::Never => Exit::Configuration,
        Retry::Backoff | Retry::After(_) => Exit::Failed,
    }
}

/// An item that failed, or that could not be looked at, for a call that failed.
pub(super) fn slack_failure(id: ItemId, error: &SlackError, is_failure: bool) -> Item {
    let exit = slack_exit(error);
    let remedy = match error.remedy() {
        Some(remedy) => remedy.with_name(slack_setting).to_string(),
        None => {
            "check again in a minute; https://slack-status.com says whether Slack has an outage".to_owned()
        }
    };
    let item = Item::not_looked_at(id, exit, chain(error), remedy);
    if is_failure { Item { status: Status::Failed, summary: "failed".to_owned(), ..item } } else { item }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slack_client::method::Method;

    #[test]
    fn a_failure_has_the_exit_status_of_its_kind() {
        let exit = |code| {
            let item =
                slack_failure(ItemId::SlackBotToken, &SlackError::api_error(Method::AuthTest, code), true);
            (item.status, item.problem.unwrap().exit)
        };
        assert_eq!(exit("invalid_auth"), (Status::Failed, Exit::Credentials));
        assert_eq!(exit("internal_error"), (Status::Failed, Exit::Failed));
        let away = SlackError::timed_out(Method::AuthTest, false);
        assert_eq!(slack_failure(ItemId::SlackBotToken, &away, true).problem.unwrap().exit, Exit::Failed);
    }
}
