//! A pin: the hash of a public key, by which a client knows a server or its authority without any
//! other authority. It is the key's hash and not the certificate's, so a renewed certificate of
//! the same key still fits.

use super::certificate;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// What stands before the digits, and says which hash it is.
const PREFIX: &str = "sha256:";

/// Bytes of the hash.
const BYTES: usize = 32;

/// The SHA-256 of a certificate's public key, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, derive_more::Debug, derive_more::Display, PartialEq, Eq)]
#[display("{PREFIX}{}", hex::encode(_0))]
#[debug("{self}")]
pub struct Pin([u8; BYTES]);

/// A text that is no [`Pin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sha256: and 64 hex digits, the hash of a public key")]
pub struct NoPin;

impl Pin {
    /// The pin of a certificate's key. `None` if it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Pin> {
        let (key, _) = certificate::key_and_use(certificate)?;
        Some(Pin(Sha256::digest(key).into()))
    }
}

impl FromStr for Pin {
    type Err = NoPin;

    fn from_str(text: &str) -> Result<Pin, NoPin> {
        let digits = text.strip_prefix(PREFIX).ok_or(NoPin)?;
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| NoPin)?;
        Ok(Pin(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_shown() {
        let text = format!("sha256:{}", "0fA9".repeat(16));
        let pin: Pin = text.parse().expect("a pin");
        assert_eq!(pin.to_string(), text.to_lowercase());
        let one_more = format!("{text}0");
        for wrong in ["", "sha256:", "sha1:00", &text[7..], &text[..70], &one_more] {
            assert_eq!(wrong.parse::<Pin>(), Err(NoPin), "{wrong}");
        }
        assert_eq!(text.replace('f', "g").parse::<Pin>(), Err(NoPin));
        assert_eq!(text.replace('f', "é").parse::<Pin>(), Err(NoPin));
    }
}
