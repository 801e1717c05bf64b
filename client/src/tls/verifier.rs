//! Whether the certificates that a server shows make it the server that is meant.

use common::net::tls::certificate;
use common::net::tls::pin::Pin;
use common::net::tls::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    VerifierBuilderError, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
    verify_server_name,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use std::sync::Arc;

/// By what a server is known: authorities, pins, or both, and then both must hold.
#[derive(Debug)]
pub(super) struct Verifier {
    by_authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The authorities, for pins of them that the server does not show.
    authorities: Vec<CertificateDer<'static>>,
    pins: Vec<Pin>,
    provider: Arc<CryptoProvider>,
}

/// No key that the server shows is pinned. The pin that it does have is not in here: to paste that
/// into a command would be to trust a server because it says so itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "none of the keys that it shows has the pin of its address or of --pin: it is another server, or \
     its keys are new; compare the pin with what `pecking-server tls show DIR` prints on the server"
)]
struct NotPinned;

impl Verifier {
    pub(super) fn new(
        authorities: Option<Vec<CertificateDer<'static>>>,
        pins: Vec<Pin>,
    ) -> Result<Verifier, VerifierBuilderError> {
        let by_authorities = authorities.as_ref().map(|all| {
            let mut roots = RootCertStore::empty();
            // A system has some that are of no use here.
            let (_, _) = roots.add_parsable_certificates(all.iter().cloned());
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
        });
        Ok(Verifier {
            by_authorities: by_authorities.transpose()?,
            authorities: authorities.unwrap_or_default(),
            pins,
            provider: provider(),
        })
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        Pin::of(certificate).is_some_and(|pin| self.pins.contains(&pin))
    }

    /// Holds a server to the pins. That its own key is pinned says everything; that of an
    /// authority says that its signature counts, for a name and a time.
    fn check_pins(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.is_pinned(own) {
            return Ok(());
        }
        let mut pinned = RootCertStore::empty();
        for one in others.iter().chain(&self.authorities) {
            let is_authority = certificate::key_and_use(one).is_some_and(|(_, signs)| signs);
            if is_authority && self.is_pinned(one) {
                pinned.add(one.clone().into_owned())?;
            }
        }
        if pinned.is_empty() {
            let not_pinned = OtherError(Arc::new(NotPinned));
            return Err(CertificateError::Other(not_pinned).into());
        }
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, &pinned, others, now, algorithms)?;
        verify_server_name(&own, name)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.by_authorities {
            authorities.verify_server_cert(own, others, name, ocsp, now)?;
        }
        if !self.pins.is_empty() {
            self.check_pins(own, others, name, now)?;
        } else if self.by_authorities.is_none() {
            return Err(Error::General("nothing is trusted".into()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
