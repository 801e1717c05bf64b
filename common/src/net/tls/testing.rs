//! Both ends of a connection, encrypted or not, for tests.

use super::handshake::{Handshake, HandshakeError, connect, receive_records};
use super::{ALPN, provider};
use crate::net::listener::Listener;
use crate::net::stream::Stream;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Both ends of a plain connection.
pub(in crate::net) fn pair() -> (Stream, Stream) {
    let (listener, _waker) = Listener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.address().to_string();
    let dialled = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
    let accepted = listener.accept().expect("loopback").expect("not woken");
    (dialled, accepted)
}

/// Both ends of an encrypted connection.
pub(in crate::net) fn encrypted_pair() -> (Stream, Stream) {
    let (dialled, accepted) = pair();
    let (dialled, accepted) = (dialled.undecided(), accepted.undecided());
    let (client, server) = configs(&[ALPN]);
    let deadline = Instant::now() + Duration::from_secs(10);
    let name = "localhost".try_into().expect("a name");
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| accept(&accepted, &server));
        connect(&dialled, client, name, deadline).expect("a handshake");
        let accepted = accepting.join().expect("no panic");
        accepted.expect("a handshake");
    });
    (dialled, accepted)
}

/// Does the same with both ends of a plain and of an encrypted connection.
pub(in crate::net) fn both(act: impl Fn(&Stream, &Stream)) {
    for (near, far) in [pair(), encrypted_pair()] {
        act(&near, &far);
    }
}

/// Does a server's side of a handshake.
pub(in crate::net) fn accept(
    stream: &Stream,
    config: &Arc<ServerConfig>,
) -> Result<(), HandshakeError> {
    let mut handshake = Handshake::default();
    let mut is_first = true;
    while handshake.goes_on() {
        handshake.take(&receive_records(stream, is_first)?, config)?;
        handshake.send(stream)?;
        is_first = false;
    }
    handshake.finish(stream, |named| named == Some(super::ALPN))
}

/// What a client and a server need that trust each other.
pub(in crate::net) fn configs(alpn: &[&[u8]]) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("a version")
        .with_root_certificates(roots);
    let mut client = client.with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .expect("a pair");
    server.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    server.send_tls13_tickets = 0;
    (Arc::new(client), Arc::new(server))
}
