//! Encryption at the server: which certificates it shows, which it takes from clients, and the
//! threads that calculate handshakes. How bytes are encrypted after that is the stream's matter
//! (`common::net::tls`).

#[cfg(not(shuttle))]
mod certificates;
#[cfg(not(shuttle))]
mod handshake;

#[cfg(not(shuttle))]
pub(crate) use handshake::{Failed, Running as Calculating};

use std::path::PathBuf;

/// What a running server encrypts with.
#[cfg(not(shuttle))]
pub(crate) struct Encryption {
    pub(crate) certificates: certificates::Certificates,
    pub(crate) calculators: handshake::Calculators,
}

#[cfg(not(shuttle))]
impl Encryption {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub(crate) fn load(
        files: ServerTls,
    ) -> Result<Encryption, common::net::tls::files::TlsFileError> {
        Ok(Encryption {
            certificates: certificates::Certificates::load(files)?,
            calculators: handshake::Calculators::new(),
        })
    }
}

/// What a server needs to encrypt. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The server's certificate in PEM form, and behind it those between it and its authority. If
    /// clients are to pin the authority's key, its own certificate comes last.
    pub cert: PathBuf,
    /// The private key of the first certificate, in PEM form.
    pub key: PathBuf,
    /// Which certificates clients may show.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates clients show, for an identity that no token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The certificates of the authorities that sign them, in PEM form.
    pub ca: PathBuf,
    /// Whether a client without one is turned away in the handshake.
    pub required: bool,
}
