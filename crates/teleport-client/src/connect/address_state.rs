//! What is remembered of an address between connections: which way led to the auth server, and what web certificates are
//! checked against.

use std::sync::{Arc, OnceLock};

use client_base::tls;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use super::error::UpgradeError;
use super::upgrade::Form;
use super::web;

/// The way that led to the auth server last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// TLS with the address itself.
    Straight,
    /// In an upgraded connection.
    Upgraded(Form),
}

/// Shared by all connections to one address.
#[derive(Debug, Default)]
pub(super) struct AddressState {
    way: Mutex<Option<Way>>,
    web_tls: OnceLock<Arc<ClientConfig>>,
}

impl AddressState {
    /// For another address: only the roots stay.
    pub(super) fn of_another_address(&self) -> Self {
        Self { way: Mutex::default(), web_tls: self.web_tls.clone() }
    }

    pub(super) fn way(&self) -> Option<Way> {
        *self.way.lock()
    }

    /// Returns the way before.
    pub(super) fn remember(&self, way: Way) -> Option<Way> {
        self.way.lock().replace(way)
    }

    /// How a web port is checked: by the machine's roots, which are read when they are needed first, and these.
    pub(super) fn web_tls(
        &self,
        more: &[CertificateDer<'static>],
    ) -> Result<Arc<ClientConfig>, UpgradeError> {
        if let Some(config) = self.web_tls.get() {
            return Ok(Arc::clone(config));
        }
        let roots = tls::trusted_roots(more).map_err(|error| UpgradeError::NoRoots(error.to_string()))?;
        let config = web::tls_config(roots).map_err(|error| UpgradeError::Https(error.to_string()))?;
        Ok(Arc::clone(self.web_tls.get_or_init(|| Arc::new(config))))
    }
}
