//! The handshake of an encrypted connection, before anything else of it.

use super::Session;
use crate::tls::Failed;
use common::net::tls::handshake::HandshakeError;
use common::wire::message::{Code, RpcError, error_line};

impl Session<'_> {
    /// Encrypts the connection, if this server does that. What fails ends it: with a line if the
    /// client can read one.
    #[inline(never)]
    pub(super) fn encrypt(&mut self) {
        let (hub, connection) = (self.hub, self.connection);
        let Some(tls) = &hub.tls else {
            return;
        };
        let encrypted = tls
            .calculators
            .encrypt(connection, &tls.certificates, || {});
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
        let peer = self.connection.peer();
        let said = match failed {
            Failed::Handshake(HandshakeError::Io(_) | HandshakeError::Closed) => {
                log::debug!("{peer}: no TLS: {failed}");
                None
            }
            Failed::Handshake(HandshakeError::NotTls) => {
                self.connection.stream.stay_plain();
                Some((Code::TlsRequired, TLS_REQUIRED.to_owned()))
            }
            Failed::Handshake(HandshakeError::Tls(_)) => None,
            Failed::Handshake(HandshakeError::NoAlpn) => {
                let what = format!("this server speaks one protocol over TLS only; {failed}");
                Some((Code::InvalidRequest, what))
            }
            Failed::Identity(_) => Some((Code::Unauthorized, failed.to_string())),
        };
        let what = format_args!("{peer} may not join: TLS: {failed}");
        self.hub.tls_log.log(now, what);
        self.connection.blame(failed.to_string());
        let line = said.map(|(code, what)| error_line(None, &RpcError::new(code, what)));
        self.last_line = line;
    }
}

const TLS_REQUIRED: &str =
    "this server takes encrypted connections only; dial tls://HOST:PORT, or add --tls";
