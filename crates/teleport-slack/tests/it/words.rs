//! One word for one thing (`docs/glossary.md`): names and words that others replaced do not come back.
//!
//! Names are searched in Rust code, as whole identifiers. Words are searched in comments, Markdown and the names of
//! functions, so also of tests. Neither is searched in string literals, which may hold what others store or read.

use std::fmt::Write as _;
use std::path::Path;

use crate::rules::repository_root;

/// Identifiers that went, each with the one that took its place.
const NAMES: &[(&str, &str)] = &[
    ("AFTER_PANIC", "PANIC_BACKOFF"),
    ("ARRIVAL", "IN_DOUBT_AFTER_CLAIM"),
    ("AtWork", "WorkerPool"),
    ("Bed", "TestBed"),
    ("CallEnd", "CallResult"),
    ("CannotAct", "ActionError"),
    ("CardView", "MessageInput"),
    ("Carried", "Resolved"),
    ("ConnectProblem", "ConnectErrorKind"),
    ("Dialogue", "ModalState"),
    ("Diary", "EventLog"),
    ("Distrust", "AccountIneligible"),
    ("Door", "Circuit"),
    ("Doors", "ChannelBreaker"),
    ("Doubled", "Duplicates"),
    ("Doubt", "InDoubtPost"),
    ("DoubtJson", "InDoubtPostJson"),
    ("Errand", "Operation"),
    ("Fate", "Effect"),
    ("ForUsers", "ReviewSupportStatus"),
    ("Foreign", "OriginMismatch"),
    ("Hardship", "FaultBudget"),
    ("Intake", "Receiver"),
    ("Keeper", "Supervisor"),
    ("LAPSE", "ClaimTimings::timeout"),
    ("LONG_AGO", "STALE_CLAIM_AGE"),
    ("Lapsed", "Expired"),
    ("LinkedTwice", "AmbiguousUser"),
    ("ListRoom", "ListLimits"),
    ("Located", "ResolvedRecipient"),
    ("MAX_AT_WORK", "MAX_CONCURRENT"),
    ("MAX_DIALOGUE_AGE", "MAX_MODAL_AGE"),
    ("MAX_DOUBTS", "MAX_IN_DOUBT"),
    ("MAX_ROUNDS", "MAX_PASSES"),
    ("MAX_VISITS", "MAX_CONCURRENT_RECONCILES"),
    ("NotAllowed", "RuleRefusal"),
    ("NotCarriedOut", "NotApplied"),
    ("NotCovered", "NoMatchingRule"),
    ("NotNamed", "NotAnApprover"),
    ("NotOurs", "UnknownOrigin"),
    ("NotTaken", "NotPermittedForUser"),
    ("NotYet", "Deferred"),
    ("Occasion", "InteractionKey"),
    ("OldRelease", "ServerTooOld"),
    ("OldSlackKeys", "LegacySlackKeys"),
    ("OtherDialogue", "OtherModal"),
    ("OurApp", "AppInstallation"),
    ("Outbox", "SlackSender"),
    ("Overtaken", "AlreadyResolved"),
    ("OwnRequest", "SelfReview"),
    ("PersonKind", "SlackUserKind"),
    ("Restless", "Flapping"),
    ("ReviewLook", "ReviewDisplay"),
    ("SWEEP", "RESYNC_PERIOD"),
    ("Scrub", "Redactor"),
    ("Seal", "SignatureDigest"),
    ("Sealed", "RawEnvelope"),
    ("SeenSignatures", "ReplayCache"),
    ("Setback", "SendError"),
    ("Sighting", "Observation"),
    ("Situation", "PlanInput"),
    ("SomebodyElse", "IdMismatch"),
    ("StaleDialogue", "ExpiredModal"),
    ("Stranger", "External"),
    ("SubmitForUser", "CanSubmitForUsers"),
    ("Submitting", "ReviewSupport"),
    ("Surroundings", "Context"),
    ("TELEPORT_AWAY", "TELEPORT_BACKOFF"),
    ("Taken", "ClaimResult"),
    ("Tale", "Scenario"),
    ("TaskDied", "TaskError"),
    ("ToBeResolved", "Pending"),
    ("Told", "RepliesPosted"),
    ("TooSlow", "Timeout"),
    ("Trouble", "Error"),
    ("Turnstile", "RateLimits"),
    ("Unauthorised", "Unauthorized"),
    ("Unclear", "InDoubt"),
    ("Unconnected", "Connect"),
    ("Undecided", "DecisionRetry"),
    ("UnderWay", "InProgress"),
    ("Unfinished", "ResolveError"),
    ("UnfitToken", "InvalidToken"),
    ("Unheard", "NoReceiver"),
    ("Unsendable", "Serialize"),
    ("Unsure", "PartialFailure"),
    ("Untold", "UnnotifiedReviewers"),
    ("Vanished", "Removed"),
    ("VoterReader", "VoterLoader"),
    ("WholeState", "UiState"),
    ("Withdraw", "Delete"),
    ("Withdrawn", "Deleted"),
    ("are_borne_out", "are_confirmed_by"),
    ("as_word", "as_token"),
    ("behaviour", "behavior"),
    ("came_through", "check_origin"),
    ("card", "message"),
    ("cards", "messages"),
    ("carry_out", "execute"),
    ("colour", "color"),
    ("complain", "LogOnce"),
    ("complaints", "objections"),
    ("dead_line", "connection_lost"),
    ("dialogue", "modal"),
    ("distrust", "ineligible"),
    ("doubles", "duplicates"),
    ("doubts", "in_doubt"),
    ("errand", "operation"),
    ("errands", "operations"),
    ("finish_decision", "apply_pending_decision"),
    ("flights", "in_flight"),
    ("forget_settled", "drop_resolved"),
    ("give_up", "release"),
    ("greet", "await_hello"),
    ("grumble", "log_invalid_frame"),
    ("has_lapsed", "has_expired"),
    ("hold_back", "defer_rate_limited"),
    ("is_adopted", "is_from_go_plugin"),
    ("is_behind", "is_lagging"),
    ("is_dubious_id", "looks_like_channel_name"),
    ("is_lost", "is_unreachable"),
    ("is_worth_telling", "should_post"),
    ("keep_looking", "check_periodically"),
    ("line_mut", "connection_mut"),
    ("listed_now", "refetch_if_stale"),
    ("needs_visit", "needs_reconcile"),
    ("next_visit", "next_reconcile"),
    ("nobody", "no_user"),
    ("oddities", "recipient_warnings"),
    ("old_file", "legacy_0x"),
    ("one_way", "check_transport"),
    ("organisation", "organization"),
    ("outbox", "sender"),
    ("overtaken", "already_resolved"),
    ("owned_up", "dropped_notice"),
    ("postpone", "defer"),
    ("reason_dialogue", "reason_modal"),
    ("refuses_blocks", "affects"),
    ("rubbish", "invalid_keys"),
    ("run_errand", "execute_operation"),
    ("settled_by", "decided_by"),
    ("short_card", "fallback_message"),
    ("shown_everywhere", "displayed_everywhere"),
    ("shuts", "affects"),
    ("somebody", "user"),
    ("start_due", "start_ready"),
    ("surroundings", "context"),
    ("take_off", "track"),
    ("tell", "log, notify"),
    ("tell_lost", "log_unreachable"),
    ("tell_oddities", "log_recipient_warnings"),
    ("tell_who_decides", "log_review_mode"),
    ("thinning", "reduce_hint"),
    ("told", "notified, logged"),
    ("told_oddities", "warned"),
    ("troubles", "errors"),
    ("turn_away", "reject_overload"),
    ("turnstile", "rate_limits"),
    ("untold", "unnotified"),
    ("vanished", "removed"),
    ("visit", "reconcile"),
    ("visits", "in_progress"),
    ("votes_told", "vote_replies"),
    ("warn_of_silence", "warn_no_recipients"),
    ("weigh", "evaluate"),
    ("whereto", "destination"),
    ("whoever", "user"),
    ("work_on", "run"),
];

