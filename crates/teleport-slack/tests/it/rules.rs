//! The rules of `ARCHITECTURE.md` that only the source text can show. Each failure names the file and the rule.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use access_core::domain::secret::Secret;
use teleport_slack::config;

/// The most lines a production file may have.
const MAX_LINES: usize = 500;

/// The folder of the repository.
pub(crate) fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file of the repository.
pub(crate) struct Source {
    /// From the root on, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All files below a folder, by path.
fn files_below(folder: &str) -> Vec<Source> {
    let root = repository_root();
    let mut folders = vec![root.join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read(&path).unwrap();
            let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            files.push(Source { path, text: String::from_utf8_lossy(&text).into_owned() });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The Rust files of one crate's `src` that are part of what is built: no tests, nothing generated.
pub(crate) fn production(krate: &str) -> Vec<Source> {
    let mut sources = files_below(&format!("crates/{krate}/src"));
    sources.retain(|source| source.path.ends_with(".rs") && !source.path.contains("/generated/"));
    let tests: BTreeSet<_> = sources.iter().flat_map(test_modules).collect();
    let is_test = |path: &str| {
        let stem = path.trim_end_matches(".rs");
        tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")))
    };
    sources.retain(|source| !is_test(&source.path));
    assert!(sources.len() > 1 || krate == "teleport-proto", "{krate} has no sources");
    sources
}

/// The names of all our crates.
fn crates() -> Vec<String> {
    let folders = std::fs::read_dir(repository_root().join("crates")).unwrap();
    folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn all_production() -> Vec<Source> {
    crates().iter().flat_map(|krate| production(krate)).collect()
}

/// The paths, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(source: &Source) -> Vec<String> {
    let path = Path::new(&source.path);
    let folder = match path.file_stem().and_then(|stem| stem.to_str()).unwrap() {
        "mod" | "lib" | "main" => path.parent().unwrap().to_owned(),
        stem => path.parent().unwrap().join(stem),
    };
    let lines: Vec<_> = source.text.lines().map(str::trim).collect();
    let declared = lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'));
    declared.map(|name| format!("{}/{name}", folder.display())).collect()
}

impl Source {
    /// The lines above the tests at its end.
    pub(crate) fn production_lines(&self) -> impl Iterator<Item = &str> {
        let end = self.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..end].lines()
    }

    /// The same without comments.
    fn code(&self) -> String {
        let code = self.production_lines().filter(|line| !line.trim_start().starts_with("//"));
        code.collect::<Vec<_>>().join("\n")
    }
}

/// Whether a text has a word that is not the end of a longer one: `tonic`, but not as in `monotonic`.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !word.starts_with(is_part) || !code[..at].ends_with(is_part))
}

/// None of these words may be in the code of these files.
fn assert_none(sources: &[Source], words: &[&str], rule: &str) {
    for source in sources {
        let code = source.code();
        for word in words {
            assert!(!has_word(&code, word), "{} has {word:?}: {rule}", source.path);
        }
    }
}

/// The files of the daemon that are not in this folder of it.
fn all_outside(folder: &str) -> Vec<Source> {
    let mut sources = production("teleport-slack");
    let before = sources.len();
    sources.retain(|source| !source.path.starts_with(&format!("crates/teleport-slack/src/{folder}/")));
    assert!(sources.len() < before, "there is no folder {folder}");
    sources
}

#[test]
fn no_production_file_is_too_long() {
    for source in all_production() {
        let lines = source.production_lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; find the seam and split it", source.path);
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in all_production() {
        assert!(source.text.starts_with("//!"), "{} does not begin with //!", source.path);
    }
}

#[test]
fn the_core_has_no_clock_no_network_no_files_and_does_not_wait() {
    let words = [
        "tokio",
        "async ",
        ".await",
        "std::fs",
        "std::io",
        "std::env",
        "std::thread",
        "std::process",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "Zoned::now",
        "fastrand",
    ];
    assert_none(
        &production("access-core"),
        &words,
        "access-core decides; facts, time and chance are arguments",
    );
    let manifest = std::fs::read_to_string(repository_root().join("crates/access-core/Cargo.toml")).unwrap();
    for word in ["tokio", "futures", "hyper", "tonic", "rand"] {
        assert!(!manifest.contains(word), "access-core depends on {word}");
    }
}

#[test]
fn only_one_folder_knows_each_sides_wire_format() {
    assert_none(&all_outside("http"), &["axum::"], "only src/http listens for callbacks");
    let families =
        ["auth.test", "chat.", "users.", "conversations.", "views.", "usergroups.", "bots.", "apps."];
    let methods = families.map(|name| format!("\"{name}"));
    let methods: Vec<_> = methods.iter().map(String::as_str).collect();
    assert_none(&production("teleport-slack"), &methods, "only slack-client knows Slack's methods");
}

#[test]
fn clients_do_not_know_what_the_daemon_calls_its_settings() {
    let keys = [
        "slack.token",
        "slack.api_url",
        "review.app_token",
        "review.signing_secret",
        "[review",
        "[http]",
        "client_key names",
        "client_crt names",
        "in the configuration",
        "bug in teleport-slack",
    ];
    for krate in ["client-base", "slack-client", "teleport-client"] {
        assert_none(
            &production(krate),
            &keys,
            "a client's remedies name no key; `config/setting_names.rs` does",
        );
    }
}

/// What a crate's manifest names above its dependencies for tests.
fn dependencies(krate: &str) -> BTreeSet<String> {
    let manifest = repository_root().join(format!("crates/{krate}/Cargo.toml"));
    let manifest: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

#[test]
fn each_foreign_protocol_is_known_to_one_client() {
    let users = |names: &[&str]| {
        let all = crates().into_iter().filter(|krate| krate != "access-sim");
        all.filter(|krate| names.iter().any(|name| dependencies(krate).contains(*name)))
            .collect::<BTreeSet<_>>()
    };
    let grpc = ["tonic", "prost", "prost-types", "teleport-proto"];
    assert_eq!(users(&grpc), ["teleport-client", "teleport-proto"].map(str::to_owned).into());
    assert_eq!(users(&["hyper-rustls"]), ["slack-client"].map(str::to_owned).into());
    // Socket Mode, and upgraded connections to a Teleport proxy.
    let websocket = ["slack-client", "teleport-client"].map(str::to_owned).into();
    assert_eq!(users(&["tokio-tungstenite"]), websocket);
    for (krate, ours) in [
        ("client-base", [].as_slice()),
        ("slack-client", &["access-core", "client-base"]),
        ("teleport-client", &["access-core", "client-base", "teleport-proto"]),
    ] {
        let mut known = dependencies(krate);
        known.retain(|name| crates().contains(name));
        assert_eq!(known, ours.iter().map(|name| (*name).to_owned()).collect(), "{krate}");
        for name in ["axum", "prometheus-client", "toml"] {
            assert!(!dependencies(krate).contains(name), "{krate} depends on {name}");
        }
    }
}

/// The file that gives each of Slack's error codes its meaning.
const ERROR_CODES: &str = "crates/slack-client/src/error_codes.rs";

/// Words that are no codes here: a field of a channel object, and a label of ours.
const WORDS_LIKE_CODES: [(&str, &str); 2] = [
    ("crates/slack-client/src/objects.rs", "is_archived"),
    ("crates/teleport-slack/src/observe/metrics/labels.rs", "rate_limited"),
];

/// The codes of the table: its texts without spaces.
fn slack_error_codes() -> BTreeSet<String> {
    let table = std::fs::read_to_string(repository_root().join(ERROR_CODES)).unwrap();
    let table = Source { path: ERROR_CODES.into(), text: table }.code();
    let is_code = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    table.split('"').skip(1).step_by(2).filter(is_code).map(str::to_owned).collect()
}

/// Each code that one of these files spells.
fn stray_error_codes(sources: &[Source], codes: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.path != ERROR_CODES) {
        let code = source.code();
        let spelled = codes.iter().filter(|name| code.contains(&format!("\"{name}\"")));
        let is_other = |name: &&String| WORDS_LIKE_CODES.contains(&(source.path.as_str(), name.as_str()));
        found.extend(spelled.filter(|name| !is_other(name)).map(|name| {
            format!("{} spells {name:?}; ask SlackError, which asks error_codes.rs", source.path)
        }));
    }
    found
}

#[test]
fn only_one_table_spells_slacks_error_codes() {
    let codes = slack_error_codes();
    assert!(codes.len() > 100 && codes.contains("not_in_channel"), "{codes:?}");
    let mut sources = all_production();
    sources.retain(|source| !source.path.starts_with("crates/access-sim/"));
    assert_eq!(stray_error_codes(&sources, &codes), [""; 0]);
}

#[test]
fn one_stray_error_code_is_found() {
    let text = "fn f(error: &SlackError) -> bool {\n    error.code() == Some(\"is_archived\")\n}\n";
    let sources = ["crates/teleport-slack/src/causes.rs", WORDS_LIKE_CODES[0].0]
        .map(|path| Source { path: path.into(), text: text.into() });
    let found = stray_error_codes(&sources, &slack_error_codes());
    let expected = "crates/teleport-slack/src/causes.rs spells \"is_archived\"; ask SlackError, which asks error_codes.rs";
    assert_eq!(found, [expected]);
}

#[test]
fn the_simulators_do_not_know_the_daemon() {
    let words = ["access_core", "teleport_slack", "access-core", "teleport-slack ="];
    for source in files_below("crates/access-sim") {
        let is_ours = source.path.ends_with(".rs") || source.path.ends_with("Cargo.toml");
        for word in words.iter().filter(|_| is_ours) {
            assert!(!source.text.contains(word), "{} names {word}: it would share its mistakes", source.path);
        }
    }
}

/// Where tasks and threads are started, and who ends them.
const SPAWNERS: [(&str, &str); 17] = [
    ("slack-client/src/socket_mode/dispatch.rs", "the tracker of Socket Mode"),
    ("teleport-slack/src/supervise/tasks.rs", "the set of long-lived tasks"),
    ("teleport-slack/src/supervise/worker_pool.rs", "the pool itself"),
    ("teleport-slack/src/http/interactivity.rs", "a pool"),
    ("teleport-slack/src/http/server.rs", "a pool"),
    ("teleport-slack/src/controller/mod.rs", "a map by request, drained at the stop"),
    ("teleport-slack/src/controller/recipient_lookup.rs", "a set that is dropped with its request"),
    ("teleport-slack/src/observe/sink.rs", "the log's thread, awaited by its guard"),
    // Reads of files that may hang; nothing depends on their end.
    ("teleport-slack/src/app/identity_reloader.rs", "a read, awaited"),
    ("teleport-slack/src/app/reading.rs", "a read, awaited"),
    ("teleport-slack/src/app/reload.rs", "a read, awaited"),
    ("teleport-slack/src/app/running.rs", "a read, awaited"),
    ("teleport-slack/src/app/startup.rs", "a read, awaited"),
    ("teleport-slack/src/app/token_reloader.rs", "a read, awaited"),
    ("teleport-slack/src/http/certificates.rs", "a read, awaited"),
    ("teleport-slack/src/observe/file_watch.rs", "a read, awaited"),
    ("teleport-slack/src/cli/start.rs", "reads of the configuration and the log's file"),
];

#[test]
fn every_task_has_an_owner() {
    let mut found = BTreeSet::new();
    // The simulators have a tracker of their own.
    for source in all_production().iter().filter(|source| !source.path.contains("/access-sim/")) {
        let code = source.code();
        if ["spawn(", "spawn_blocking(", "spawn_local("].iter().any(|word| code.contains(word)) {
            let known = SPAWNERS.iter().find(|(path, _)| source.path == format!("crates/{path}"));
            let Some((path, _)) = known else {
                panic!("{} starts a task: let supervise/ or a client's tracker own it", source.path)
            };
            found.insert(path);
        }
    }
    for (path, owner) in &SPAWNERS {
        assert!(found.contains(path), "{path} starts no task any more ({owner})");
    }
}

#[test]
fn nothing_ends_the_process_but_the_end_of_main() {
    let words = [concat!("process", "::exit"), concat!("process", "::abort"), concat!("exit", "(0)")];
    for source in files_below("crates").iter().filter(|source| source.path.ends_with(".rs")) {
        for word in words {
            assert!(!source.text.contains(word), "{} has {word}", source.path);
        }
    }
}

#[test]
fn tests_wait_for_conditions_and_none_is_left_out() {
    let words = [concat!("#[", "ignore"), concat!("sle", "ep("), concat!("sleep_", "until(")];
    for source in files_below("crates/teleport-slack/tests/it") {
        // The faults of a random schedule last as long as it says.
        let refused = if source.path.contains("/it/chaos/") { &words[..1] } else { &words[..] };
        for word in refused {
            assert!(!source.text.contains(word), "{} has {word}; wait with bed.until", source.path);
        }
    }
}

/// A reader that stops early ends the writer before it by SIGPIPE, and `pipefail` makes a failure of that, now and then.
#[test]
fn scripts_read_a_pipe_to_its_end() {
    let is_reader_that_stops = |command: &str| {
        let mut words = command.split_whitespace();
        let name = words.next().unwrap_or_default();
        let options = words.take_while(|word| word.starts_with('-'));
        let may_stop = |word: &str| !word.starts_with("--") && word.contains(['q', 'm']);
        name == "head" || (name == "grep" && options.into_iter().any(may_stop))
    };
    assert!(is_reader_that_stops(" head -n 1") && is_reader_that_stops(" grep -qF -- x"));
    assert!(!is_reader_that_stops(" sed -n 1p") && !is_reader_that_stops(" grep -F --line-buffered x"));
    let folders = [".ci", "conformance", "findings", "deploy"];
    let mut scripts: Vec<_> = folders.into_iter().flat_map(files_below).collect();
    scripts
        .retain(|source| source.text.starts_with("#!/usr/bin/env bash") && source.text.contains("pipefail"));
    assert!(scripts.len() > 5, "the scripts are elsewhere now");
    for script in scripts {
        for line in script.text.lines() {
            let stops = line.split('|').skip(1).any(is_reader_that_stops);
            assert!(
                !stops,
                "{} stops reading a pipe early; use `sed -n 1p` or `grep >/dev/null`: {line}",
                script.path
            );
        }
    }
}

#[test]
fn the_readmes_configuration_is_accepted() {
    let readme = std::fs::read_to_string(repository_root().join("README.md")).unwrap();
    let mut blocks = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (Some(block), None) = (blocks.next(), blocks.next()) else { panic!("one TOML block was expected") };
    let token = |path: &Path| match path.to_str() {
        Some("/var/lib/teleport/plugins/slack/token") => {
            Ok(config::TokenFile { text: Secret::new("xoxb-1-2-abc"), permissions: None })
        }
        _ => Err(ErrorKind::NotFound.into()),
    };
    let loaded = config::parse(block, Path::new("/etc/teleport-slack.toml"), &token)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.rules().by_role.len(), 1);
}

/// `tctl create` of Teleport 15 refuses a user whose role is not there yet, and creates nothing of the file.
#[test]
fn every_role_is_created_before_a_user_who_has_it() {
    let readme = std::fs::read_to_string(repository_root().join("README.md")).unwrap();
    let mut sources = files_below("docs");
    sources.extend(files_below("crates/teleport-slack/src"));
    sources.push(Source { path: "README.md".into(), text: readme });
    let kinds = [concat!("kind: ", "role\n"), concat!("kind: ", "user\n")];
    let mut found = 0;
    for source in sources {
        if let [Some(role), Some(user)] = kinds.map(|kind| source.text.find(kind)) {
            assert!(role < user, "{} creates the user first", source.path);
            found += 1;
        }
    }
    assert!(found > 0, "no file shows how to create them");
}

#[test]
fn the_unit_does_not_run_as_root_and_its_user_gets_each_file() {
    let [readme, unit] = ["README.md", "deploy/teleport-slack.service"]
        .map(|path| std::fs::read_to_string(repository_root().join(path)).unwrap());
    let block =
        |kind: &str| readme.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
    let user = value("User");
    assert!(user != "root" && !user.is_empty());
    for (key, expected) in [
        // What only another configuration or file helps against is not started again and again.
        ("RestartPreventExitStatus", "2 77 78"),
        ("Type", "notify"),
        ("LimitCORE", "0"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ] {
        assert_eq!(value(key), expected, "{key}");
    }
    // The check comes first, so that what it finds fails the reload.
    let reloads: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
    let check = value("ExecStart").replace(" start ", " check --offline ");
    assert_eq!(reloads, [check.as_str(), "/bin/kill -HUP $MAINPID"]);
    let patience: u64 = value("TimeoutStopSec").parse().unwrap();
    let longest = teleport_slack::app::timings::Timings::default().longest_stop();
    assert!(longest.as_secs() < patience, "a stop would be cut short");
    // What is handed to that user, against what the daemon reads.
    let handed: Vec<_> = readme
        .lines()
        .filter(|line| line.contains(&format!("root:{user} ")))
        .flat_map(str::split_whitespace)
        .collect();
    let config = value("ExecStart").split_once("--config=").unwrap().1;
    let quoted = block("toml").split('"').skip(1).step_by(2);
    for path in quoted.filter(|word| word.starts_with('/')).chain([config]) {
        let is_handed =
            handed.iter().any(|given| given.starts_with('/') && Path::new(path).starts_with(given));
        assert!(is_handed, "{path} is not handed to {user}");
    }
}

/// Words in back-ticks and the targets of links that have the form of a file's path and one of these ends.
fn paths_named_in<'a>(text: &'a str, ends: &[&str]) -> BTreeSet<&'a str> {
    let ticked = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_path = |word: &&str| {
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        is_plain && ends.iter().any(|end| word.ends_with(end))
    };
    ticked.chain(linked).map(|word| word.trim_start_matches("../")).filter(is_path).collect()
}

