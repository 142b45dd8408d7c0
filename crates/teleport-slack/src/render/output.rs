//! How the messages are printed: drawn for people, or as JSON, whose form `docs/render.md` publishes.

use std::borrow::Cow;

use access_core::domain::lifecycle::Phase;
use access_core::domain::text::with_escapes;
use serde::Serialize;

use super::canvas::Canvas;
use super::drawing::{draw, draw_notification};
use super::items::{Audience, Item, Items, Payload, Subject};
use super::judge::{Judgment, Verdict};
use super::mrkdwn::{Emphasis, Reader, Span, spans};

/// The form of the JSON; a change that readers must know of counts it up.
const FORMAT: u32 = 1;
/// Column of an answer's sentence.
const ANSWER: usize = 24;

/// Those whose message has a layout.
const COPIES: [Audience; 3] = [Audience::Channel, Audience::Requester, Audience::Unrecorded];

/// What is to be printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) found: &'a Items,
    /// One for each item, if they were judged.
    pub(crate) judgments: Option<&'a [Judgment]>,
}

impl Page<'_> {
    /// Everything, drawn.
    pub(crate) fn text(&self, mut canvas: Canvas, reader: &Reader) -> String {
        let Subject { request, cluster, .. } = self.subject;
        let own = self.subject.phase();
        let zone = match reader.zone.iana_name() {
            Some("Etc/UTC") => "UTC",
            Some(name) => name,
            None => "the zone of this machine",
        };
        canvas.line(
            &format!(
                "Request {} in the cluster {cluster}: {}. Times are those of {zone}.",
                request.id,
                own.as_str()
            ),
            Emphasis::default(),
        );
        let (mut heading, mut notification) = (String::new(), "");
        for (n, item) in self.found.items.iter().enumerate() {
            let is_answer = item.audiences == [Audience::Answer];
            let new = self.heading(item);
            if new != heading || !is_answer && item.audiences != [Audience::Thread] {
                canvas.blank();
                canvas.heading(&new);
                heading = new;
            } else if !is_answer {
                canvas.blank();
            }
            match &item.payload {
                Payload::Message(message) if is_answer => {
                    answer(&mut canvas, item.name, message.text(), reader)
                }
                payload => {
                    draw(&mut canvas, &payload.value(), reader);
                    if let Payload::Message(message) = payload
                        && !message.blocks().is_empty()
                        && std::mem::replace(&mut notification, message.text()) != message.text()
                    {
                        draw_notification(&mut canvas, message.text(), reader);
                    }
                }
            }
            if let Some(judgment) =
                self.judgments.and_then(|all| all.get(n)).filter(|judgment| !is_answer || judgment.is_bad())
            {
                let color = Some(if judgment.is_bad() { 31 } else { 32 });
                let mark = match (judgment.is_bad(), canvas.style.unicode) {
                    (false, true) => "✓",
                    (true, true) => "✗",
                    (false, false) => "ok",
                    (true, false) => "x",
                };
                let text = format!("{mark} {}", judgment.sentence());
                canvas.spans("  ", &[Span { text, emphasis: Emphasis { color, ..Emphasis::default() } }]);
            }
        }
        if !self.found.notes.is_empty() {
            canvas.blank();
            for note in &self.found.notes {
                canvas.line(&format!("Not shown: {note}."), Emphasis::default());
            }
        }
        canvas.out
    }

    fn heading(&self, item: &Item) -> String {
        let phase = match item.phase {
            Some(phase) if phase == self.subject.phase() => format!("{} (now): ", phase.as_str()),
            Some(phase) => format!("{}: ", phase.as_str()),
            None => String::new(),
        };
        let name = match (item.audiences.as_slice(), item.name) {
            ([Audience::Modal], "notice") => "the modal that was still open",
            ([Audience::Modal], "deny") => "the modal to deny",
            ([Audience::Modal], _) => "the modal to approve",
            ([Audience::Answer], _) => "answers to a click, seen by who clicked",
            ([Audience::Thread], _) => "replies in the thread",
            ([Audience::Plain], _) => "if Slack refuses the layout",
            (all, _) if COPIES.iter().all(|copy| all.contains(copy)) => "every message",
            (some, _) => return phase + &some.iter().map(|one| words(*one)).collect::<Vec<_>>().join("; "),
        };
        phase + name
    }

    /// The one message, as the daemon sends it; `None` if there is not just one.
    pub(crate) fn document(&self) -> Option<String> {
        match self.found.items.as_slice() {
            [item] => Some(item.payload.json() + "\n"),
            _ => None,
        }
    }

    /// Everything as one JSON object.
    pub(crate) fn json(&self, exit_status: u8) -> String {
        let judgments = self.judgments.unwrap_or_default().iter().map(Some).chain(std::iter::repeat(None));
        let item = |(item, judgment)| json_item(item, judgment);
        let Subject { request, cluster, is_listed, .. } = self.subject;
        let whole = Json {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            exit_status,
            request: JsonRequest {
                id: request.id.as_str().into(),
                cluster,
                found: *is_listed,
                phase: self.subject.phase(),
            },
            items: self.found.items.iter().zip(judgments).map(item).collect(),
            notes: &self.found.notes,
        };
        // Texts and numbers only: nothing here can fail to be JSON.
        harmless(&serde_json::to_string_pretty(&whole).unwrap_or_default()) + "\n"
    }
}

/// The same JSON, without characters that could move a terminal's cursor or turn its lines: in JSON they stand in texts only,
/// where an escape means the same.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (c, needs_escape) in with_escapes(json) {
        if needs_escape && c != '\n' {
            let units =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            out.push_str(&units);
        } else {
            out.push(c);
        }
    }
    out
}

fn json_item<'a>(item: &'a Item, judgment: Option<&'a Judgment>) -> JsonItem<'a> {
    JsonItem {
        phase: item.phase,
        audiences: item.audiences.iter().map(|audience| audience.as_str()).collect(),
        name: item.name,
        payload: &item.payload,
        verdict: judgment.map(|judgment| judgment.verdict),
        errors: judgment.map(|judgment| &judgment.errors[..]),
    }
}

fn words(audience: Audience) -> &'static str {
    match audience {
        Audience::Channel => "channel, direct message",
        Audience::Requester => "direct message to the requester",
        Audience::Unrecorded => "direct message to an unrecorded recipient",
        Audience::Plain => "if Slack refuses the layout",
        Audience::Thread | Audience::Modal | Audience::Answer => audience.as_str(),
    }
}

/// One answer behind its word.
fn answer(canvas: &mut Canvas, name: &str, text: &str, reader: &Reader) {
    let mut part =
        Canvas { out: String::new(), width: canvas.width.saturating_sub(ANSWER).max(20), ..canvas.clone() };
    part.spans("", &spans(text, reader, Emphasis::default()));
    for (n, line) in part.out.lines().enumerate() {
        let name = if n == 0 { name } else { "" };
        canvas.out.push_str(format!("  {name:<22}{line}").trim_end());
        canvas.out.push('\n');
    }
}

#[derive(Serialize)]
struct Json<'a> {
    format: u32,
    version: &'a str,
    exit_status: u8,
    request: JsonRequest<'a>,
    items: Vec<JsonItem<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct JsonRequest<'a> {
    id: Cow<'a, str>,
    cluster: &'a str,
    found: bool,
    phase: Phase,
}

#[derive(Serialize)]
struct JsonItem<'a> {
    phase: Option<Phase>,
    audiences: Vec<&'a str>,
    name: &'a str,
    payload: &'a Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [String]>,
}

#[cfg(test)]
mod tests;
