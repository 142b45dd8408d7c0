//! What can be pressed or filled in: buttons, confirmations, an input. As in [`super::blocks`], what
//! can be built is within Slack's limits, so what exists can be sent.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::mrkdwn::{EMPTY, WebUrl, truncate_plain, utf16_len};
use super::sanitize::sanitize;
use crate::domain::decision::{Decision, MAX_REASON};
use crate::domain::ids::RequestId;
use crate::interaction::controls::{OPEN, REASON};

const MAX_BUTTONS: usize = 25;
const MAX_BUTTON_TEXT: usize = 75;
const MAX_CONFIRM_TITLE: usize = 100;
const MAX_CONFIRM_TEXT: usize = 300;
const MAX_CONFIRM_BUTTON: usize = 30;
const MAX_LABEL: usize = 2_000;

/// Text without markup: a `<!channel>` in it is nine characters and nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain(String);

impl Plain {
    /// Our own words.
    pub fn of(words: &'static str) -> Self {
        Self(words.to_owned())
    }

    /// Adds words of this program.
    pub fn trusted(&mut self, words: &'static str) -> &mut Self {
        self.0.push_str(words);
        self
    }

    /// Adds foreign text on the same line, cleaned and cut to `max` UTF-16 units.
    pub fn untrusted(&mut self, text: &str, max: usize) -> &mut Self {
        self.0.push_str(&truncate_plain(&sanitize(text, max), max));
        self
    }

    /// Cut to `max` UTF-16 units; a dash if empty.
    pub(super) fn truncated(self, max: usize) -> Self {
        match utf16_len(&self.0) {
            0 => Self(EMPTY.to_owned()),
            units if units > max => Self(truncate_plain(&self.0, max)),
            _ => self,
        }
    }
}

/// As Slack's text object. Without `emoji`: `:fire:` stays as it was written.
impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Plain", 3)?;
        object.serialize_field("type", "plain_text")?;
        object.serialize_field("text", &self.0)?;
        object.serialize_field("emoji", &false)?;
        object.end()
    }
}

/// A row of 1 to 25 buttons.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Actions {
    elements: Vec<Button>,
}

impl Actions {
    pub(super) fn new(mut elements: Vec<Button>) -> Option<Self> {
        elements.truncate(MAX_BUTTONS);
        (!elements.is_empty()).then_some(Self { elements })
    }
}

/// A button.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename = "button")]
pub struct Button {
    action_id: &'static str,
    text: Plain,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<Style>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Confirm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Style {
    Primary,
    Danger,
}

impl From<Decision> for Style {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Approve => Self::Primary,
            Decision::Deny => Self::Danger,
        }
    }
}

impl Button {
    /// A button that decides on a request; `None` if the request's id is no plain word.
    pub fn decide(decision: Decision, id: &RequestId, confirm: Option<Confirm>) -> Option<Self> {
        Some(Self {
            action_id: decision.action_id(),
            text: Plain::of(decision_label(decision)).truncated(MAX_BUTTON_TEXT),
            value: Some(id.as_token()?.to_owned()),
            url: None,
            style: Some(decision.into()),
            confirm,
        })
    }

    /// A button that opens a page. Slack notifies the app of the press all the same.
    pub fn link(text: Plain, url: &WebUrl) -> Self {
        Self {
            action_id: OPEN,
            text: text.truncated(MAX_BUTTON_TEXT),
            value: None,
            url: Some(url.as_str().to_owned()),
            style: None,
            confirm: None,
        }
    }
}

/// The word for a decision on buttons.
pub(super) fn decision_label(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "Approve",
        Decision::Deny => "Deny",
    }
}

/// Slack's "are you sure?". The click is sent only if the person is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Confirm {
    title: Plain,
    text: Plain,
    confirm: Plain,
    deny: Plain,
    style: Style,
}

impl Confirm {
    /// Asks `text` under `title`; the button that goes on bears the decision's word.
    pub fn new(decision: Decision, title: Plain, text: Plain) -> Self {
        Self {
            title: title.truncated(MAX_CONFIRM_TITLE),
            text: text.truncated(MAX_CONFIRM_TEXT),
            confirm: Plain::of(decision_label(decision)).truncated(MAX_CONFIRM_BUTTON),
            deny: Plain::of("Cancel").truncated(MAX_CONFIRM_BUTTON),
            style: decision.into(),
        }
    }
}

/// The field for the reason.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Input {
    block_id: &'static str,
    label: Plain,
    hint: Plain,
    optional: bool,
    element: TextInput,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename = "plain_text_input")]
struct TextInput {
    action_id: &'static str,
    multiline: bool,
    max_length: usize,
    focus_on_load: bool,
}

impl Input {
    /// A field of several lines for at most 1,000 characters.
    pub fn reason(label: Plain, hint: Plain, required: bool) -> Self {
        let element =
            TextInput { action_id: REASON, multiline: true, max_length: MAX_REASON, focus_on_load: true };
        Self {
            block_id: REASON,
            label: label.truncated(MAX_LABEL),
            hint: hint.truncated(MAX_LABEL),
            optional: !required,
            element,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::blocks::Block;

    #[test]
    fn buttons_serialize_as_slack_expects() {
        let id = RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807");
        let confirm = Confirm::new(Decision::Deny, Plain::of("Sure?"), Plain::of("It is gone then."));
        let buttons = vec![
            Button::decide(Decision::Approve, &id, None).unwrap(),
            Button::decide(Decision::Deny, &id, Some(confirm)).unwrap(),
            Button::link(Plain::of("Open in Teleport"), &WebUrl::parse("teleport.example.com/web").unwrap()),
        ];
        insta::assert_snapshot!(serde_json::to_string(&Block::actions(buttons)).unwrap(), @r#"{"type":"actions","elements":[{"type":"button","action_id":"approve","text":{"type":"plain_text","text":"Approve","emoji":false},"value":"8f77d2d1-2bbf-4031-a300-58926237a807","style":"primary"},{"type":"button","action_id":"deny","text":{"type":"plain_text","text":"Deny","emoji":false},"value":"8f77d2d1-2bbf-4031-a300-58926237a807","style":"danger","confirm":{"title":{"type":"plain_text","text":"Sure?","emoji":false},"text":{"type":"plain_text","text":"It is gone then.","emoji":false},"confirm":{"type":"plain_text","text":"Deny","emoji":false},"deny":{"type":"plain_text","text":"Cancel","emoji":false},"style":"danger"}},{"type":"button","action_id":"open","text":{"type":"plain_text","text":"Open in Teleport","emoji":false},"url":"https://teleport.example.com/web"}]}"#);
        assert_eq!(Button::decide(Decision::Approve, &RequestId::new("a b"), None), None);
        assert_eq!(Block::actions(vec![]), None);
    }

    #[test]
    fn texts_are_cut_between_graphemes() {
        let family = "👨‍👩‍👧‍👦";
        let mut text = Plain::of("for ");
        text.untrusted(&family.repeat(100), 1_000).trusted(".");
        let cut = text.truncated(24);
        assert_eq!(cut.0, format!("for {family}…"));
        assert_eq!(Plain::default().truncated(5).0, "—");
        let mut escaped_nowhere = Plain::default();
        escaped_nowhere.untrusted("<!channel>\n&", 100);
        assert_eq!(escaped_nowhere.0, "<!channel> ↵ &");
    }
}
