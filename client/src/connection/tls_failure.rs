//! What a failure of TLS means to a client that connects, in words: it is not the server that is meant,
//! or the two cannot agree on how to encrypt.

use crate::error::ConnectError;
use common::net::tls::handshake::HandshakeError;
use rustls::CertificateError;
use std::io;

/// Why a connection to a server is not encrypted, if it did not simply end.
pub(super) fn not_encrypted(server: &str, error: &HandshakeError) -> ConnectError {
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
pub(super) fn of_tls(server: &str, error: &io::Error) -> Option<ConnectError> {
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
