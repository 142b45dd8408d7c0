//! Files on the disk, and the lines that they get.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::{Options, TeleportSim};

use super::*;
use crate::check::output::title;
use crate::check::report::{Report, Status};

struct Folder {
    dir: tempfile::TempDir,
    _sim: TeleportSim,
}

impl Folder {
    /// With an identity as `tctl auth sign` writes it.
    async fn new() -> Self {
        let (dir, sim) = (tempfile::tempdir().unwrap(), TeleportSim::start(Options::golden()).await.unwrap());
        sim.credentials("access-plugin", CertOptions::default()).write_tls_files(dir.path(), "auth").unwrap();
        Self { dir, _sim: sim }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    }

    /// The report about this configuration.
    fn check(&self, config: &str) -> Report {
        self.write("slack.toml", config, 0o600);
        let now = Timestamp::now();
        Report { items: Facts::gather(&self.path("slack.toml"), false, now).items(now) }
    }

    /// The lines that are not well, with their causes, and this folder called `DIR`.
    fn problems(&self, config: &str) -> Vec<String> {
        let report = self.check(config);
        let problems = report.items.iter().filter_map(|item| Some((item, item.problem.as_ref()?)));
        let lines = problems.map(|(item, problem)| {
            let mark = if item.status == Status::Failed { "✗" } else { "!" };
            let line = format!("{mark} {}: {} | {}", item.id.as_str(), title(item), problem.cause);
            assert!(!problem.remedy.is_empty(), "{line}");
            line.replace(self.dir.path().to_str().unwrap(), "DIR")
        });
        lines.collect()
    }
}

const TELEPORT: &str = "[teleport]\naddr = \"auth.corp.net\"\nclient_key = \"auth.key\"\nclient_crt = \"auth.crt\"\nroot_cas = \"auth.cas\"\n";
const SLACK: &str = "[slack]\ntoken = \"xoxb-1234\"\nrecipients = [\"team\"]\n";

#[tokio::test]
async fn a_sound_set_up_has_a_line_for_each_item_and_none_is_a_problem() {
    let folder = Folder::new().await;
    let token = folder.write("token", "xapp-1-A1-2\n", 0o600);
    let review = format!(
        "[role_to_recipients]\ndba = [\"team\", \"U1BOB\"]\n[review]\nenabled = true\napp_token = \"{token}\"\n\
         [review.users]\nU1BOB = \"bob\"\n[[review.rule]]\nroles = \"dba\"\napprovers = \"bob\"\n"
    );
    let report = folder.check(&format!("{TELEPORT}{SLACK}{review}"));
    assert_eq!(report.count(Status::Ok), report.items.len(), "{:#?}", report.items);
    let offline = ItemId::ALL.into_iter().take_while(|id| *id <= ItemId::InForce);
    for id in offline {
        let looked_at = report.items.iter().any(|item| item.id == id);
        assert!(looked_at, "{} was not looked at", id.as_str());
    }
    let last = report.items.last().unwrap();
    assert_eq!(title(last), "2 recipients, 1 role mapped, 1 rule, Socket Mode");
    assert_eq!(report.exit(true), None);
}

