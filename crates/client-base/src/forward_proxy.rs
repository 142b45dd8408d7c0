//! Forward proxies: which connection goes through which, and the way through one.
//!
//! Every connection through a proxy is a tunnel (`CONNECT`), so the proxy sees host and port and nothing of what is said.
//! The proxy resolves the host's name. Its credentials are sent as Basic authentication and to no other server; nothing
//! here prints them.

mod address;
mod choice;
mod error;
mod exempt;
mod stream;
mod target;
mod tunnel;

pub use address::{InvalidProxy, Proxy};
pub use choice::{Proxies, Way};
pub use error::{TunnelError, TunnelErrorKind};
pub use exempt::{InvalidExemption, NoProxy};
pub use stream::Stream;
pub use target::Target;
pub use tunnel::{DialError, Dialer};
