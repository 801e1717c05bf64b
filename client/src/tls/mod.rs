//! How a client encrypts, and by what it knows its server. Nothing here falls back to a
//! connection in the clear.

mod verifier;

use common::net::tls::files::{TlsFileError, certificates, key, not_a_pair};
use common::net::tls::pin::Pin;
use common::net::tls::{ALPN, provider};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use std::path::PathBuf;
use std::sync::Arc;
use verifier::Verifier;

/// How a client encrypts, and by what it knows its server. The files are read for each connection,
/// so that a renewed certificate counts from the next one on.
///
/// With authorities, the server's certificate must be signed by one of them, be valid now, and
/// have the server's name. With pins, the server's own key must be pinned (then nothing else in its
/// certificate counts), or that of an authority that signed it. With both, both must hold. The
/// default trusts what the system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The authorities that are trusted; without them and without pins, those of the system.
    pub authorities: Option<Authorities>,
    /// The keys that are trusted.
    pub pins: Vec<Pin>,
    /// What this client shows, if the server asks who it is.
    pub certificate: Option<ClientCertificate>,
    /// The name that the server's certificate must have; without it, the one that is dialled.
    pub server_name: Option<String>,
}

/// The authorities that a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// Those of the system.
    System,
    /// Those in a file, in PEM form.
    File(PathBuf),
}

/// The certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate in PEM form, and those between it and its authority behind it.
    pub cert: PathBuf,
    /// Its private key, in PEM form.
    pub key: PathBuf,
}

/// Why a client cannot encrypt with what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file.
    #[error("{0}")]
    File(#[from] TlsFileError),
    /// What the server's certificate should name is no name.
    #[error(
        "{0:?} is no host name or address that a certificate can have; expected one without a \
         port, such as relay.example or 10.0.0.5"
    )]
    Name(String),
    /// The system has no authorities.
    #[error("this system has no authorities to trust: {0}; name some with --ca FILE, or a pin")]
    System(String),
    /// What was told does not fit together.
    #[error("cannot encrypt: {0}")]
    Config(String),
}

/// What a client encrypts the next connection with.
pub(crate) struct Prepared {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl ClientTls {
    /// Whether a certificate can have this name, as [`ClientTls::server_name`] says it.
    ///
    /// # Errors
    /// It is neither a host name nor an address.
    pub fn check_server_name(text: &str) -> Result<(), TlsError> {
        server_name(text).map(|_| ())
    }

    /// Reads the files for one connection to a server, `HOST:PORT`.
    pub(crate) fn prepare(&self, server: &str) -> Result<Prepared, TlsError> {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = server_name(name)?;
        let verifier = Verifier::new(self.authorities()?, self.pins.clone())
            .map_err(|e| TlsError::Config(e.to_string()))?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| TlsError::Config(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(ClientCertificate { cert, key: file }) => builder
                .with_client_auth_cert(certificates(cert)?, key(file)?)
                .map_err(|e| not_a_pair(cert, file, &e))?,
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        Ok(Prepared { config, name })
    }

    /// The authorities that are trusted, if only those are.
    fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>, TlsError> {
        match &self.authorities {
            None if !self.pins.is_empty() => Ok(None),
            Some(Authorities::File(file)) => Ok(Some(certificates(file)?)),
            None | Some(Authorities::System) => {
                let found = rustls_native_certs::load_native_certs();
                match found.errors.first() {
                    Some(e) if found.certs.is_empty() => Err(TlsError::System(e.to_string())),
                    _ if found.certs.is_empty() => Err(TlsError::System("none found".into())),
                    _ => Ok(Some(found.certs)),
                }
            }
        }
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(text.to_owned()).map_err(|_| TlsError::Name(text.to_owned()))
}
