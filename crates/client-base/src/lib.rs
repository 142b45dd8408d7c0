//! What the clients of Teleport and Slack share, and know nothing of either: files that are read safely, what
//! certificates say of themselves, and TLS.

mod acl;
pub mod certificate;
pub mod files;
pub mod tls;
