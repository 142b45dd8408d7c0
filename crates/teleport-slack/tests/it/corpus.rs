//! What the fuzz targets demand, of every input that they keep, so that neither can rot. How to fuzz: `fuzz/README.md`.

use std::path::Path;

#[path = "../../../../fuzz/src/properties/mod.rs"]
mod properties;

/// Checks each file kept for a target.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let held = std::panic::catch_unwind(|| check(&bytes));
        assert!(held.is_ok(), "{} does not hold; the reason is above", path.display());
        checked += 1;
    }
    assert!(checked > 20, "only {checked} files in {}", folder.display());
}

#[test]
fn kept_callbacks_hold() {
    replay("callback", properties::callback::check);
}

#[test]
fn kept_frames_hold() {
    replay("frame", properties::frame::check);
}

#[test]
fn kept_identities_hold() {
    replay("identity", properties::identity::check);
}

#[test]
fn kept_records_hold() {
    replay("record", properties::record::check);
}
