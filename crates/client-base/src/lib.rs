//! What the clients of Teleport and Slack share, and know nothing of either: files that are read safely, and TLS.

mod acl;
pub mod files;
pub mod tls;
