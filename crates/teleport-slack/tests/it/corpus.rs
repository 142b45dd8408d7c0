//! Runs the checks of the fuzz targets on every input of their corpus, so that both stay valid. How to fuzz:
//! `fuzz/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

#[path = "../../../../fuzz/src/properties/mod.rs"]
mod properties;

/// Checks each corpus file of a target. All `kinds` of input must occur, otherwise the corpus is outdated.
fn replay<K: Into<String>>(target: &str, check: fn(&[u8]) -> K, kinds: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let held = std::panic::catch_unwind(|| check(&bytes).into());
        seen.insert(held.unwrap_or_else(|_| panic!("{} does not hold; the reason is above", path.display())));
    }
    for kind in kinds {
        assert!(seen.contains(*kind), "nothing in {} is read as {kind:?}: {seen:?}", folder.display());
    }
}

#[test]
fn callbacks_of_the_fuzz_corpus_keep_their_properties() {
    replay("callback", properties::callback::check, &["click", "submission", "ignored", "malformed"]);
}

#[test]
fn frames_of_the_fuzz_corpus_keep_their_properties() {
    replay(
        "frame",
        properties::frame::check,
        &[
            "hello",
            "disconnect",
            "unknown",
            "envelope",
            "click",
            "submission",
            "malformed",
            "no text",
            "no object",
            "no usable id",
        ],
    );
}

#[test]
fn identities_of_the_fuzz_corpus_keep_their_properties() {
    replay(
        "identity",
        properties::identity::check,
        &[
            "Identity",
            "Damaged",
            "NoKey",
            "UnsupportedKey",
            "BadKey",
            "NoCertificate",
            "BadCertificate",
            "NoUser",
            "NoCa",
            "KeyMismatch",
            "NotYetValid",
            "Expired",
        ],
    );
}

#[test]
fn records_of_the_fuzz_corpus_keep_their_properties() {
    replay(
        "record",
        properties::record::check,
        &["nothing known", "adopted", "newer votes", "ours", "ours with votes"],
    );
}
