//! Where an identity's files are.

use std::path::PathBuf;

/// The files of an identity. They are read by [`crate::identity::Identity::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// One identity file with everything (`tctl auth sign --format=file`, or `tbot`).
    Identity(PathBuf),
    /// Three PEM files (`tctl auth sign --format=tls`).
    Files {
        /// The file of the private key, in PEM.
        client_key: PathBuf,
        /// The file of the certificate, in PEM.
        client_crt: PathBuf,
        /// The cluster's certificate authorities.
        root_cas: PathBuf,
    },
}
