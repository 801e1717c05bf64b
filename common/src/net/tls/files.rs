//! Certificates and keys as files: PEM, held to the same rules as every file that decides which
//! clients may join.

use crate::sys::trusted_file::{self, Distrust};
use crate::terminal::escape::path_line;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a file of certificates: the bundle of a whole system's authorities is a quarter of it.
pub const MAX_CERTIFICATES_FILE: usize = 1 << 20;

/// Bytes of a key's file: an RSA key of 16,384 bits fits.
pub const MAX_KEY_FILE: usize = 16 << 10;

/// Why a file gives no certificate or key.
#[derive(Debug, thiserror::Error)]
#[error("cannot take {what} from {}: {reason}", path_line(.file))]
pub struct TlsFileError {
    /// What it should have.
    pub what: &'static str,
    /// The file, as it was named.
    pub file: PathBuf,
    /// What is wrong with it; named in the sentence, so it is no source of its own.
    pub reason: WrongFile,
}

impl TlsFileError {
    /// Which user could have written it, if that is what is wrong.
    pub fn distrust(&self) -> Option<&Distrust> {
        match &self.reason {
            WrongFile::Untrusted(reason) => Some(reason),
            _ => None,
        }
    }
}

/// What is wrong with a file of certificates or a key.
#[derive(Debug, thiserror::Error)]
pub enum WrongFile {
    /// Another user could have written it, or can read a key, or it cannot be read.
    #[error("{0}")]
    Untrusted(Distrust),
    /// It has nothing of that kind.
    #[error("it has no {0} in PEM form (-----BEGIN …-----)")]
    None(&'static str),
    /// Its PEM is broken, and how: nothing of the file itself, as it may be a key.
    #[error("its PEM form is broken: {0}")]
    Pem(&'static str),
    /// What it has is not usable, alone or with another file.
    #[error("{0}")]
    Unusable(String),
}

/// Reads the certificates of a file, in their order: at least one.
///
/// # Errors
/// It has none, cannot be read, or another user could have written it.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    const WHAT: &str = "certificates";
    let wrong = |reason| error(WHAT, file, reason);
    let bytes = trusted_file::read(file, trusted_file::user(), MAX_CERTIFICATES_FILE);
    let bytes = bytes.map_err(|e| wrong(WrongFile::Untrusted(e)))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all.map_err(|e| wrong(WrongFile::Pem(broken(&e))))? {
        all if all.is_empty() => Err(wrong(WrongFile::None("CERTIFICATE"))),
        all => Ok(all),
    }
}

/// Reads the private key of a file.
///
/// # Errors
/// It has none, cannot be read, or users besides its owner and its group can read or write it.
pub fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    const WHAT: &str = "a private key";
    let wrong = |reason| error(WHAT, file, reason);
    let bytes = trusted_file::read_secret(file, trusted_file::user(), MAX_KEY_FILE);
    let bytes = Zeroizing::new(bytes.map_err(|e| wrong(WrongFile::Untrusted(e)))?);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| {
        wrong(match e {
            pem::Error::NoItemsFound => WrongFile::None("PRIVATE KEY"),
            e => WrongFile::Pem(broken(&e)),
        })
    })
}

/// How a PEM form is broken. The library's own words have the line that is wrong, which is the whole
/// key if its lines were joined.
fn broken(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no line -----END …----- of its own",
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN …----- has more behind it",
        pem::Error::Base64Decode(_) => "a section is no base64",
        pem::Error::SectionTooLarge => "a section is too long",
        _ => "it cannot be read",
    }
}

/// The error for a file that was read, and whose contents cannot be used.
pub fn unusable(what: &'static str, file: &Path, why: impl Into<String>) -> TlsFileError {
    error(what, file, WrongFile::Unusable(why.into()))
}

/// The error for a key that does not fit its certificate, or is none that can be used.
pub fn not_a_pair(cert: &Path, key: &Path, error: &rustls::Error) -> TlsFileError {
    let why = match error {
        rustls::Error::InconsistentKeys(_) => {
            format!(
                "it is not the key of the certificate in {}",
                path_line(cert)
            )
        }
        other => other.to_string(),
    };
    unusable("a private key", key, why)
}

fn error(what: &'static str, file: &Path, reason: WrongFile) -> TlsFileError {
    TlsFileError {
        what,
        file: file.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn no_error_shows_anything_of_a_broken_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0";
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        for (text, why) in [
            (format!("{begin}{secret}{end}"), "has no line -----END"),
            (format!("{begin}\n{secret}\n"), "has no line -----END"),
            (format!("{begin}\n{secret}{end}\n"), "has no line -----END"),
            (format!("{begin}{secret}\n{end}\n"), "has more behind it"),
            (format!("{begin}\n{secret}!\n{end}\n"), "no base64"),
            (secret.to_owned(), "no PRIVATE KEY"),
        ] {
            std::fs::write(&file, &text).expect("a file");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file, mode).expect("its mode");
            for error in [key(&file).map(drop), certificates(&file).map(drop)] {
                let Err(error) = error else { continue };
                let shown = format!("{error} {error:?}");
                // As text, and as numbers of its bytes.
                assert!(!shown.contains(&secret[..8]), "{text:?}: {shown}");
                assert!(!shown.contains("99, 50, 86, 106"), "{text:?}: {shown}");
            }
            let error = key(&file).expect_err(why).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
