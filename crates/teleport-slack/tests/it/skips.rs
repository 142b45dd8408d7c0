//! `.ci/units` on a machine that cannot run it: the step ends well and names itself as skipped, so that the gate counts it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::rules::repository_root;

/// What the scripts need of every machine.
const TOOLS: [&str; 15] = [
    "bash", "cat", "chmod", "dirname", "env", "mkdir", "mktemp", "mount", "pwd", "realpath", "rm", "sh",
    "sleep", "tail", "timeout",
];

/// Runs `.ci/units` where only these programs are, besides [`TOOLS`]: each a name and a script. Returns what it prints.
fn units_with(programs: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for tool in TOOLS {
        let found = ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(tool));
        symlink(found.into_iter().find(|path| path.exists()).unwrap(), dir.path().join(tool)).unwrap();
    }
    for (name, script) in programs {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = repository_root().join(".ci/units");
    let mut command = Command::new(dir.path().join("bash"));
    command.arg(script).env_clear().env("PATH", dir.path()).env("TELEPORT_SLACK", dir.path().join("bash"));
    let out = command.output().unwrap();
    let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
    assert_eq!(out.status.code(), Some(0), "{text}");
    assert!(text.ends_with("0 passed, 0 failed, 1 skipped\n"), "{text}");
    text
}

#[test]
fn a_machine_that_boots_no_unit_skips_the_step_by_name_and_says_why() {
    let (root, user) = (("id", "echo 0"), ("id", "echo 1000"));
    let none = [root, ("apt-get", "exit 1"), ("unshare", "exit 1")];
    let fails = ("unshare", "echo 'no namespace' >&2; exit 1");
    let present = ["systemd-nspawn", "logrotate", "pkill"].map(|name| (name, "exit 1"));
    let present = [vec![root, ("apt-get", "exit 1"), fails], present.to_vec()].concat();
    for (programs, why) in [
        (&[user][..], "needs root, for systemd-nspawn"),
        (&none, "needs systemd-nspawn (Debian: systemd-container)"),
        (&present, "systemd-nspawn boots nothing here (its last lines are above)"),
    ] {
        let text = units_with(programs);
        assert!(text.contains(&format!("SKIPPED units: {why}\n")), "{text}");
        assert_eq!(text.contains("no namespace"), why.contains("boots nothing"), "{text}");
    }
}
