//! The README's set-up, each command in its order, on a machine with nothing of it: a folder stands for the root of the file
//! system, small scripts for `sudo`, `tctl` and the like, and `demo --sandbox` for Teleport and Slack.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use access_sim::teleport::fixture::Fixture;
use access_sim::teleport::{Options, ServerVersion};

use crate::demo::Sandbox;
use crate::harness::*;
use crate::rules::repository_root;

/// What a reader does, in the README's order.
enum Step {
    /// Saves the configuration.
    Save(String),
    /// Types a command.
    Run(String),
}

/// The steps of the section "Set it up".
fn steps(readme: &str) -> Vec<Step> {
    let section = readme.split("\n## Set it up\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut steps = Vec::new();
    for block in section.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        match kind {
            "toml" => steps.push(Step::Save(text.to_owned())),
            "console" => {
                let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
                steps.extend(commands.map(|command| Step::Run(command.to_owned())));
            }
            other => panic!("a block of {other}"),
        }
    }
    steps
}

/// An empty machine.
struct Machine {
    root: PathBuf,
    sandbox: PathBuf,
    /// The lines that the sandbox prints to be written into the configuration.
    addr: String,
    api_url: String,
}

/// Programs that need a real machine, or Teleport. The rest is the machine's own.
const STAND_INS: [(&str, &str); 8] = [
    ("home/.ci/release", "exit 0"),
    ("home/.ci/build-deb", "mkdir -p target/dist && : >target/dist/teleport-slack_0.1.0-1_amd64.deb"),
    // What of the package matters here: the program, and the folder for keys and tokens.
    (
        "bin/apt",
        r#"[ "$1" = install ] && [ -f "$2" ] && mkdir -p ../var/lib/teleport/plugins/slack &&
ln -s "$PROGRAM" ../usr/local/bin/teleport-slack"#,
    ),
    ("bin/chown", "exit 0"),
    ("bin/systemctl", "exit 0"),
    (
        "bin/sudo",
        r#"[ "$1" = -u ] && shift 2
exec "$@""#,
    ),
    ("bin/sudoedit", r#"cp "$SANDBOX/${1##*/}" "$1""#),
    (
        "bin/tctl",
        r#"case "$1 $2" in
  "create -f") grep -q '^kind: role$' "$3" ;;
  "auth sign") cp "$SANDBOX/auth.crt" "$SANDBOX/auth.key" "$SANDBOX/auth.cas" . ;;
  *) exit 2 ;;
esac"#,
    ),
];

