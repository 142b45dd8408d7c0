//! Files that others can read or change are warned of, and the remedy ends the warning and keeps the daemon's user in.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use client_base::folders::{OpenFolder, Trust};

use super::*;
use crate::config::source::Source;

/// Longer than what a message quotes of a value, as the paths of secrets in a pod are.
const LONG: &str = "volumes/kubernetes.io~secret/teleport-slack/..2026_11_28_02_14_09.1234567890/access-requests-in-the-production-cluster/\
                    shared-with-the-platform-team/and-rotated-by-an-operator/every-night-at-two/and-once-more-at-noon/token";

/// A folder with a configuration and every file that it names, and the configuration's path.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(dir.path().join(LONG).parent().unwrap()).unwrap();
    for (name, text) in [
        ("key", ""),
        ("crt", ""),
        ("cas", ""),
        ("https key", ""),
        ("https_crt", ""),
        (LONG, "xoxb-1"),
        ("signing", "0123456789signing"),
    ] {
        std::fs::write(at(name), text).unwrap();
        set(&dir.path().join(name), 0o600);
    }
    let text = format!(
        "[teleport]\naddr = \"a\"\nclient_key = \"key\"\nclient_crt = \"crt\"\nroot_cas = \"cas\"\n[slack]\ntoken = {:?}\n\
         recipients = \"team\"\n[review]\nenabled = true\nsigning_secret = {:?}\nslack_user_id_trait = \"t\"\n[http]\n\
         https_key_file = \"https key\"\nhttps_cert_file = \"https_crt\"\n",
        at(LONG),
        at("signing")
    );
    let config = dir.path().join("c.toml");
    std::fs::write(&config, text).unwrap();
    set(&config, 0o600);
    (dir, config)
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn warned(config: &Path) -> Vec<Diagnostic> {
    load(config).unwrap_or_else(|error| panic!("{error}")).warnings
}

#[test]
fn each_file_is_warned_of_and_the_remedy_ends_it() {
    assert!(LONG.len() > 200);
    let (dir, config) = folder();
    assert_eq!(warned(&config), []);
    for (name, key, held) in [
        ("key", "teleport.client_key", "secret"),
        ("crt", "teleport.client_crt", "trust"),
        ("cas", "teleport.root_cas", "trust"),
        ("https key", "http.https_key_file", "secret"),
        ("https_crt", "http.https_cert_file", "trust"),
        (LONG, "slack.token", "secret"),
        ("signing", "review.signing_secret", "secret"),
        ("c.toml", "", "trust"),
    ] {
        let path = dir.path().join(name);
        for (given, read, change) in [
            (0o600, false, false),
            (0o440, false, false),
            (0o640, false, false),
            (0o644, true, false),
            (0o660, false, true),
            (0o666, true, true),
        ] {
            set(&path, given);
            let found = warned(&config);
            let expected = match (read && held == "secret", change) {
                (false, false) => {
                    assert_eq!(found, [], "{name} {given:o}");
                    continue;
                }
                (true, false) => "can be read by others",
                (false, true) => "can be changed by others",
                (true, true) => "can be read and changed by others",
            };
            let [one] = found.as_slice() else { panic!("{name} {given:o}: {found:?}") };
            assert!(one.key == key && one.cause.ends_with(expected), "{name} {given:o}: {one}");
            // As a shell would run it.
            let command = one.remedy.strip_prefix("run ").unwrap();
            assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
            assert_eq!(warned(&config), [], "{name} {given:o}");
            // The owner and the group read it as before.
            assert_eq!(mode(&path) & 0o440, given & 0o440, "{name} {given:o}");
            set(&path, 0o600);
        }
    }
}

/// Changes a file's access-control list; `false` if this machine or file system has none.
fn set_acl(path: &Path, entries: &str) -> bool {
    let command = Command::new("setfacl").args(["-n", "-m", entries]).arg(path).output();
    command.is_ok_and(|done| done.status.success())
}

fn acl(path: &Path) -> String {
    let shown =
        Command::new("getfacl").args(["--omit-header", "--no-effective", "-n"]).arg(path).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().replace('\n', ",")
}

