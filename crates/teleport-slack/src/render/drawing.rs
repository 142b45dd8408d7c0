//! Draws what is sent to Slack as a reader would see it there. It looks at the JSON alone, so what is drawn is what is sent.

use serde_json::Value;

use super::canvas::{Canvas, TIE};
use super::mrkdwn::{Emphasis, Reader, Span, spans};

const GREEN: u8 = 32;
const RED: u8 = 31;
/// Between the parts of a row, where Slack leaves a gap.
const GAP: &str = "   ";
const MARGIN: &str = "│ ";

/// Draws a message or a modal.
pub(super) fn draw(canvas: &mut Canvas, payload: &Value, reader: &Reader) {
    let mut drawing = Drawing { canvas, reader };
    if payload["type"] == "modal" {
        drawing.modal(payload);
    } else {
        drawing.message(payload);
    }
}

/// Draws the text of a message with blocks, which notifications and screen readers have.
pub(super) fn draw_notification(canvas: &mut Canvas, text: &str, reader: &Reader) {
    let mut line = vec![dim("Notification: ")];
    line.extend(spans(text, reader, DIM));
    canvas.spans("  ", &line);
}

struct Drawing<'a> {
    canvas: &'a mut Canvas,
    reader: &'a Reader,
}

impl Drawing<'_> {
    fn message(&mut self, message: &Value) {
        let text = message["text"].as_str().unwrap_or_default();
        let blocks = blocks(message);
        if blocks.is_empty() {
            return self.spans(&spans(text, self.reader, Emphasis::default()));
        }
        self.blocks(blocks);
    }

    fn modal(&mut self, modal: &Value) {
        self.spans(&[Span { text: plain(&modal["title"]), emphasis: BOLD }]);
        self.spans(&[]);
        self.blocks(blocks(modal));
        self.spans(&[]);
        let submit = modal["submit"].is_object().then(|| button(&plain(&modal["submit"]), Some(GREEN)));
        let mut row = vec![button(&plain(&modal["close"]), None)];
        row.extend(submit);
        self.row(&row);
    }

    fn blocks(&mut self, blocks: &[Value]) {
        for (n, block) in blocks.iter().enumerate() {
            if n > 0 {
                self.spans(&[]);
            }
            self.block(block);
        }
    }

    fn block(&mut self, block: &Value) {
        match block["type"].as_str().unwrap_or_default() {
            "section" => self.spans(&self.text(&block["text"], Emphasis::default())),
            "context" => {
                let mut row = Vec::new();
                for element in block["elements"].as_array().into_iter().flatten() {
                    if !row.is_empty() {
                        row.push(dim(GAP));
                    }
                    row.extend(self.text(element, DIM));
                }
                self.spans(&row);
            }
            "actions" => self.actions(block["elements"].as_array().map_or(&[][..], Vec::as_slice)),
            "input" => self.input(block),
            other => self.spans(&[dim(&format!("(a block of the kind {other:?})"))]),
        }
    }

    /// The buttons in a row, and below what each does besides the click.
    fn actions(&mut self, elements: &[Value]) {
        let color = |element: &Value| match element["style"].as_str() {
            Some("primary") => Some(GREEN),
            Some("danger") => Some(RED),
            _ => None,
        };
        let row: Vec<_> = elements.iter().map(|one| button(&plain(&one["text"]), color(one))).collect();
        self.row(&row);
        for element in elements {
            let label = plain(&element["text"]);
            if let Some(url) = element["url"].as_str() {
                self.spans(&[dim(&format!("{label} leads to {url}"))]);
            }
            let confirm = &element["confirm"];
            if confirm.is_object() {
                let [title, text, yes, no] =
                    ["title", "text", "confirm", "deny"].map(|key| plain(&confirm[key]));
                self.spans(&[dim(&format!("{label} asks first: {title} {text} [{yes}] [{no}]"))]);
            }
        }
    }

    fn input(&mut self, input: &Value) {
        let mut label = vec![Span { text: plain(&input["label"]), emphasis: BOLD }];
        if input["optional"] == true {
            label.push(dim(" (optional)"));
        }
        self.spans(&label);
        let field = if self.canvas.style.unicode { "▁" } else { "_" };
        let width = self.canvas.width.saturating_sub(2).min(50);
        self.spans(&[dim(&field.repeat(width))]);
        if input["hint"].is_object() {
            self.spans(&[dim(&plain(&input["hint"]))]);
        }
    }

    fn row(&mut self, buttons: &[Span]) {
        let mut row = Vec::new();
        for button in buttons {
            if !row.is_empty() {
                row.push(dim(" "));
            }
            row.push(button.clone());
        }
        self.spans(&row);
    }

    fn text(&self, object: &Value, emphasis: Emphasis) -> Vec<Span> {
        match object["type"].as_str() {
            Some("mrkdwn") => spans(object["text"].as_str().unwrap_or_default(), self.reader, emphasis),
            _ => vec![Span { text: plain(object), emphasis }],
        }
    }

    fn spans(&mut self, spans: &[Span]) {
        self.canvas.spans(MARGIN, spans);
    }
}

const BOLD: Emphasis =
    Emphasis { bold: true, italic: false, strike: false, code: false, link: false, dim: false, color: None };
const DIM: Emphasis =
    Emphasis { bold: false, italic: false, strike: false, code: false, link: false, dim: true, color: None };

fn blocks(payload: &Value) -> &[Value] {
    payload["blocks"].as_array().map_or(&[], Vec::as_slice)
}

/// The text of a text object without markup.
fn plain(object: &Value) -> String {
    object["text"].as_str().unwrap_or_default().to_owned()
}

fn dim(text: &str) -> Span {
    Span { text: text.to_owned(), emphasis: DIM }
}

/// A button is not broken over two lines.
fn button(label: &str, color: Option<u8>) -> Span {
    let text = format!("[ {label} ]").replace(' ', &TIE.to_string());
    Span { text, emphasis: Emphasis { bold: color.is_some(), color, ..Emphasis::default() } }
}
