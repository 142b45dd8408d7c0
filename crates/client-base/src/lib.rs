//! What the clients of Teleport and Slack share, and know nothing of either: files that are read safely, what
//! certificates say of themselves, TLS, and the way out of this machine: names and addresses, directly or through a forward
//! proxy.

mod acl;
pub mod broken;
pub mod certificate;
pub mod files;
pub mod folders;
pub mod forward_proxy;
pub mod outbound;
pub mod resolver;
pub mod tcp;
pub mod tls;