#[test]
fn an_access_control_list_is_read_and_only_its_writers_lose_that_right() {
    let (dir, config) = folder();
    let path = dir.path().join("key");
    if !set_acl(&path, "u:1001:r--,m::r--") {
        // Past the test runner, which holds back what a test prints that passes; the gate counts it.
        let why = "SKIPPED config::tests::modes::an_access_control_list_is_read_and_only_its_writers_lose_that_right: needs setfacl \
                   and a file system with lists\n";
        return std::io::stderr().write_all(why.as_bytes()).unwrap();
    }
    // The mask is wider than what it masks, or the entries are.
    for harmless in ["u:1001:r--,g::r--,m::rw-", "u:1001:rw-,g::rw-,m::r--"] {
        set(&path, 0o600);
        assert!(set_acl(&path, harmless));
        assert_eq!(warned(&config), [], "{harmless}");
    }
    for (given, cause, command, left) in [
        (
            "u:1001:rw-,u:1002:r--,g::r--,m::rw-,o::---",
            "can be changed by others",
            "setfacl -n -m u:1001:r-- ",
            "user::rw-,user:1001:r--,user:1002:r--,group::r--,mask::rw-,other::---",
        ),
        (
            "u:1001:r--,u:1002:rw-,g::rwx,m::rw-,o::r--",
            "can be read and changed by others",
            "setfacl -n -m u:1002:r--,g::r-x ",
            "user::rw-,user:1001:r--,user:1002:r--,group::r-x,mask::rw-,other::---",
        ),
        (
            "u:1001:r--,u:1002:r--,g::r--,m::r--,o::r--",
            "can be read by others",
            "chmod o-r ",
            "user::rw-,user:1001:r--,user:1002:r--,group::r--,mask::r--,other::---",
        ),
    ] {
        assert!(set_acl(&path, given));
        let found = warned(&config);
        let [one] = found.as_slice() else { panic!("{given}: {found:?}") };
        let remedy = one.remedy.strip_prefix("run ").unwrap();
        assert!(one.cause.ends_with(cause) && remedy.starts_with(command), "{given}: {one}");
        assert!(Command::new("sh").args(["-c", remedy]).status().unwrap().success());
        assert_eq!((warned(&config), acl(&path)), (vec![], left.to_owned()), "{given}");
    }
}

#[test]
fn a_certificate_in_the_place_of_a_key_is_no_secret() {
    let (dir, config) = folder();
    let (crt, key) = ("-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n");
    for name in ["key", "https key"] {
        let path = dir.path().join(name);
        for (text, given, is_warned) in [
            (crt, 0o644, false),
            (crt, 0o666, true),
            (key, 0o644, true),
            (&*format!("{key}{crt}"), 0o644, true),
        ] {
            std::fs::write(&path, text).unwrap();
            set(&path, given);
            let found = warned(&config);
            assert_eq!(found.len(), usize::from(is_warned), "{name} {given:o}: {found:?}");
            assert!(
                text != crt || found.iter().all(|it| it.cause.ends_with("can be changed by others")),
                "{found:?}"
            );
        }
        set(&path, 0o600);
    }
}

#[test]
fn an_identity_file_is_a_secret() {
    let (dir, config) = folder();
    let text = std::fs::read_to_string(&config).unwrap();
    let files = "client_key = \"key\"\nclient_crt = \"crt\"\nroot_cas = \"cas\"";
    std::fs::write(&config, text.replace(files, "identity = \"key\"")).unwrap();
    set(&dir.path().join("key"), 0o644);
    let found = warned(&config);
    assert!(matches!(found.as_slice(), [one] if one.key == "teleport.identity"), "{found:?}");
}