#[test]
fn the_documents_name_only_files_that_exist() {
    let root = repository_root();
    let mut known: BTreeSet<_> = ["crates", "docs", "changelog.d", ".cargo"]
        .into_iter()
        .flat_map(files_below)
        .map(|source| source.path)
        .collect();
    for entry in std::fs::read_dir(&root).unwrap() {
        let entry = entry.unwrap();
        let end = if entry.path().is_dir() { "/" } else { "" };
        known.insert(format!("{}{end}", entry.file_name().to_str().unwrap()));
    }
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|path| {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        Source { path: path.into(), text }
    });
    let mut named = 0;
    for document in files_below("docs").into_iter().chain(files_below("changelog.d")).chain(top) {
        // The other documents name files of an operator's machine, too.
        let ends: &[_] = match document.path.as_str() {
            "ARCHITECTURE.md" | "CONTRIBUTING.md" => &[".rs", ".md", ".toml", "/"],
            _ => &[".rs", ".md"],
        };
        for path in paths_named_in(&document.text, ends) {
            named += 1;
            let found = known.iter().any(|file| match path.strip_suffix('/') {
                Some(folder) => format!("/{file}").contains(&format!("/{folder}/")),
                None => format!("/{file}").ends_with(&format!("/{path}")),
            });
            assert!(found, "{} names {path}, which does not exist", document.path);
        }
    }
    assert!(named > 60, "only {named} paths were found in the documents");
}
