//! TLS for HTTP: the server's certificate, and none of the client's.

use crate::hub::Hub;
use crate::tls::Encryption;
use common::net::stream::Stream;
use common::net::tls::handshake::HandshakeError;
use common::net::tls::provider;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use std::sync::Arc;

/// HTTP/1.1, as the handshake names it (RFC 7301 §6).
const ALPN: &[u8] = b"http/1.1";

/// Encrypts a connection, if the server does.
///
/// # Errors
/// The client does not speak TLS, or no HTTP over it.
pub(super) fn encrypt(hub: &Hub, stream: &Stream) -> Result<(), HandshakeError> {
    let Some(tls) = &hub.tls else {
        return Ok(());
    };
    let config = Arc::new(config(tls)?);
    // By the threads that calculate for clients, so that browsers take no more of the processor.
    let calculators = &tls.calculators;
    let handshake = calculators.handshake(stream, || Arc::clone(&config), |_| {})?;
    // Not all clients of HTTP name it.
    handshake.finish(stream, |named| named.is_none_or(|named| named == ALPN))
}

/// The server's configuration as it is now, for HTTP.
fn config(tls: &Encryption) -> Result<ServerConfig, HandshakeError> {
    let certificates = tls.certificates.current();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(HandshakeError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificates.cert_resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