/// Words and phrases that went, their forms separated by `|`, each with what to say.
const WORDS: &[(&str, &str)] = &[
    ("errand|errands", "operation"),
    ("doubts|doubtful", "in-doubt post; unconfirmed"),
    ("ripe", "final"),
    ("lapse|lapses|lapsed", "expire"),
    ("visit|visits|visited|visiting", "reconcile; reconciliation"),
    ("card|cards", "message"),
    ("dialogue|dialogues", "modal"),
    ("whoever|whomever|whom", "the user, the caller, which user: name the actor"),
    (
        "somebody|nobody|someone|anyone|anybody|everybody|no one",
        "a user, no user, every caller: name the actor",
    ),
    ("he|his|him|himself|she|her|hers|herself", "they, or the noun"),
    ("make-believe|pretend|pretends|pretended", "simulated, simulates"),
    ("stranger|strangers", "external user"),
    ("rubbish", "invalid"),
    ("odd|oddity|oddities|oddly|spoilt", "unusual; corrupted"),
    ("mend|mends|mended|mending", "fix"),
    ("grumble|grumbles", "log"),
    ("hammer|hammers|hammered", "retry in a tight loop"),
    ("dribble|dribbles", "send slowly"),
    ("owned up|in vain|for want of|slip of the pen", "reported; without success; missing; typo"),
    ("under way", "in progress"),
    ("on the way", "in flight, in progress"),
    ("carry out|carries out|carried out", "apply, execute"),
    ("in the middle of", "during, within"),
    ("anew|afresh|nought|for ever", "again; zero; forever"),
    ("tell|tells|told|telling", "notify, reply, log, show, say, distinguish"),
    ("trouble|troubles|troubled", "error"),
    ("complain|complains|complained|complaint|complaints", "log; object"),
    ("kept true|stays true|untrue", "up to date; out of date"),
    ("taken back|takes back|one too many", "deleted; deletes; duplicate"),
    ("passed over|turned away", "ignored, skipped; rejected"),
    ("story|stories|tale|tales|diary", "scenario; event log"),
    ("turnstile", "rate limit"),
    ("outbox", "sender"),
    ("sanitise|sanitises|sanitised|sanitising", "sanitize"),
    ("colour|colours|coloured", "color"),
    ("organisation|organisations", "organization"),
    ("recognise|recognises|recognised|recognising", "recognize"),
    ("unauthorised", "unauthorized"),
    ("behaviour|behaviours", "behavior"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
}

/// A word with its line, counted from 1.
type Token = (usize, String);

fn tokens(text: &str, first_line: usize) -> Vec<Token> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (line, text) in (first_line..).zip(text.split('\n')) {
        let words = text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty());
        tokens.extend(words.map(|word| (line, word.to_owned())));
    }
    tokens
}

