//! Why a user's action is not possible.

/// Why a user cannot do what a test asks of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No such user, or one without a client: a bot, or a deactivated account.
    #[error("{0} is no user that can use a client")]
    NoClient(String),
    /// The channel does not exist, or not for them.
    #[error("{user} cannot see {channel}")]
    CannotSee {
        /// The id of the user who tried.
        user: String,
        /// The channel's id.
        channel: String,
    },
    /// No such message, or an ephemeral one for another user.
    #[error("there is no message {0} to be seen")]
    NoMessage(String),
    /// No such view in their client, or not the uppermost.
    #[error("the view {0} is not in front of them")]
    NoView(String),
    /// Nothing with this action id.
    #[error("there is nothing with the action id {0}")]
    NoElement(String),
    /// Several elements with this action id; say which block.
    #[error("{0} is the action id of several elements")]
    Ambiguous(String),
    /// A menu was used without a choice, or a choice it does not offer.
    #[error("the menu {0} does not offer that")]
    NoOption(String),
    /// The view has no button to submit it.
    #[error("the view {0} cannot be submitted")]
    NoSubmit(String),
}
