//! How much of the cluster's access requests Teleport shows us. `rights.rs` finds it out.

use super::call::FULL_VISIBILITY_RULE;

/// What of the cluster's access requests our identity sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All.
    All,
    /// Not all: no role of ours gives these verbs, or one takes them.
    Partial(Vec<&'static str>),
    /// It cannot be known: why.
    Unknown(String),
}

/// Why an absence proves nothing, and what to do.
pub fn describe_visibility(visibility: &Visibility) -> String {
    let why = match visibility {
        Visibility::All => return "Teleport shows the plugin's user all access requests".to_owned(),
        Visibility::Partial(verbs) => {
            let (verbs, s) = (verbs.join(" and "), if verbs.len() > 1 { "s" } else { "" });
            format!(
                "the plugin's Teleport user lacks the verb{s} {verbs} on access_request, so Teleport may list nothing and say OK"
            )
        }
        Visibility::Unknown(why) => {
            format!("whether the plugin's Teleport user sees all access requests cannot be known ({why})")
        }
    };
    format!(
        "{why}; messages of requests that are not listed stay as they are; give it a role whose {FULL_VISIBILITY_RULE}"
    )
}
