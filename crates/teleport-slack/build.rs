//! Gives the binary the revision and the compiler that built it, for `teleport-slack version`.
//!
//! It must never fail: outside a git checkout or without git the revision is simply absent.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    // `rustc 1.95.0 (59807616e 2026-04-14)`: the first two words.
    let compiler = output(&rustc, &["--version"]).unwrap_or_default();
    let compiler: Vec<_> = compiler.split_whitespace().take(2).collect();
    println!("cargo::rustc-env=TELEPORT_SLACK_RUSTC={}", compiler.join(" "));

    // Only our own checkout: a source archive unpacked inside some other repository is not of that revision.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.git").exists();
    let revision = ours.then(|| output("git", &["rev-parse", "--short=12", "HEAD"])).flatten();
    println!("cargo::rustc-env=TELEPORT_SLACK_REVISION={}", revision.unwrap_or_default());
    if ours {
        // HEAD changes with the branch, its log with every commit. Rebuilding for each commit is only worth it
        // for what is shipped.
        watch("HEAD");
        if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
            watch("logs/HEAD");
        }
    }
}

/// Runs this script again when a file of git's changes; a missing one would make it run every time.
fn watch(name: &str) {
    if let Some(path) = output("git", &["rev-parse", "--git-path", name])
        && Path::new(&path).exists()
    {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What a command prints, if it succeeds: one line of plain text.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty() && !line.chars().any(char::is_control)).then(|| line.to_owned())
}