impl Machine {
    async fn new(dir: &Path) -> (Self, Sandbox) {
        let (root, sandbox) = (dir.join("root"), dir.join("sandbox"));
        let running = Sandbox::start(&sandbox).await;
        let printed = running.process.log();
        let printed = |key: &str| {
            printed.split(&format!("{key} = ")).nth(1).unwrap().lines().next().unwrap().to_owned()
        };
        for folder in ["bin", "etc", "usr/local/bin", "var/lib", "home/.ci"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (name, script) in STAND_INS {
            let path = root.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Self { root, sandbox, addr: printed("addr"), api_url: printed("api_url") };
        (machine, running)
    }

    /// The text with this machine's paths.
    fn here(&self, text: &str) -> String {
        let root = self.root.display();
        let mut text = text.to_owned();
        for folder in ["/etc/", "/var/lib/", "/usr/local/bin/"] {
            text = text.replace(folder, &format!("{root}{folder}"));
        }
        let reads_default = ["check", "check --strict", "start"]
            .iter()
            .any(|name| text.ends_with(&format!("teleport-slack {name}")));
        if reads_default {
            text += &format!(" -c {root}/etc/teleport-slack.toml");
        }
        text
    }

    /// Saves a configuration with what the sandbox prints.
    fn save(&self, path: &str, config: &str) {
        let config = self.here(config).replace("\"auth.example.com:3025\"", &self.addr);
        let config = config.replace("[slack]\n", &format!("[slack]\napi_url = {}\n", self.api_url));
        fs::write(self.root.join(path), config).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        let path = format!("{0}/usr/local/bin:{0}/bin:/usr/bin:/bin", self.root.display());
        let line = format!("set -euo pipefail\n{}", self.here(line));
        command
            .args(["-c", &line])
            .env_clear()
            .env("PATH", path)
            .env("SANDBOX", &self.sandbox)
            .env("PROGRAM", program());
        command.current_dir(self.root.join("home"));
        command
    }

    /// Runs a command; returns its exit status and what it prints.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let out = self.command(line).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8(text).unwrap())
    }

    /// Runs a check that finds nothing, not even something to look at.
    fn assert_green(&self, line: &str) -> String {
        let (status, text) = self.run(&format!("{line} --strict"));
        assert_eq!(status, Some(0), "{text}");
        assert!(!text.contains('✗') && !text.contains("\n! "), "{text}");
        text
    }

    /// Starts the daemon, asks for access, and waits until Slack shows it.
    async fn deliver(&self, sandbox: &Sandbox, line: &str) -> Daemon {
        let daemon = Daemon::run(&mut self.command(&format!("exec {line}")), "");
        daemon.until_logged("Ready").await;
        let id = sandbox.create_request("by the book").await;
        sandbox.until_status(&daemon, &id, "⏳ PENDING").await;
        daemon
    }
}

/// Who cannot use it learns so before doing anything.
#[test]
fn the_limits_stand_before_the_first_command() {
    let readme = fs::read_to_string(repository_root().join("README.md")).unwrap();
    let section = readme.split("\n## Set it up\n").nth(1).unwrap();
    let (limits, _) = section.split_once("\n```").unwrap();
    let tried = [ServerVersion::V6, ServerVersion::V15, ServerVersion::V15_3]
        .map(|version| Options::new(version, Fixture::golden()).reported_version);
    let words =
        ["port 3025", "Teleport's proxy", "Teleport Cloud could not be tried", "of release 6.1 or later"];
    for words in words.into_iter().chain(tried.iter().map(String::as_str)) {
        assert!(limits.contains(words), "{words}: {limits}");
    }
    let (_, steps) = section.split_once("\n**1. ").unwrap();
    assert!(!steps.contains("could not be tried"), "a limit after the first step");
}

#[test]
fn the_readme_leads_from_nothing_to_a_message() {
    run_test(async {
        let dir = tempfile::tempdir().unwrap();
        let (machine, sandbox) = Machine::new(dir.path()).await;
        let readme = fs::read_to_string(repository_root().join("README.md")).unwrap();
        let (mut green, mut delivered) = (0, 0);
        for step in steps(&readme) {
            let line = match step {
                Step::Save(config) => {
                    machine.save("home/teleport-slack.toml", &config);
                    // What is missing so far has a name.
                    let (status, text) = machine.run("teleport-slack check -c teleport-slack.toml");
                    assert_eq!(status, Some(77), "{text}");
                    for words in ["✗ secret-files: slack.token", "✗ identity: cannot be used", "auth.key"]
                    {
                        assert!(text.contains(words), "{words}\n{text}");
                    }
                    continue;
                }
                Step::Run(line) => line,
            };
            if line.ends_with("teleport-slack check") {
                machine.assert_green(&line);
                green += 1;
            } else if line.ends_with("teleport-slack start") {
                machine.deliver(&sandbox, &line).await.stop().await;
                delivered += 1;
            } else {
                let (status, text) = machine.run(&line);
                assert_eq!(status, Some(0), "{line}\n{text}");
            }
        }
        assert_eq!((green, delivered), (1, 1), "the README does not check and start");
        let [access, app] = ["access.yaml", "app.yaml"]
            .map(|name| fs::read_to_string(machine.root.join("home").join(name)).unwrap());
        assert!(access.contains("kind: user") && app.contains("bot_optional"), "{access}{app}");

        // The other configuration, on the same machine.
        machine.save(
            "etc/teleport-slack.toml",
            &fs::read_to_string(repository_root().join("deploy/deciding.toml")).unwrap(),
        );
        let config = "/etc/teleport-slack.toml";
        let (_, text) = machine.run("teleport-slack check");
        assert!(text.contains("✗ secret-files: review.app_token"), "{text}");
        assert_eq!(machine.run("sudoedit /var/lib/teleport/plugins/slack/app_token").0, Some(0));
        let text = machine.assert_green("teleport-slack check");
        assert!(text.contains("in-force: 3 recipients, 1 role mapped, 3 rules, Socket Mode"), "{text}");
        let (_, access) = machine.run(&format!("teleport-slack resources -c {config}"));
        assert!(access.contains("verbs: ['list', 'read', 'update']"), "{access}");
        let (_, app) = machine.run(&format!("teleport-slack manifest -c {config}"));
        assert!(app.contains("socket_mode_enabled: true"), "{app}");
        assert!(
            !sandbox.state().await.contains("\"action_id\":\"approve\""),
            "the first message has buttons"
        );
        let daemon = machine.deliver(&sandbox, "teleport-slack start").await;
        assert!(sandbox.state().await.contains("\"action_id\":\"approve\""), "{}", daemon.log());
        daemon.stop().await;
        sandbox.process.stop().await;
    });
}
