//! `teleport-slack version`: which version, which revision if that was known at build time, which compiler.

use crate::exit::ExitError;

/// Everything after the program's name: `v1.2.3 git:0123456789ab (rustc 1.95.0)`.
pub(super) const LINE: &str = if env!("TELEPORT_SLACK_REVISION").is_empty() {
    concat!("v", env!("CARGO_PKG_VERSION"), " (", env!("TELEPORT_SLACK_RUSTC"), ")")
} else {
    concat!(
        "v",
        env!("CARGO_PKG_VERSION"),
        " git:",
        env!("TELEPORT_SLACK_REVISION"),
        " (",
        env!("TELEPORT_SLACK_RUSTC"),
        ")"
    )
};

/// The whole line.
pub(super) fn text() -> String {
    format!("teleport-slack {LINE}\n")
}

pub fn run() -> Result<(), ExitError> {
    super::print(&text())
}
