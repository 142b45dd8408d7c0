//! Teleport's gRPC API as far as this project uses it.
//!
//! `proto/auth.proto` is ours, trimmed by hand; `generated/` is made from it and committed, so that a build
//! needs no protoc. To regenerate: `UPDATE_PROTO=1 cargo test -p teleport-proto`.

/// Package `proto`: the messages and the service `AuthService`.
#[allow(
    missing_docs,
    unreachable_pub,
    rustdoc::all,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod auth {
    include!("generated/proto.rs");
}

#[cfg(test)]
mod tests;
