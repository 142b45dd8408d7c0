//! Calls that Slack refuses to the app as a whole, whatever the destination: one line in the log for all of them, until Slack
//! takes such a call again.

use std::collections::{BTreeSet, HashMap};

use slack_client::method::Method;

/// Destinations remembered of one method; with more, the end is noticed at these.
const MAX_DESTINATIONS: usize = 1_000;

/// What Slack refuses to the app at present.
#[derive(Debug, Default)]
pub(super) struct AppRefusals(HashMap<Method, Refusal>);

#[derive(Debug)]
struct Refusal {
    class: String,
    /// Where Slack refused it.
    destinations: BTreeSet<String>,
    /// Slack takes the call elsewhere, so it is about the destination after all.
    is_partial: bool,
}

/// What the log says of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalNews {
    /// That Slack refuses such calls.
    App,
    /// Nothing: it is there already.
    Logged,
    /// That this destination is refused, as of any other refusal.
    Destination,
}

impl AppRefusals {
    /// Slack refused the call there, for a cause of this class.
    pub(super) fn on_refused(&mut self, method: Method, class: &str, destination: &str) -> RefusalNews {
        let mut news = RefusalNews::Logged;
        let refusal = self.0.entry(method).or_insert_with(|| {
            news = RefusalNews::App;
            Refusal { class: class.to_owned(), destinations: BTreeSet::new(), is_partial: false }
        });
        if refusal.class != class {
            (news, refusal.class) = (RefusalNews::App, class.to_owned());
        }
        if refusal.destinations.len() < MAX_DESTINATIONS {
            refusal.destinations.insert(destination.to_owned());
        }
        if refusal.is_partial { RefusalNews::Destination } else { news }
    }

    /// Slack took the call there. Returns whether the log is to say that such calls are taken again.
    pub(super) fn on_accepted(&mut self, method: Method, destination: &str) -> bool {
        let Some(refusal) = self.0.get_mut(&method) else { return false };
        if !refusal.destinations.contains(destination) {
            refusal.is_partial = true;
            return false;
        }
        self.0.remove(&method).is_some_and(|refusal| !refusal.is_partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_to_the_app_is_news_once_and_of_a_destination_if_others_are_served() {
        let mut refusals = AppRefusals::default();
        let post = Method::ChatPostMessage;
        for (destination, news) in
            [("C1", RefusalNews::App), ("C2", RefusalNews::Logged), ("C1", RefusalNews::Logged)]
        {
            assert_eq!(refusals.on_refused(post, "missing_scope", destination), news, "{destination}");
        }
        assert_eq!(refusals.on_refused(post, "no_permission", "C1"), RefusalNews::App, "another cause");
        assert_eq!(refusals.on_refused(Method::ChatUpdate, "missing_scope", "C1"), RefusalNews::App);
        assert!(refusals.on_accepted(post, "C2") && !refusals.on_accepted(post, "C1"), "once");

        // A workspace of an organization that is not the app's, beside one that is.
        assert_eq!(refusals.on_refused(post, "team_access_not_granted", "C1"), RefusalNews::App);
        assert!(!refusals.on_accepted(post, "C3"));
        for destination in ["C1", "C2"] {
            let news = refusals.on_refused(post, "team_access_not_granted", destination);
            assert_eq!(news, RefusalNews::Destination, "{destination}");
        }
        assert!(!refusals.on_accepted(post, "C1"), "that line is the destination's");
        assert_eq!(refusals.on_refused(post, "team_access_not_granted", "C1"), RefusalNews::App);
    }
}
