//! What a certificate says that `rustls` does not tell: the identity of its holder, the hash of
//! its key, until when it is valid, and whether it may sign others.

use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Bytes of an identity: a SPIFFE id of the longest kind fits twice.
pub const MAX_IDENTITY: usize = 256;

/// Why a certificate gives no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Malformed(String),
    /// There is no name of a kind that counts.
    #[error(
        "the certificate has no subject alternative name of the type URI or DNS; \
         the common name does not count"
    )]
    None,
    /// There is more than one.
    #[error(
        "the certificate has {count} subject alternative names of the type {kind}; \
         exactly one is an identity"
    )]
    Several {
        /// Of which type.
        kind: &'static str,
        /// How many.
        count: usize,
    },
    /// The name cannot be shown as it is.
    #[error(
        "the certificate's name is no identity: 1 to {MAX_IDENTITY} bytes of printable ASCII \
         without '\"' and '\\'"
    )]
    Unusable,
}

/// The identity of a certificate's holder: its one name of the type URI, else `dns:` and its one
/// DNS name. The common name never counts: too many meanings have been given to it.
///
/// # Errors
/// There is none, or more than one.
pub fn identity(certificate: &CertificateDer<'_>) -> Result<Box<str>, NoIdentity> {
    let certificate = parse(certificate).map_err(NoIdentity::Malformed)?;
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|e| NoIdentity::Malformed(e.to_string()))?;
    let names = names.map(|names| &names.value.general_names[..]);
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in names.unwrap_or_default() {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(host) => hosts.push(*host),
            _ => {}
        }
    }
    let several = |kind, count| Err(NoIdentity::Several { kind, count });
    let identity = match (&uris[..], &hosts[..]) {
        // It would pass for a DNS name, which an authority checks in another way.
        ([uri], _) if has_dns_scheme(uri) => return Err(NoIdentity::Unusable),
        ([uri], _) => (*uri).to_owned(),
        ([], [host]) => format!("dns:{host}"),
        ([], []) => return Err(NoIdentity::None),
        ([], several_hosts) => return several("DNS", several_hosts.len()),
        (several_uris, _) => return several("URI", several_uris.len()),
    };
    let is_shown = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
    match (1..=MAX_IDENTITY).contains(&identity.len()) && identity.bytes().all(is_shown) {
        true => Ok(identity.into()),
        false => Err(NoIdentity::Unusable),
    }
}

/// Schemes are the same in upper and lower case (RFC 3986, section 3.1).
fn has_dns_scheme(uri: &str) -> bool {
    uri.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("dns:"))
}

/// The part of a certificate that is its public key (`SubjectPublicKeyInfo`), which pins hash; and
/// whether it may sign others. `None` if it cannot be read.
pub fn key_and_use(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, bool)> {
    let certificate = parse(certificate).ok()?;
    Some((certificate.public_key().raw.to_vec(), certificate.is_ca()))
}

/// The time from which a certificate is no longer valid. `None` if it cannot be read.
pub fn valid_until(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let until = parse(certificate).ok()?.validity().not_after.timestamp();
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(until).ok()?))
}

/// A certificate that can be read.
///
/// # Errors
/// What is wrong with it.
pub fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let parsed = X509Certificate::from_der(certificate.as_ref());
    parsed.map(|(_, parsed)| parsed).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(names: &[SanType]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "web1");
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").into()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(Ia5String::try_from(text).expect("ASCII"))
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(Ia5String::try_from(text).expect("ASCII"))
    }

    #[test]
    fn the_one_uri_or_the_one_dns_name_is_the_identity() {
        let ip = SanType::IpAddress([10, 0, 0, 1].into());
        let several = |kind| Err(NoIdentity::Several { kind, count: 2 });
        let long = format!("spiffe://corp/{}", "x".repeat(MAX_IDENTITY));
        for (names, expected) in [
            (vec![uri("pecking:web1")], Ok("pecking:web1")),
            (vec![uri("pecking:web1"), dns("web1")], Ok("pecking:web1")),
            (vec![uri("a:1"), dns("x"), dns("y"), ip.clone()], Ok("a:1")),
            (
                vec![dns("web1.example"), ip.clone()],
                Ok("dns:web1.example"),
            ),
            (vec![uri("a:1"), uri("a:2")], several("URI")),
            (vec![uri("a:1"), uri("a:2"), dns("web1")], several("URI")),
            (vec![dns("web1"), dns("web2")], several("DNS")),
            (vec![], Err(NoIdentity::None)),
            (vec![ip], Err(NoIdentity::None)),
            (vec![uri("a:\"1")], Err(NoIdentity::Unusable)),
            (vec![uri("a:\n")], Err(NoIdentity::Unusable)),
            (vec![uri("")], Err(NoIdentity::Unusable)),
            (vec![uri("dns:web1.example")], Err(NoIdentity::Unusable)),
            (
                vec![uri("DNS:web1"), dns("web1")],
                Err(NoIdentity::Unusable),
            ),
            (vec![uri(&long)], Err(NoIdentity::Unusable)),
        ] {
            let found = identity(&certificate(&names));
            assert_eq!(found.as_deref(), expected.as_deref(), "{names:?}");
        }
        let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
        assert!(matches!(identity(&garbage), Err(NoIdentity::Malformed(_))));
        assert!(key_and_use(&garbage).is_none() && valid_until(&garbage).is_none());
    }
}