#[tokio::test]
async fn several_faults_are_all_shown() {
    let folder = Folder::new().await;
    fs::remove_file(folder.path("auth.cas")).unwrap();
    let open = folder.write("token", "xoxb-1234", 0o644);
    let config = TELEPORT.replace("auth.corp.net", "auth:x").replace("addr", "addr2 = 1\naddr")
        + &SLACK.replace("xoxb-1234", &open)
        + "[role_to_recipients]\n\"*\" = \"a\"\n\"?*\" = \"b\"\n[log]\noutput = \"none/such.log\"\n";
    insta::assert_debug_snapshot!(folder.problems(&config), @r#"
    [
        "✗ config-keys: teleport.addr2: line 2 | there is no such key",
        "✗ config-values: teleport.addr: line 3 | \"auth:x\" is no address: the port must be a number between 1 and 65535",
        "! file-access: slack.token: line 8 | the file \"DIR/token\" can be read by others",
        "✗ log-file: log.output | cannot open the log file DIR/none/such.log: No such file or directory (os error 2)",
        "✗ identity: cannot be used | cannot read DIR/auth.cas: No such file or directory (os error 2)",
        "! notification-rules: role_to_recipients.\"*\" | \"*\" is for roles without another entry, and \"?*\" is for every role",
    ]
    "#);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_no_mistake_in_the_configuration() {
    let folder = Folder::new().await;
    let config = TELEPORT.to_owned() + &SLACK.replace("xoxb-1234", folder.path("none").to_str().unwrap());
    let problems = folder.problems(&config);
    assert!(problems[0].starts_with("✗ secret-files: slack.token"), "{problems:?}");
    assert_eq!(
        problems[1..],
        [
            "! in-force: not looked at | a file that the configuration names cannot be used, so this is not known"
        ]
    );
    let facts = |path: &str| Facts::gather(&folder.path(path), false, Timestamp::now());
    let (exit, cause) = facts("slack.toml").obstacle();
    assert_eq!((exit, cause), (Exit::Credentials, "a file that the configuration names cannot be used"));
    let (exit, cause) = facts("none.toml").obstacle();
    assert_eq!((exit, cause), (Exit::Configuration, "the configuration cannot be read"));
    folder.write("slack.toml", "[teleport]\n", 0o600);
    let (exit, cause) = facts("slack.toml").obstacle();
    assert_eq!((exit, cause), (Exit::Configuration, "the configuration is not valid"));
    let said = crate::check::online::unasked(facts("slack.toml").obstacle());
    assert!(
        said.iter().all(|item| item
            .problem
            .as_ref()
            .unwrap()
            .cause
            .starts_with("the configuration is not valid, so"))
    );
}

#[tokio::test]
async fn what_a_mistake_hides_is_said_to_be_hidden() {
    let folder = Folder::new().await;
    insta::assert_debug_snapshot!(folder.problems("[teleport]\naddr = auth\n"), @r#"
    [
        "✗ config-keys: line 2 | not valid TOML, column 8: string values must be quoted, expected literal string",
        "! config-values: not looked at | there are mistakes in the file, so what it says is not known",
        "! secret-files: not looked at | there are mistakes in the file, so what it says is not known",
        "! file-access: not looked at | there are mistakes in the file, so what it says is not known",
        "! placeholders: not looked at | there are mistakes in the file, so what it says is not known",
        "! log-file: not looked at | there are mistakes in [log], so what it says is not known",
        "! identity: not looked at | there are mistakes in [teleport], so what it says is not known",
        "! callback-tls: not looked at | there are mistakes in [review] and [http], so what it says is not known",
        "! notification-rules: not looked at | there are mistakes in [role_to_recipients], so what it says is not known",
        "! review-rules: not looked at | there are mistakes in [review], so what it says is not known",
        "! in-force: not looked at | there are mistakes in the configuration, so what it says is not known",
    ]
    "#);
    let review = "[review]\nenabled = true\nmode = \"x\"\napp_token = \"xapp-1-A1-2\"\nallow_email_username_match = true\n";
    insta::assert_debug_snapshot!(folder.problems(&format!("{TELEPORT}{SLACK}{review}")), @r#"
    [
        "✗ config-values: review.mode: line 11 | \"x\" is not one of its values",
        "! callback-tls: not looked at | there are mistakes in [review] and [http], so what it says is not known",
        "! review-rules: not looked at | there are mistakes in [review], so what it says is not known",
        "! in-force: not looked at | there are mistakes in the configuration, so what it says is not known",
    ]
    "#);
}

#[tokio::test]
async fn the_configuration_itself_may_be_missing_or_no_file() {
    let folder = Folder::new().await;
    let lines = |name: &str| {
        let now = Timestamp::now();
        let items = Facts::gather(&folder.path(name), false, now).items(now);
        let [item] = items.as_slice() else { panic!("{items:?}") };
        let problem = item.problem.clone().unwrap();
        let line = format!("{} {} | {}", problem.exit.code(), problem.cause, problem.remedy);
        line.replace(folder.dir.path().to_str().unwrap(), "DIR")
    };
    fs::create_dir(folder.path("dir")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
    fs::write(folder.path("bytes"), b"a = 1\nb = \xff\n").unwrap();
    fs::write(folder.path("huge"), " ".repeat(1_100_000)).unwrap();
    let all = ["none", "dir", "pipe", "bytes", "huge"].map(lines);
    insta::assert_debug_snapshot!(all, @r#"
    [
        "78 there is no configuration file DIR/none | make one with `teleport-slack configure > teleport-slack.toml`, edit it, and name it with -c or move it there",
        "78 the configuration file DIR/dir cannot be read: Is a directory (os error 21) | it must be a regular file of text",
        "78 the configuration file DIR/pipe cannot be read: it is a named pipe, and a regular file is wanted | it must be a regular file of text",
        "78 the configuration file DIR/bytes is not UTF-8 text: there is the byte 0xFF in line 2, column 5 | save the file as UTF-8",
        "78 the configuration file DIR/huge is larger than 1 MiB | is it the right file?",
    ]
    "#);
}
