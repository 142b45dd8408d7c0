//! How a report is shown: as text for people, or as JSON, whose form `docs/check.md` publishes.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;

use super::report::{Item, Report, Status};
use access_core::domain::text::escape_line;

/// How text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether marks are colored. Each mark also says by itself what its color says.
    pub color: bool,
    /// Whether marks may be other than ASCII.
    pub unicode: bool,
}

impl Style {
    /// For a terminal or not, with what the environment says: `NO_COLOR`, `TERM`, and the locale (`LC_ALL`, `LC_CTYPE` or
    /// `LANG`). Without a locale, UTF-8 is meant, as under a service manager.
    pub fn new(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(given);
        let is_utf8 = locale.is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self {
            color: is_terminal
                && given("NO_COLOR").is_none()
                && given("TERM").is_none_or(|term| term != "dumb"),
            unicode: !is_terminal || is_utf8,
        }
    }

    fn mark(self, status: Status) -> String {
        let (mark, ascii, color) = match status {
            Status::Ok => ("✓", "ok", 32),
            Status::Warning => ("!", "!", 33),
            Status::Failed => ("✗", "x", 31),
        };
        let mark = if self.unicode { mark } else { ascii };
        if self.color { format!("\u{1b}[{color}m{mark}\u{1b}[0m") } else { mark.to_owned() }
    }

    /// The text on one line, with signs that the terminal can show.
    pub(crate) fn line<'a>(self, text: &'a str) -> Cow<'a, str> {
        let line = escape_line(text);
        if self.unicode { line.into() } else { line.replace('…', "...").replace('–', "-").into() }
    }
}

/// The report as text; the exit status is that with which the program ends.
pub fn text(report: &Report, style: Style, exit: u8) -> String {
    let mut out = String::new();
    for group in report.items.chunk_by(differs_in_id_only) {
        let item = &group[0];
        let ids: Vec<_> = group.iter().map(|item| item.id.as_str()).collect();
        let _ = write!(out, "{} {}", style.mark(item.status), ids.join(", "));
        let _ = match title(item).as_str() {
            "" => writeln!(out),
            title => writeln!(out, ": {}", style.line(title)),
        };
        if let Some(problem) = &item.problem {
            let _ = writeln!(out, "    cause: {}", style.line(&problem.cause));
            let _ = writeln!(out, "    remedy: {}", style.line(&problem.remedy));
        }
    }
    let counts = [(Status::Failed, "failed"), (Status::Warning, "to look at"), (Status::Ok, "ok")];
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(status, words)| (report.count(status), words))
        .filter(|(count, words)| *count > 0 || *words == "ok")
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    let _ = writeln!(out, "{}; exit status {exit}", counts.join(", "));
    out
}

/// Whether two neighbors differ in their ids only, so that one cause and one remedy do for both.
fn differs_in_id_only(one: &Item, next: &Item) -> bool {
    one.problem.is_some() && one.subject.is_empty() && *one == Item { id: one.id, ..next.clone() }
}

/// Subject and summary on one line.
pub(crate) fn title(item: &Item) -> String {
    match (item.subject.as_str(), item.summary.as_str()) {
        ("", summary) => summary.to_owned(),
        (subject, "") => subject.to_owned(),
        (subject, summary) => format!("{subject}: {summary}"),
    }
}

/// The form of the JSON; a change that readers must know of counts it up.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct JsonReport<'a> {
    format: u32,
    version: &'a str,
    config: Cow<'a, str>,
    offline: bool,
    strict: bool,
    exit_status: u8,
    items: Vec<JsonItem<'a>>,
}

#[derive(Serialize)]
struct JsonItem<'a> {
    id: &'a str,
    status: Status,
    subject: &'a str,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

/// What was asked for, as the JSON repeats it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The configuration file.
    pub config: &'a std::path::Path,
    /// Whether neither side was called.
    pub offline: bool,
    /// Whether warnings count.
    pub strict: bool,
}

