//! The handshake of an encrypted connection, before anything else of it.

use crate::record;
use crate::session::Session;
use crate::tls::Failed;
use common::net::tls::handshake::HandshakeError;
use common::wire::message::{Code, RpcError, error_line};

impl Session<'_> {
    /// Encrypts the connection, if this server does that. What fails ends it: with a line if the
    /// client can read one. The connection of a client that has come back to its lines is encrypted.
    #[inline(never)]
    pub(crate) fn encrypt(&mut self) {
        let (hub, connection) = (self.hub, self.connection);
        let Some(tls) = hub.tls.as_ref().filter(|_| self.member.is_none()) else {
            return;
        };
        let encrypted = tls.calculators.encrypt(connection, &tls.certificates, || {
            hub.handshakes.greet(connection, hub.timers.now());
        });
        match encrypted {
            Ok(identity) => {
                if let Some(identity) = identity {
                    connection.set_identity(identity);
                }
            }
            Err(failed) => self.not_encrypted(&failed),
        }
    }

    #[inline(never)]
    fn not_encrypted(&mut self, failed: &Failed) {
        let now = self.hub.timers.now();
        let said = match failed {
            Failed::Handshake(HandshakeError::NotTls) => {
                self.connection.stream.stay_plain();
                Some((Code::TlsRequired, TLS_REQUIRED.to_owned()))
            }
            Failed::Handshake(error @ HandshakeError::NoAlpn) => {
                let what = format!("this server speaks one protocol over TLS only: {error}");
                Some((Code::InvalidRequest, what))
            }
            // An alert says it, if anything does.
            Failed::Handshake(_) => None,
            Failed::Identity(_) => Some((Code::Unauthorized, failed.to_string())),
        };
        let why = explained(failed);
        let peer = self.connection.peer();
        let what = format_args!("{peer} may not join: {why}");
        self.hub.tls_log.log(now, what);
        if let (true, Some(audit)) = (is_denial(failed), &self.hub.config.audit) {
            let error = RpcError::new(Code::Unauthorized, why.as_str());
            record::join_denied(audit, self.connection, None, &error);
        }
        self.connection.blame(why);
        let error = said.map(|(code, what)| RpcError::new(code, what));
        self.last_line = error.map(|error| error_line(None, &error));
    }
}

/// Whether a client showed a certificate that gives it nothing here, or none where it has to.
fn is_denial(failed: &Failed) -> bool {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
    match failed {
        Failed::Identity(_) => true,
        Failed::Handshake(HandshakeError::Tls(error)) => {
            matches!(error, NoCertificatesPresented | InvalidCertificate(_))
        }
        Failed::Handshake(_) => false,
    }
}

/// Why a handshake failed, for the operator.
fn explained(failed: &Failed) -> String {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    let Failed::Handshake(HandshakeError::Tls(error)) = failed else {
        return failed.to_string();
    };
    match error {
        Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateUnknown,
        ) => format!("it does not trust this server's certificate: {error}"),
        Error::NoCertificatesPresented => "it shows no certificate".into(),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by no authority of --client-ca".into()
        }
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => "its certificate is not one for clients".into(),
        Error::InvalidCertificate(wrong) => format!("its certificate: {wrong}"),
        Error::PeerIncompatible(_) => {
            format!("it does not speak TLS 1.3 as this server does: {error}")
        }
        other => format!("TLS: {other}"),
    }
}

const TLS_REQUIRED: &str =
    "this server takes encrypted connections only; dial tls://HOST:PORT, or add --tls";
