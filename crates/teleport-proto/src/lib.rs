//! Teleport's gRPC API as far as this project uses it.
//!
//! The files in `proto/` are ours, trimmed by hand; `generated/` is made from them and committed, so that a build
//! needs no protoc. To regenerate: `.ci/proto`, which is `generate/`, a workspace of its own.

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

/// Package `teleport.users.v1`: the service `UsersService` of newer servers.
#[allow(
    missing_docs,
    unreachable_pub,
    rustdoc::all,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod users {
    include!("generated/teleport.users.v1.rs");
}