/// The report as one JSON object, indented, with a line break at its end.
pub fn json(report: &Report, asked: Asked<'_>, exit: u8) -> String {
    let items = report.items.iter().map(|item| JsonItem {
        id: item.id.as_str(),
        status: item.status,
        subject: &item.subject,
        summary: &item.summary,
        cause: item.problem.as_ref().map(|problem| problem.cause.as_str()),
        remedy: item.problem.as_ref().map(|problem| problem.remedy.as_str()),
    });
    let whole = JsonReport {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        config: asked.config.to_string_lossy(),
        offline: asked.offline,
        strict: asked.strict,
        exit_status: exit,
        items: items.collect(),
    };
    // Texts and numbers only: nothing here can fail to be JSON.
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::Exit;
    use crate::check::report::ItemId;

    const PLAIN: Style = Style { color: false, unicode: true };

    fn report() -> Report {
        Report {
            items: vec![
                Item::ok(ItemId::ConfigFile, "/etc/a.toml can be read"),
                Item::warning(ItemId::FileAccess, Exit::Credentials, "", "others read it", "run chmod")
                    .of("/run/x"),
                Item::failed(
                    ItemId::ConfigValues,
                    Exit::Configuration,
                    "line 3",
                    "\"a\u{1b}[2J\" is no address…",
                    "write host:port",
                )
                .of("teleport.addr"),
            ],
        }
    }

    #[test]
    fn text_has_one_line_for_each_item_with_cause_and_remedy_below() {
        insta::assert_snapshot!(text(&report(), PLAIN, 78), @r#"
        ✓ config-file: /etc/a.toml can be read
        ! file-access: /run/x
            cause: others read it
            remedy: run chmod
        ✗ config-values: teleport.addr: line 3
            cause: "a\u{1b}[2J" is no address…
            remedy: write host:port
        1 failed, 1 to look at, 1 ok; exit status 78
        "#);
        let ascii = text(&report(), Style { unicode: false, ..PLAIN }, 78);
        assert!(ascii.is_ascii(), "{ascii}");
        assert!(ascii.starts_with("ok config-file") && ascii.contains("\nx config-values"), "{ascii}");
        let colored = text(&report(), Style { color: true, ..PLAIN }, 78);
        assert!(colored.starts_with("\u{1b}[32m✓\u{1b}[0m config-file"), "{colored}");
        let ids = [ItemId::LogFile, ItemId::Identity];
        let mut items = Item::none_looked_at(ids, Exit::Configuration, "no key is known", "mend the file");
        items.push(Item::not_looked_at(ItemId::InForce, Exit::Configuration, "another", "mend the file"));
        insta::assert_snapshot!(text(&Report { items }, PLAIN, 78), @r#"
        ! log-file, identity: not looked at
            cause: no key is known
            remedy: mend the file
        ! in-force: not looked at
            cause: another
            remedy: mend the file
        3 to look at, 0 ok; exit status 78
        "#);
        let untitled =
            Item::failed(ItemId::CallbackTls, Exit::Configuration, "", "nothing does TLS", "add it");
        let untitled = text(&Report { items: vec![untitled] }, PLAIN, 78);
        assert!(untitled.starts_with("✗ callback-tls\n"), "{untitled}");
    }

    #[test]
    fn only_a_terminal_gets_colors_and_only_one_without_utf_8_gets_ascii() {
        let style = |is_terminal, variables: &[(&str, &str)]| {
            let style = Style::new(is_terminal, |name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            });
            (style.color, style.unicode)
        };
        assert_eq!(style(true, &[]), (true, true));
        assert_eq!(style(true, &[("LANG", "en_US.UTF-8")]), (true, true));
        assert_eq!(style(true, &[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")]), (true, false));
        assert_eq!(style(true, &[("LC_ALL", ""), ("LC_CTYPE", "de_DE.utf8")]), (true, true));
        assert_eq!(style(true, &[("NO_COLOR", "1")]), (false, true));
        assert_eq!(style(true, &[("TERM", "dumb")]), (false, true));
        assert_eq!(style(false, &[("LC_ALL", "C")]), (false, true));
    }

    #[test]
    fn json_is_of_the_published_form() {
        let asked = Asked { config: std::path::Path::new("/etc/a.toml"), offline: true, strict: false };
        insta::assert_snapshot!(json(&report(), asked, 78), @r#"
        {
          "format": 1,
          "version": "0.1.0",
          "config": "/etc/a.toml",
          "offline": true,
          "strict": false,
          "exit_status": 78,
          "items": [
            {
              "id": "config-file",
              "status": "ok",
              "subject": "",
              "summary": "/etc/a.toml can be read"
            },
            {
              "id": "file-access",
              "status": "warning",
              "subject": "/run/x",
              "summary": "",
              "cause": "others read it",
              "remedy": "run chmod"
            },
            {
              "id": "config-values",
              "status": "failed",
              "subject": "teleport.addr",
              "summary": "line 3",
              "cause": "\"a\u001b[2J\" is no address…",
              "remedy": "write host:port"
            }
          ]
        }
        "#);
    }
}