#[test]
fn a_configuration_with_secrets_in_it_is_one() {
    let (dir, config) = folder();
    let text = std::fs::read_to_string(&config).unwrap();
    let at = |name: &str| format!("{:?}", dir.path().join(name).to_str().unwrap());
    std::fs::write(
        &config,
        text.replace(&at(LONG), "\"xoxb-1\"").replace(&at("signing"), "\"0123456789signing\""),
    )
    .unwrap();
    set(&config, 0o644);
    let shown = format!("{config:?}");
    let holds = "and it holds slack.token and review.signing_secret";
    for (given, what, remedy) in [
        (0o644, "read", "chmod o-r"),
        (0o660, "changed", "chmod g-w"),
        (0o666, "read and changed", "chmod g-w,o-rw"),
    ] {
        set(&config, given);
        let expected = format!("the file {shown} can be {what} by others, {holds}; run {remedy} {shown}");
        assert_eq!(warned(&config).iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}

/// One line for each folder, whatever stands in it; the remedy ends it, and the daemon's user still reads all of it.
#[test]
fn a_folder_in_which_others_replace_files_is_warned_of_once() {
    let (dir, config) = folder();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[log]\noutput = \"logs/slack.log\"\n")).unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let above_token = dir.path().join("volumes");
    let keys = "the configuration, teleport.client_key, teleport.client_crt, teleport.root_cas, slack.token, http.https_key_file, \
                http.https_cert_file, review.signing_secret and log.output";
    for (path, named) in [(dir.path(), keys), (&above_token, "slack.token"), (&logs, "log.output")] {
        set(path, 0o755);
        assert_eq!(warned(&config), []);
        set(path, 0o1777);
        assert_eq!(warned(&config), [], "only owners replace what is theirs");
        set(path, 0o757);
        let found = warned(&config);
        let [one] = found.as_slice() else { panic!("{named}: {found:?}") };
        assert_eq!(
            one.to_string(),
            format!(
                "{0}: others can replace what stands in this folder: {named}; run chmod o-w {0:?}",
                path.display()
            )
            .replace(&format!("{:?}", path.display()), &format!("{path:?}"))
        );
        let command = one.remedy.strip_prefix("run ").unwrap();
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
        assert_eq!((warned(&config), mode(path)), (vec![], 0o755));
    }
}

#[test]
fn of_a_folder_with_the_log_and_more_the_stricter_command_is_said() {
    let text = with("[log]\noutput = \"/a/slack.log\"");
    let source = Source {
        path: Path::new("/a/c.toml"),
        permissions: None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        without_secrets: false,
        read_certificates: &|_| Err(std::io::ErrorKind::NotFound.into()),
        environment: &|_| None,
        look_at: &|_| None,
        look_at_folders: &|_, trust| {
            let command = if trust == Trust::Owners { "chmod g-w,o-w" } else { "chmod o-w" };
            vec![OpenFolder { path: "/a".into(), commands: vec![command.to_owned()] }]
        },
    };
    let found = validate::examine(&text, &source).warnings;
    let of_access: Vec<_> = found.iter().filter(|finding| finding.topic == Topic::Access).collect();
    let [one] = of_access.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.remedy, "run chmod g-w,o-w \"/a\"");
    assert!(one.cause.ends_with(" and log.output"), "{one}");
}

#[test]
fn a_log_that_others_can_change_is_warned_of() {
    let (dir, config) = folder();
    let log = dir.path().join("slack.log");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[log]\noutput = {log:?}\n")).unwrap();
    std::fs::write(&log, "").unwrap();
    // A group reads logs, or rotates them.
    for harmless in [0o600, 0o644, 0o664] {
        set(&log, harmless);
        assert_eq!(warned(&config), [], "{harmless:o}");
    }
    set(&log, 0o666);
    let found = warned(&config);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.key.as_str(), one.remedy.clone()), ("log.output", format!("run chmod o-w {log:?}")));
}

#[test]
fn a_pipe_or_a_folder_is_an_error_at_once() {
    let (dir, config) = folder();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), dir.path()] {
        let error = load(path).unwrap_err();
        assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
        assert_eq!(ExitError::from(error).exit(), Exit::Configuration);
        let text = std::fs::read_to_string(&config).unwrap();
        let token = dir.path().join(LONG);
        std::fs::write(&config, text.replace(token.to_str().unwrap(), path.to_str().unwrap())).unwrap();
        let error = load(&config).unwrap_err().to_string();
        assert!(error.contains("a named pipe") || error.contains("directory"), "{error}");
        std::fs::write(&config, text).unwrap();
    }
}
