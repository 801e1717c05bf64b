//! Encryption at the server: which certificates it shows, which it takes from clients, and the
//! threads that calculate handshakes. How bytes are encrypted after that is the stream's matter
//! (`common::net::tls`).

mod certificates;
mod handshake;

pub(crate) use handshake::Failed;

use crate::config::ServerTls;

/// What a running server encrypts with.
pub(crate) struct Encryption {
    pub(crate) certificates: certificates::Certificates,
    pub(crate) calculators: handshake::Calculators,
}

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
