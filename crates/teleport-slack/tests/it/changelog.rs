//! The files of `changelog.d`, of which a release makes a section of `CHANGELOG.md`.

use std::process::Command;

use crate::rules::repository_root;

const SECTIONS: [&str; 6] = ["added", "changed", "deprecated", "removed", "fixed", "security"];

/// The name and the text of each entry.
fn entries() -> Vec<(String, String)> {
    let files = std::fs::read_dir(repository_root().join("changelog.d")).unwrap().map(|entry| entry.unwrap());
    let entries = files
        .map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap()));
    entries.filter(|(name, _)| name != "README.md").collect()
}

/// What is wrong with an entry.
fn mistake(name: &str, text: &str) -> Option<&'static str> {
    let mut parts = name.split('.');
    let (Some(subject), Some(section), Some("md"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Some("its name is not <subject>.<section>.md");
    };
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if subject.is_empty() || !subject.chars().all(is_letter) {
        return Some("its subject has other characters than a-z, 0-9 and -");
    }
    if !SECTIONS.contains(&section) {
        return Some("its section is not one of those in changelog.d/README.md");
    }
    if text.starts_with(['-', '*', '#', ' ', '\n']) || !text.ends_with(".\n") || text.contains("\n\n") {
        return Some("its text is not one paragraph that ends with a full stop");
    }
    None
}

#[test]
fn every_changelog_entry_has_a_known_section_and_one_paragraph() {
    let mistakes: Vec<_> =
        entries().iter().filter_map(|(n, text)| Some((n.clone(), mistake(n, text)?))).collect();
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    let entry = "Something works.\n";
    for (name, text) in [
        ("a.md", entry),
        ("a.improved.md", entry),
        ("A b.fixed.md", entry),
        ("a.fixed.txt", entry),
        ("a.fixed.md", ""),
        ("a.fixed.md", "- Something works.\n"),
        ("a.fixed.md", "One works.\n\nTwo works.\n"),
    ] {
        assert!(mistake(name, text).is_some(), "{name}: {text:?}");
    }
    assert_eq!(mistake("a-1.security.md", entry), None);
}

#[test]
fn the_changelog_is_put_together_from_every_entry() {
    let root = repository_root();
    let output = Command::new(root.join(".ci/changelog")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    for (name, text) in entries() {
        let first = text.lines().next().unwrap();
        assert!(printed.contains(&format!("\n- {first}\n")), "{name} is missing in:\n{printed}");
    }
    let changelog = std::fs::read_to_string(root.join("CHANGELOG.md")).unwrap();
    let unreleased = changelog.split("\n## ").find(|part| part.starts_with("Unreleased")).unwrap();
    assert!(!unreleased.contains("\n- "), "an entry stands in CHANGELOG.md; give it a file in changelog.d");
}
