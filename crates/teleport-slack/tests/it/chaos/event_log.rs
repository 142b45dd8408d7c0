//! The event log of a run. The timeline of one request merges it with the simulators' calls and the daemons' logs.

use std::fmt::Write;

use access_sim::call_sequence::Side;
use access_sim::slack::call_log::Call;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::chaos::run::{CreatedRequest, Run};

/// A line of the event log.
#[derive(Clone, Debug)]
struct Entry {
    at: Timestamp,
    /// The number of the request that it is about; `None` if it may concern any.
    request: Option<usize>,
    text: String,
}

/// The event log of a run.
pub(crate) struct EventLog {
    begun: Timestamp,
    entries: Mutex<Vec<Entry>>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { begun: Timestamp::now(), entries: Mutex::default() }
    }

    pub(crate) fn record(&self, request: Option<usize>, text: String) {
        self.entries().push(Entry { at: Timestamp::now(), request, text });
    }

    /// All of it.
    pub(crate) fn full_text(&self) -> String {
        let mut text = String::new();
        for Entry { at, text: line, .. } in self.entries().iter() {
            writeln!(text, "{:>8.3} {line}", self.second(*at)).unwrap();
        }
        text
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock()
    }

    /// Seconds since the beginning.
    fn second(&self, at: Timestamp) -> f64 {
        at.duration_since(self.begun).as_secs_f64()
    }

    /// Everything about one request in the order of time: user actions, faults, calls, and lines of the daemons' logs.
    pub(crate) fn request_timeline(
        &self,
        run: &Run,
        number: usize,
        asked: &CreatedRequest,
        logs: &[(usize, String)],
    ) -> String {
        let bed = &run.bed;
        let mut lines: Vec<(Timestamp, String)> = Vec::new();
        let own = |entry: &&Entry| entry.request.is_none_or(|request| request == number);
        for entry in self.entries().iter().filter(own) {
            // Faults from before its creation do not concern it.
            if entry.at >= asked.created || entry.request.is_some() {
                lines.push((entry.at, entry.text.clone()));
            }
        }
        let observed = crate::chaos::observed::ObservedMessages::of(bed);
        let names: Vec<_> =
            observed.for_request(&asked.id).iter().map(|found| found.message.ts.clone()).collect();
        let calls = bed.slack.calls();
        for call in run.call_sequence.calls() {
            match call.side {
                Side::Teleport if call.subject == asked.id => {
                    lines.push((call.time, format!("    Teleport <- {}", call.method)));
                }
                Side::Slack { seq } => {
                    let found = calls.iter().find(|slack| slack.seq == seq);
                    if let Some(slack) = found.filter(|slack| is_about(slack, &asked.id, &names)) {
                        lines.push((call.time, format!("    Slack <- {}", describe_call(slack))));
                    }
                }
                Side::Teleport => {}
            }
        }
        for (replica, log) in logs {
            for line in log.lines().filter(|line| line.contains(&asked.id)) {
                let (time, words) = line.split_once(' ').unwrap_or(("", line));
                if let Ok(second) = time.parse::<Timestamp>() {
                    // The log has whole seconds; by the end of a second, everything logged in it has happened.
                    let at = second + jiff::SignedDuration::from_millis(999);
                    lines.push((at, format!("        replica {replica}: {}", words.trim())));
                }
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let mut timeline = String::new();
        for (at, text) in lines {
            writeln!(timeline, "{:>8.3} {text}", self.second(at)).unwrap();
        }
        writeln!(timeline, "record: {:#?}", bed.record(&asked.id)).unwrap();
        let listed = serde_json::to_string(&bed.teleport.request(&asked.id)).unwrap();
        writeln!(timeline, "in Teleport: {listed}").unwrap();
        timeline
    }
}

fn is_about(call: &Call, id: &str, names: &[String]) -> bool {
    let arguments = serde_json::to_string(&call.arguments).unwrap();
    arguments.contains(id) || names.iter().any(|ts| arguments.contains(ts))
}

fn describe_call(call: &Call) -> String {
    let text =
        |name: &str| call.arguments.get(name).map_or(String::new(), |value| format!(" {name}={value}"));
    let arguments_shown: Vec<_> = ["channel", "ts", "thread_ts"].into_iter().map(text).collect();
    let fault = call.fault.as_deref().map_or(String::new(), |fault| format!(" FAULT {fault}"));
    let done = match (call.succeeded(), call.answer.get("ts")) {
        (true, Some(ts)) => format!(" done, ts={ts}"),
        (true, None) => " done".to_owned(),
        (false, _) => format!(" not done {}", call.error().unwrap_or_default()),
    };
    format!("{}{}{fault}{done}", call.method, arguments_shown.concat())
}
