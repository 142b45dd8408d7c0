//! Every key that a configuration file may hold, with the names it had in earlier releases.
//!
//! This is the list that unknown keys are measured against, and that `example.toml` and `docs/configuration.md`
//! are tested against. What the keys mean is in `validate.rs` and `review.rs`.

/// One table of the file.
#[derive(Debug)]
pub(super) struct Table {
    /// Its path as written between the brackets; empty for the top of the file.
    pub(super) path: &'static str,
    pub(super) keys: &'static [Key],
}

#[derive(Debug)]
pub(super) struct Key {
    /// The name of today.
    pub(super) name: &'static str,
    /// Earlier names in the same table. Names with hyphens for underscores (4.2 and 4.3) need no entry.
    pub(super) aliases: &'static [&'static str],
}

const fn key(name: &'static str) -> Key {
    Key { name, aliases: &[] }
}

const fn key_with_aliases(name: &'static str, old: &'static [&'static str]) -> Key {
    Key { name, aliases: old }
}

pub(super) const ROOT: Table = Table {
    path: "",
    keys: &[
        key("teleport"),
        key("slack"),
        key("role_to_recipients"),
        key("review"),
        key("http"),
        key("diagnostics"),
        key("network"),
        key("log"),
    ],
};

pub(super) const TELEPORT: Table = Table {
    path: "teleport",
    keys: &[
        key_with_aliases("addr", &["auth_server"]),
        key("identity"),
        key("client_key"),
        key("client_crt"),
        key("root_cas"),
        key("refresh_identity"),
        key("refresh_identity_interval"),
    ],
};

pub(super) const SLACK: Table = Table {
    path: "slack",
    keys: &[
        key("token"),
        key("recipients"),
        key_with_aliases("api_url", &["APIURL"]),
        // Of 0.x; each now lives elsewhere, which is what the warnings say.
        key("channel"),
        key("secret"),
        key("notify_only"),
    ],
};

pub(super) const REVIEW: Table = Table {
    path: "review",
    keys: &[
        key("enabled"),
        key("app_token"),
        key("signing_secret"),
        key("slack_user_id_trait"),
        key("allow_email_username_match"),
        key("ignore_email_case"),
        key("mode"),
        key("users"),
        key("rule"),
    ],
};

pub(super) const RULE: Table = Table {
    path: "review.rule",
    keys: &[
        key("roles"),
        key("approvers"),
        key("approvals"),
        key("denials"),
        key("reason"),
        key("confirm"),
        key("teleport_only"),
    ],
};

pub(super) const HTTP: Table = Table {
    path: "http",
    keys: &[
        key_with_aliases("listen_addr", &["listen"]),
        key_with_aliases("public_addr", &["host"]),
        key("https_key_file"),
        key("https_cert_file"),
    ],
};

pub(super) const DIAGNOSTICS: Table =
    Table { path: "diagnostics", keys: &[key("listen_addr"), key("allow"), key("token")] };

pub(super) const NETWORK: Table = Table {
    path: "network",
    keys: &[key("proxy"), key("no_proxy"), key("ca_file"), key("proxy_for_teleport")],
};

pub(super) const LOG: Table = Table { path: "log", keys: &[key("output"), key("severity"), key("format")] };

/// Every table with keys of its own.
pub(super) const TABLES: &[&Table] =
    &[&TELEPORT, &SLACK, &REVIEW, &RULE, &HTTP, &DIAGNOSTICS, &NETWORK, &LOG];

/// A name found in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyMatch {
    /// The name of today.
    Current(&'static str),
    /// An earlier name of it.
    Alias(&'static str),
}

impl KeyMatch {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Current(name) | Self::Alias(name) => name,
        }
    }
}

impl Table {
    /// Which key a written name means, if any.
    pub(super) fn find(&self, written: &str) -> Option<KeyMatch> {
        if let Some(key) = self.keys.iter().find(|key| key.name == written) {
            return Some(KeyMatch::Current(key.name));
        }
        // The Go plugin's reader takes keys in other capitals too.
        let plain = written.replace('-', "_");
        let is_meant = |name: &str| name.eq_ignore_ascii_case(&plain);
        let key = self
            .keys
            .iter()
            .find(|key| std::iter::once(&key.name).chain(key.aliases).any(|name| is_meant(name)))?;
        Some(KeyMatch::Alias(key.name))
    }

    /// The key that a misspelt name most likely means.
    pub(super) fn nearest(&self, written: &str) -> Option<&'static str> {
        /// Longer than any key by far; not worth comparing.
        const LONGEST: usize = 40;
        /// Below this, a suggestion confuses more than it helps (clap uses 0.7; keys here are alike).
        const ALIKE: f64 = 0.8;
        if written.len() > LONGEST {
            return None;
        }
        let written = written.to_lowercase().replace('-', "_");
        self.keys
            .iter()
            .flat_map(|key| {
                std::iter::once(&key.name).chain(key.aliases).map(|name| (key.name, name.to_lowercase()))
            })
            .map(|(name, candidate)| (name, strsim::jaro_winkler(&written, &candidate)))
            .filter(|(_, likeness)| *likeness >= ALIKE)
            .max_by(|left, right| left.1.total_cmp(&right.1))
            .map(|(name, _)| name)
    }
}

/// Keys without effect, or that live elsewhere now: a warning of their own says what to do, so how they are spelt does
/// not matter.
pub(super) fn is_retired(name: &str) -> bool {
    ["channel", "secret", "notify_only", "refresh_identity", "refresh_identity_interval"].contains(&name)
}

/// The table that has a key of exactly this name: for keys written under the wrong header.
pub(super) fn table_of(written: &str) -> Option<&'static str> {
    TABLES.iter().find(|table| table.keys.iter().any(|key| key.name == written)).map(|table| table.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_release_are_found() {
        assert_eq!(TELEPORT.find("addr"), Some(KeyMatch::Current("addr")));
        assert_eq!(TELEPORT.find("auth_server"), Some(KeyMatch::Alias("addr")));
        assert_eq!(TELEPORT.find("auth-server"), Some(KeyMatch::Alias("addr")));
        assert_eq!(TELEPORT.find("client-key"), Some(KeyMatch::Alias("client_key")));
        assert_eq!(HTTP.find("https-cert-file"), Some(KeyMatch::Alias("https_cert_file")));
        assert_eq!(SLACK.find("APIURL"), Some(KeyMatch::Alias("api_url")));
        assert_eq!(SLACK.find("apiurl"), Some(KeyMatch::Alias("api_url")));
        assert_eq!(SLACK.find("Token"), Some(KeyMatch::Alias("token")));
        assert_eq!(SLACK.find("tokens"), None);
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        assert_eq!(TELEPORT.nearest("adr"), Some("addr"));
        assert_eq!(TELEPORT.nearest("auth_srv"), Some("addr"));
        assert_eq!(SLACK.nearest("Token"), Some("token"));
        assert_eq!(SLACK.nearest("recipient"), Some("recipients"));
        assert_eq!(SLACK.nearest("zzz"), None);
        assert_eq!(SLACK.nearest(&"token".repeat(50)), None);
        assert_eq!(ROOT.nearest("slak"), Some("slack"));
    }
}
