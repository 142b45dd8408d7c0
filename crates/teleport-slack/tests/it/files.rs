//! Files as operators leave them: pipes and folders in place of files, wide permissions, folders with foreign content.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

/// Runs the program for at most 20 s; `timeout` ends a run that hangs with status 124.
fn run_within_timeout(arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("20").arg(program()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn make_fifo(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_in_place_of_any_file_is_an_error_at_once() {
    run_test(async {
        let bed = TestBed::new().await;
        let at = |name: &str| bed.dir.path().join(name);
        let callbacks = "[review]\nenabled = true\nallow_email_username_match = true\nsigning_secret = \"0123456789abcdef\"\n\
                         [http]\nlisten_addr = \"127.0.0.1:0\"\nhttps_key_file = \"auth.key\"\nhttps_cert_file = \"pipe\"";
        let token = format!("\"{}\"", at("pipe").display());
        let text = bed.config(TEAM);
        make_fifo(&at("pipe"));
        for (config, status) in [
            (text.replace("\"auth.key\"", "\"pipe\""), 77),
            (text.replace("\"auth.crt\"", "\"pipe\""), 77),
            (text.replace("\"auth.cas\"", "\"pipe\""), 77),
            (text.replace(&format!("\"{}\"", bed.slack.token()), &token), 77),
            (text.replace("[log]", "[log]\noutput = \"./pipe\""), 77),
            (bed.config(&format!("{TEAM}\n{callbacks}")), 77),
        ] {
            assert_ne!(config, text);
            let path = bed.write_config(&config);
            let output = run_within_timeout(&["start", "-c", path.to_str().unwrap()]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("a named pipe"), "{said}");
            assert_eq!(output.status.code(), Some(status), "{said}");
        }
        for path in [at("pipe"), bed.dir.path().to_owned()] {
            let output = run_within_timeout(&["start", "-c", path.to_str().unwrap()]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(78), "{said}");
            assert!(said.contains("it must be a regular file"), "{said}");
        }
    });
}

/// A file that the configuration names can fail in several ways. Each ends the start with the same status, and its
/// remedy works.
#[test]
fn an_unusable_token_file_ends_the_start_with_77_until_it_is_fixed() {
    run_test(async {
        let bed = TestBed::new().await;
        let file = bed.dir.path().join("token");
        let named = format!("{file:?}");
        let config = bed.config_with_diagnostics(TEAM).replace(&format!("{:?}", bed.slack.token()), &named);
        type Break<'a> = &'a dyn Fn(&Path);
        let clear = |path: &Path| {
            let _ = fs::remove_file(path);
            let _ = fs::remove_dir(path);
        };
        let cases: [(Break<'_>, &str); 6] = [
            (
                &|_| {},
                "create the file with nothing in it but the \"Bot User OAuth Token\" (xoxb-…) from \"OAuth & Permissions\"",
            ),
            (&|path| fs::create_dir(path).unwrap(), "name a regular file"),
            (&|path| make_fifo(path), "name a regular file"),
            (&|path| fs::write(path, "").unwrap(), "write the \"Bot User OAuth Token\" (xoxb-…)"),
            (&|path| fs::write(path, "xapp-1-A-1").unwrap(), "write the \"Bot User OAuth Token\" (xoxb-…)"),
            (&|path| fs::write(path, b"xoxb-\xff").unwrap(), "it must hold one line of text"),
        ];
        for (break_file, remedy) in cases {
            clear(&file);
            break_file(&file);
            let path = bed.write_config(&config);
            let output = run_within_timeout(&["start", "-c", path.to_str().unwrap()]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(77), "{said}");
            assert!(said.contains("slack.token: ") && said.contains(remedy), "{said}");
            assert!(said.contains(file.to_str().unwrap()), "{said}");
            // With a second mistake the configuration must be fixed in any case.
            let path = bed.write_config(&config.replace("[log]", "[log]\nseverity2 = 1"));
            let output = run_within_timeout(&["start", "-c", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(78), "{}", String::from_utf8_lossy(&output.stderr));

            clear(&file);
            fs::write(&file, bed.slack.token()).unwrap();
            let daemon = bed.launch(&config);
            bed.until_logged(&daemon, "Ready").await;
            daemon.stop().await;
        }
    });
}

#[test]
fn a_private_key_that_others_can_read_is_logged_at_start() {
    run_test(async {
        let bed = TestBed::new().await;
        let key = bed.dir.path().join("auth.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let daemon = bed.start(TEAM).await;
        let line = bed.until_logged(&daemon, "teleport.client_key: ").await;
        assert!(line.contains("WARN") && line.contains("can be read by others; run chmod o-r "), "{line}");
        daemon.stop().await;
    });
}

#[test]
fn a_file_that_is_opened_to_others_while_the_daemon_runs_is_logged() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let token = bed.dir.path().join("token");
        fs::write(&token, bed.slack.token()).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let config = bed.config(TEAM).replace(&format!("{:?}", bed.slack.token()), &format!("{token:?}"));
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        for path in [bed.dir.path().join("auth.key"), token] {
            let opened =
                format!("The permissions of a file changed: the file {path:?} can be read by others");
            assert!(!daemon.log().contains(&opened));
            let mut modes = [0o600, 0o644].into_iter().cycle();
            // The first look may come after the first change.
            let logged = || {
                let mode = modes.next().unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                daemon.find_logged(&opened)
            };
            let line = bed.until(&daemon, "the file that was opened", logged).await;
            assert!(line.contains("WARN") && line.contains(&format!("run chmod o-r {path:?}")), "{line}");
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_sandbox_leaves_a_foreign_folder_alone_and_keeps_modes() {
    run_test(async {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("auth.key"), "precious").unwrap();
        let output = run_within_timeout(&["demo", "--port", "0", "--sandbox", foreign.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("nothing was written; name a directory that is empty"), "{said}");
        assert_eq!(fs::read_to_string(foreign.join("auth.key")).unwrap(), "precious");
        assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);

        // The remedy: a folder that does not exist yet, then the same folder with the permissions it has now.
        let own = dir.path().join("own");
        let mode = |name: &str| fs::metadata(own.join(name)).unwrap().permissions().mode() & 0o777;
        for _ in 0..2 {
            let mut command = Command::new(program());
            let sandbox = Daemon::run(command.args(["demo", "--port", "0", "--sandbox"]).arg(&own), "");
            sandbox.until_logged("The page for both sides is at ").await;
            sandbox.stop().await;
            assert!(mode("auth.key") == mode("teleport-slack.toml"));
            fs::set_permissions(own.join("auth.key"), fs::Permissions::from_mode(0o640)).unwrap();
            fs::set_permissions(own.join("teleport-slack.toml"), fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_eq!(mode("auth.key"), 0o640);
        assert_eq!(mode("auth_id"), 0o600);
    });
}
