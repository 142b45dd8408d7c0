//! How a simulated cluster is set up: its release, its limits and who lives in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::SignedDuration;

use super::call_log::Method;
use super::fixture::Fixture;
use crate::call_sequence::CallSequence;

/// A stretch of Teleport's history; decides which methods exist and how strict the server is.
///
/// Later releases are greater. Where nothing is known of a release, it does what the nearest known one does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerVersion {
    /// Teleport 6.2: one unary list, reviews of resolved requests are stored.
    #[default]
    V6,
    /// Teleport 12 or 13: a streamed list. Reviews of resolved requests are refused, which is known for sure
    /// only of later releases.
    V13,
    /// Teleport 15.1.9: an unknown caller is "not found", INIT names the kinds watched, requests are made by
    /// `CreateAccessRequestV2`. Replayed from `vectors/teleport-15.1.9`.
    V15,
    /// Teleport 15.3.1: a paged list that lags, requests that stay pending for days. Replayed from
    /// `vectors/teleport-15.3.1`.
    V15_3,
    /// Teleport 18: a paged list, the server picks ids, plugins may submit reviews for users.
    V18,
}

impl ServerVersion {
    /// Every release, oldest first.
    pub const ALL: [Self; 5] = [Self::V6, Self::V13, Self::V15, Self::V15_3, Self::V18];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V6 => "6.2.1",
            Self::V13 => "13.4.0",
            Self::V15 => "15.1.9",
            Self::V15_3 => "15.3.1",
            Self::V18 => "18.11.0",
        }
    }

    /// Oldest client that the server talks to, if the client names its version: one major release back.
    pub(super) fn minimum_client_major(self) -> u64 {
        match self {
            // 15.1.9 and 15.3.1 took 7.1.3 to 99.
            Self::V6 | Self::V13 | Self::V15 | Self::V15_3 => 0,
            Self::V18 => 17,
        }
    }

    /// Whether the release has the method.
    pub(super) fn serves(self, method: Method) -> bool {
        match method {
            Method::GetAccessRequests => self == Self::V6,
            Method::GetAccessRequestsV2 | Method::GetCurrentUserRoles => self != Self::V6,
            Method::ListAccessRequests => self >= Self::V15_3,
            Method::CreateAccessRequestV2 => self >= Self::V15,
            Method::CreateAccessRequest => self < Self::V15,
            // Seen on 15.1.9; of the first release that has it nothing is known, so the oldest has not (assumed).
            Method::GetAuthPreference => self != Self::V6,
            Method::UsersGetUser | Method::ListUsers => self >= Self::V15,
            _ => true,
        }
    }
}

/// How to set up a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Release.
    pub version: ServerVersion,
    /// What Ping says; may disagree with `version`, as a vendor's build may.
    pub reported_version: String,
    /// Users and roles.
    pub fixture: Fixture,
    /// Whether Ping says that this is Enterprise.
    pub advanced_access_workflows: bool,
    /// Web address that Ping names; empty as on a cluster without proxy.
    pub proxy_public_addr: String,
    /// How long a request may stay pending; at most as long as the access itself.
    pub pending_ttl: Duration,
    /// How long access lasts unless a role allows less.
    pub access_ttl: Duration,
    /// How long after its expiry the DELETE of a request comes; zero is prompt. No answer shows the request meanwhile.
    pub delete_delay: Duration,
    /// How long after a change lists still show, and watches do not report, the new state; a request asked for
    /// by its id is always as stored. A second on 15.3.1, where it was measured.
    pub list_lag: Duration,
    /// By how much the server's clock is ahead of this machine's; negative: behind.
    pub clock_offset: SignedDuration,
    /// How long plugin data outlives the access that its request asks for.
    pub plugin_data_afterlife: Duration,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Numbers the calls, together with another simulator that has a clone.
    pub call_sequence: CallSequence,
}

impl Options {
    /// A cluster of that release with its own defaults, OSS and without a proxy.
    pub fn new(version: ServerVersion, fixture: Fixture) -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            version,
            reported_version: version.as_str().to_owned(),
            fixture,
            advanced_access_workflows: false,
            proxy_public_addr: String::new(),
            pending_ttl: if version >= ServerVersion::V15_3 { 24 * 7 * hour } else { hour },
            access_ttl: 30 * hour,
            delete_delay: Duration::ZERO,
            list_lag: if version == ServerVersion::V15_3 { Duration::from_secs(1) } else { Duration::ZERO },
            clock_offset: SignedDuration::ZERO,
            plugin_data_afterlife: hour,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            call_sequence: CallSequence::default(),
        }
    }

    /// The 6.2.1 server of the golden vectors.
    pub fn golden() -> Self {
        Self::new(ServerVersion::V6, Fixture::golden())
    }

    /// The servers of `vectors/teleport-15.1.9` ([`ServerVersion::V15`]) and `vectors/teleport-15.3.1` ([`ServerVersion::V15_3`]).
    pub fn golden_15(version: ServerVersion, advanced_access_workflows: bool) -> Self {
        let name = if version == ServerVersion::V15 { "realnew" } else { "real153" };
        let edition = if advanced_access_workflows { "ent" } else { "oss" };
        let fixture = Fixture::golden_15(&format!("{name}-{edition}"), advanced_access_workflows);
        Self { advanced_access_workflows, ..Self::new(version, fixture) }
    }

    /// The cluster of the demo: Enterprise with a web proxy, answers like 6.2.1.
    pub fn demo() -> Self {
        Self {
            advanced_access_workflows: true,
            proxy_public_addr: "demo.example.com:443".to_owned(),
            ..Self::new(ServerVersion::V6, Fixture::demo())
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::demo()
    }
}
