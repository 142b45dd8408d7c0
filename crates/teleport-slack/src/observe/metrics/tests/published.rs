//! What is published about the metrics, against what there is: the documents, the alerts and the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use super::*;

/// The metric of a sample's name: the samples of a histogram have suffixes.
fn metric(name: &str) -> &str {
    let base = |suffix| name.strip_suffix(suffix).filter(|base| base.ends_with("_seconds"));
    ["_bucket", "_sum", "_count"].into_iter().find_map(base).unwrap_or(name)
}

/// The series that a document names, as written there.
fn series_in(document: &str) -> impl Iterator<Item = &str> {
    let ours = document.match_indices("teleport_slack_");
    // Not part of a longer word.
    let is_word =
        |at: usize| !document[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "_:/.".contains(c));
    let of_the_process = document.match_indices("process_").filter(move |(at, _)| is_word(*at));
    ours.chain(of_the_process).map(|(at, _)| {
        let rest = &document[at..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        &rest[..if rest[end..].starts_with('{') { rest.find('}').unwrap() + 1 } else { end }]
    })
}

/// A file of the repository.
fn published(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The files in a folder of the repository whose names end so.
fn files_in(folder: &str, extension: &'static str) -> impl Iterator<Item = PathBuf> {
    let paths = read_dir(published(folder)).unwrap().map(|file| file.unwrap().path());
    paths.filter(move |path| path.extension().is_some_and(|end| end == extension))
}

#[test]
fn the_document_lists_every_name_and_all_that_is_published_asks_for_what_exists() {
    let exported: Vec<_> = CONFIGURATIONS.iter().flat_map(|(_, lines)| samples(&complete(lines))).collect();
    let mut values: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (series, _) in &exported {
        let (name, labels) = parse_series(series);
        names.insert(name);
        for (label, value) in labels {
            values.entry((name, label)).or_default().extend(value);
        }
    }
    let documents = files_in("docs", "md").chain([published("README.md")]);
    let documents = documents.chain(files_in("deploy/prometheus", "yaml")).map(|path| {
        let text = read_to_string(&path).unwrap();
        (path, text)
    });
    let mut asked_for = 0;
    for (path, document) in documents.chain([(published(DASHBOARD), queries().join("\n"))]) {
        for series in series_in(&document) {
            let ((name, labels), page) = (parse_series(series), path.display());
            asked_for += 1;
            let is_histogram = names.contains(format!("{name}_bucket").as_str());
            assert!(names.contains(name) || is_histogram, "{page}: {name} does not exist");
            // Prometheus itself adds these two.
            for (label, asked) in labels.into_iter().filter(|(label, _)| !["job", "instance"].contains(label))
            {
                let known =
                    values.get(&(name, label)).unwrap_or_else(|| panic!("{page}: {name} has no {label}"));
                for value in asked {
                    assert!(known.contains(value), "{page}: {name} has no {label} {value:?}, only {known:?}");
                }
            }
        }
    }
    assert!(asked_for > 150, "only {asked_for} series were found");
    let document = read_to_string(published("docs/metrics.md")).unwrap();
    let documented: BTreeSet<_> = series_in(&document).map(|series| metric(parse_series(series).0)).collect();
    assert_eq!(documented, names.into_iter().map(metric).collect());
}

const DASHBOARD: &str = "deploy/grafana/teleport-slack.json";

/// The queries of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read_to_string(published(DASHBOARD)).unwrap()).unwrap();
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let targets = list(&dashboard["panels"]).into_iter().flat_map(|panel| list(&panel["targets"]));
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_query_of_the_dashboard_asks_for_a_metric_of_the_chosen_job() {
    let queries = queries();
    assert!(queries.len() > 20, "{queries:?}");
    for query in queries {
        let asked: Vec<_> = series_in(&query).filter(|series| series.contains('{')).collect();
        assert!(!asked.is_empty() && asked.iter().all(|series| series.contains("job=~\"$job\"")), "{query}");
    }
}

/// A rule of the file, by its keys: `alert`, `expr`, `for`, `severity` and the annotations.
type Alert = BTreeMap<String, String>;

/// The rules of the alert file. This reads what stands in ours, which `promtool` checks: one key on a line, and texts on
/// several lines after `>-`.
fn alerts() -> Vec<Alert> {
    let mut alerts = Vec::<Alert>::new();
    let mut folded: Option<(String, usize)> = None;
    for line in read_to_string(published("deploy/prometheus/alerts.yaml")).unwrap().lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some((key, outer)) = &folded
            && indent > *outer
        {
            let value = alerts.last_mut().unwrap().get_mut(key).unwrap();
            *value = format!("{value} {text}").trim_start().to_owned();
            continue;
        }
        folded = None;
        let key_and_value = text.trim_start_matches("- ").split_once(": ");
        let Some((key, value)) = key_and_value.filter(|_| !text.starts_with('#')) else { continue };
        if key == "alert" {
            alerts.push(Alert::new());
        }
        let Some(alert) = alerts.last_mut() else { continue };
        let is_folded = value == ">-";
        let plain = if is_folded { "" } else { value.trim_matches('\'') };
        assert_eq!(alert.insert(key.to_owned(), plain.to_owned()), None, "{line}");
        folded = is_folded.then(|| (key.to_owned(), indent));
    }
    alerts
}

/// `UPDATE_ALERTS=1` writes the table of the document.
#[test]
fn the_document_has_the_alerts_of_the_file() {
    let mut table = "| alert | condition | it means |\n|---|---|---|\n".to_owned();
    for alert in alerts() {
        let condition = alert["expr"].replace('|', "\\|");
        let hold = alert.get("for").map(|hold| format!(" for {hold}")).unwrap_or_default();
        let (name, severity, meaning) = (&alert["alert"], &alert["severity"], &alert["description"]);
        table += &format!("| `{name}`, {severity} | `{condition}`{hold} | {meaning} |\n");
    }
    let path = published("docs/metrics.md");
    let document = read_to_string(&path).unwrap();
    let start = document.find("| alert | condition |").expect("the document has a table of alerts");
    let end = start + document[start..].find("\n\n").unwrap() + 1;
    if std::env::var_os("UPDATE_ALERTS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &document[..start], &document[end..])).unwrap();
    } else {
        assert_eq!(document[start..end], table, "UPDATE_ALERTS=1 writes the table");
    }
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn each_alert_is_explained_and_fires_in_a_test() {
    let tests = read_to_string(published("deploy/prometheus/alerts.test.yaml")).unwrap();
    let alerts = alerts();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        let name = &alert["alert"];
        assert!(name.starts_with("TeleportSlack"), "{name}");
        let is_fired =
            |line: &str| line.contains(&format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\""));
        assert!(tests.lines().any(is_fired), "{name} fires in no test");
        assert!(["critical", "warning", "info"].contains(&alert["severity"].as_str()), "{name}");
        for text in ["summary", "description"] {
            assert!(alert[text].ends_with('.'), "{name}: {text}");
        }
        let (path, section) = alert["runbook"].split_once('#').unwrap();
        let document = read_to_string(published(path)).unwrap();
        let mut headings = document.lines().filter_map(|line| line.strip_prefix("## "));
        assert!(headings.any(|heading| anchor(heading) == section), "{name}: {path} has no #{section}");
    }
}
