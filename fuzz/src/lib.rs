//! The properties of everything that parses outside input, for arbitrary bytes.
//!
//! One function per target; each panics if a property does not hold. `fuzz_targets/` only connects them to the
//! fuzzer, and `teleport-slack/tests/it/corpus.rs` runs them over the committed corpus.

mod properties;

/// The body of an HTTP callback, and a payload over Socket Mode.
pub fn callback(bytes: &[u8]) {
    properties::callback::check(bytes);
}

/// A text frame over Socket Mode.
pub fn frame(bytes: &[u8]) {
    properties::frame::check(bytes);
}

/// An identity file.
pub fn identity(bytes: &[u8]) {
    properties::identity::check(bytes);
}

/// The plugin data of one request.
pub fn record(bytes: &[u8]) {
    properties::record::check(bytes);
}