/// The length of the string or character literal that a text begins with; 0 if it begins with none.
fn literal_length(text: &str) -> usize {
    let hashes = text.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len());
    if let Some(hashes) = hashes
        && text[1 + hashes..].starts_with('"')
    {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = 2 + hashes;
        return text[start..].find(&end).map_or(text.len(), |at| start + at + end.len());
    }
    let mut chars = text.char_indices();
    let quote = match chars.next() {
        Some((_, '"')) => '"',
        // A lifetime has no second quote where a character's is.
        Some((_, '\'')) if text.starts_with("'\\") || text.chars().nth(2) == Some('\'') => '\'',
        _ => return 0,
    };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The words of one part of a Rust text.
fn rust_tokens(text: &str, wanted: Part) -> Vec<Token> {
    let is_identifier = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let literal = literal_length(rest);
        let (part, length) = if rest.starts_with("//") {
            (Some(Part::Comment), rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (Some(Part::Comment), rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if literal > 0 {
            (None, literal)
        } else if is_identifier(first) {
            (Some(Part::Code), rest.find(|c| !is_identifier(c)).unwrap_or(rest.len()))
        } else {
            (None, first.len_utf8())
        };
        if part == Some(wanted) {
            found.extend(tokens(&rest[..length], line));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The words in the names of the functions that a Rust text declares. An empty one ends each name.
fn function_words(code: &[Token]) -> Vec<Token> {
    let declared = code.windows(2).filter(|pair| pair[0].1 == "fn").map(|pair| &pair[1]);
    let words = |(line, name): &Token| {
        name.split('_').chain([""]).map(|word| (*line, word.to_owned())).collect::<Vec<_>>()
    };
    declared.flat_map(words).collect()
}

/// The words of a Markdown text without those in back-ticks.
fn markdown_tokens(text: &str) -> Vec<Token> {
    let prose = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let lines = text
        .lines()
        .map(|line| if line.trim_start().starts_with("```") { String::new() } else { prose(line) });
    tokens(&lines.collect::<Vec<_>>().join("\n"), 1)
}

/// The words of whole-line comments in other languages.
fn comment_line_tokens(text: &str, signs: &[&str]) -> Vec<Token> {
    let is_comment = |line: &str| signs.iter().any(|sign| line.trim_start().starts_with(sign));
    let lines = text.lines().map(|line| if is_comment(line) { line } else { "" });
    tokens(&lines.collect::<Vec<_>>().join("\n"), 1)
}

/// Each place of a listed phrase: its line, the phrase, and what to say instead.
fn places<'a>(tokens: &[Token], list: &[(&'a str, &'a str)]) -> Vec<(usize, &'a str, &'a str)> {
    let mut found = Vec::new();
    for (forms, instead) in list {
        for form in forms.split('|') {
            let words: Vec<_> = form.split([' ', '-']).collect();
            let is_form = |window: &&[Token]| {
                window.iter().map(|(_, word)| word).zip(&words).all(|(a, b)| a.eq_ignore_ascii_case(b))
            };
            let windows = tokens.windows(words.len()).filter(is_form);
            found.extend(windows.map(|window| (window[0].0, form, *instead)));
        }
    }
    found.sort_unstable();
    found
}

/// The same for names, where capitals count.
fn named<'a>(tokens: &[Token], list: &[(&'a str, &'a str)]) -> Vec<(usize, &'a str, &'a str)> {
    let find = |(line, word): &Token| {
        list.iter().find(|(name, _)| name == word).map(|(name, instead)| (*line, *name, *instead))
    };
    tokens.iter().filter_map(find).collect()
}

/// All files of the repository that are ours: nothing built, installed, generated or captured.
pub(crate) fn files() -> Vec<(String, String)> {
    let root = repository_root();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let is_foreign = ["target", "node_modules", "generated", ".git"].contains(&name.as_str())
                || ["crates/teleport-proto/proto", "fuzz/corpus"].contains(&relative.as_str());
            if path.is_dir() {
                if !is_foreign {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files.push((relative, text));
            }
        }
    }
    files.sort();
    files
}

/// The words of a file that its readers read: Markdown, or comments.
fn prose(path: &str, text: &str) -> Vec<Token> {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    match extension {
        Some("rs") => rust_tokens(text, Part::Comment),
        Some("md") => markdown_tokens(text),
        Some("mjs" | "js" | "go" | "java" | "proto" | "css") => comment_line_tokens(text, &["//", "/*", "*"]),
        Some("toml" | "py" | "sh" | "yml" | "yaml") => comment_line_tokens(text, &["#", "\"\"\""]),
        None if text.starts_with("#!") || path.ends_with("justfile") => comment_line_tokens(text, &["#"]),
        _ => Vec::new(),
    }
}

fn assert_none(found: Vec<(String, usize, String, String)>) {
    let mut report = String::new();
    for (path, line, word, instead) in &found {
        writeln!(report, "{path}:{line}: {word:?} went; say {instead:?}").unwrap();
    }
    assert!(found.is_empty(), "\n{report}{} in all", found.len());
}

#[test]
fn no_home_made_words() {
    let mut found = Vec::new();
    let mut add = |path: &str, places: Vec<(usize, &str, &str)>| {
        found.extend(
            places
                .into_iter()
                .map(|(line, word, instead)| (path.to_owned(), line, word.to_owned(), instead.to_owned())),
        );
    };
    let files = files();
    assert!(files.len() > 400, "only {} files were found", files.len());
    for (path, text) in files {
        add(&path, places(&prose(&path, &text), WORDS));
        if path.ends_with(".rs") {
            let code = rust_tokens(&text, Part::Code);
            add(&path, named(&code, NAMES));
            add(&path, places(&function_words(&code), WORDS));
        }
    }
    assert_none(found);
}

#[test]
fn one_old_name_in_code_is_found_with_its_line() {
    let names = [("Errand", "Operation")];
    let text = "/// An Errand.\nfn f() {\n    let text = \"Errand\";\n    let e: Errand<'_> = '\"';\n    Errands::new(r#\"Errand\"#)\n}\n";
    let code = rust_tokens(text, Part::Code);
    assert_eq!(named(&code, &names), [(4, "Errand", "Operation")]);
}

#[test]
fn one_old_word_in_a_functions_name_is_found_with_its_line() {
    let words = [("nobody", "no user"), ("under way", "in progress")];
    let text =
        "fn nobody_decides() {\n    let nobody = under;\n}\nfn what_is_under() {}\nfn way_x_under_way() {}\n";
    let found = places(&function_words(&rust_tokens(text, Part::Code)), &words);
    assert_eq!(found, [(1, "nobody", "no user"), (5, "under way", "in progress")]);
}

#[test]
fn one_old_word_in_a_comment_is_found_with_its_line() {
    let words =
        [("turnstile|turnstiles", "rate limit"), ("under way", "in progress"), ("make-believe", "simulated")];
    let text = "//! Turnstiles.\nconst X: &str = \"turnstile\"; // What is under\n// way, \\ in turnstile_x.\n/// make-believe\n";
    let comments = rust_tokens(text, Part::Comment);
    let expected =
        [(1, "turnstiles", "rate limit"), (2, "under way", "in progress"), (4, "make-believe", "simulated")];
    assert_eq!(places(&comments, &words), expected);
    assert_eq!(places(&prose("a.toml", "# a turnstile\nx = \"turnstile\"\n"), &words).len(), 1);
}

#[test]
fn one_old_word_in_markdown_is_found_with_its_line() {
    let words = [("turnstile", "rate limit")];
    let text = "# A title\n\n`turnstile` is code, a Turnstile is not.\n\n```sh\n# turnstile\n```\n";
    assert_eq!(
        places(&markdown_tokens(text), &words),
        [(3, "turnstile", "rate limit"), (6, "turnstile", "rate limit")]
    );
}
