//! How a client encrypts, and by what it knows its server. Nothing here falls back to a
//! connection in the clear.

mod verifier;

use crate::error::ConnectError;
use common::net::tls::files::{TlsFileError, certificates, key, not_a_pair};
use common::net::tls::handshake::HandshakeError;
use common::net::tls::pin::Pin;
use common::net::tls::{ALPN, provider};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig};
use std::io;
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
        let verifier = Verifier::new(self.authorities()?, self.pins.clone())?;
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

/// Why a connection to a server is not encrypted, if it did not simply end.
pub(crate) fn not_encrypted(server: &str, error: &HandshakeError) -> ConnectError {
    match error {
        HandshakeError::Tls(error) => explained(server, error),
        // A server that makes room closes without a word here, and so does a proxy without one.
        HandshakeError::Closed => ConnectError::TurnedAway {
            server: server.into(),
            message: "it closed the connection within the TLS handshake; does it take TLS?".into(),
        },
        other => ConnectError::NotThisProtocol {
            server: server.into(),
            what: other.to_string(),
        },
    }
}

/// What a connection's error says if it comes from TLS: an alert that came after the handshake.
pub(crate) fn of_tls(server: &str, error: &io::Error) -> Option<ConnectError> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(explained(server, error))
}

fn explained(server: &str, error: &rustls::Error) -> ConnectError {
    use rustls::{AlertDescription as Alert, Error};
    let server = server.to_owned();
    let why = match error {
        Error::InvalidCertificate(wrong) => {
            let why = wrong_certificate(wrong);
            return ConnectError::Untrusted { server, why };
        }
        Error::NoCertificatesPresented => {
            let why = "it shows no certificate".into();
            return ConnectError::Untrusted { server, why };
        }
        Error::AlertReceived(alert) => match alert {
            Alert::CertificateRequired => {
                "it asks for this client's certificate (--cert FILE --key FILE)".into()
            }
            Alert::CertificateExpired => "this client's certificate has expired".into(),
            Alert::UnknownCA => {
                "this client's certificate is signed by no authority that it trusts".into()
            }
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError => {
                format!("it does not take this client's certificate ({alert:?})")
            }
            Alert::ProtocolVersion => {
                "it takes no TLS 1.3; if it does not encrypt at all, leave tls:// and --tls out"
                    .into()
            }
            Alert::NoApplicationProtocol => "it is a server of another protocol".into(),
            other => format!("it ended the TLS handshake: {other:?}"),
        },
        Error::InvalidMessage(_) => "what it says is no TLS; does it take TLS?".into(),
        other => other.to_string(),
    };
    ConnectError::NotEncrypted { server, why }
}

/// What is wrong with a server's certificate.
fn wrong_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by no authority that this client trusts (--ca, --pin)".into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers".into()
        }
        CertificateError::BadSignature => "its certificate's signature is wrong".into(),
        CertificateError::Other(other) => other.to_string(),
        other => format!("its certificate is not right: {other}"),
    }
}
