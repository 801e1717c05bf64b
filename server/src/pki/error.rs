//! Why a certificate was not made, renewed or shown: one sentence each.

use super::file_names::CA_CERT;
use crate::authority::AuthError;
use common::net::tls::files::TlsFileError;
use common::sys::trusted_file::Distrust;
use common::terminal::escape::path_line as shown;
use std::path::PathBuf;

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file would have been overwritten.
    #[error("{} exists already, and is not overwritten", shown(.0))]
    Exists(PathBuf),
    /// A client has a certificate, or a key for one, already.
    #[error(
        "{} exists already, and is not overwritten; `pecking-server tls renew` makes a new \
         certificate for the same key",
        shown(.0)
    )]
    Issued(PathBuf),
    /// A file or a folder could not be written.
    #[error("cannot write {}: {error}", shown(.file))]
    Unwritable {
        /// Which.
        file: PathBuf,
        /// What the system says; named in the sentence, so it is no source of its own.
        error: std::io::Error,
    },
    /// A folder could not be read.
    #[error("cannot read {}: {error}", shown(.folder))]
    Unreadable {
        /// Which.
        folder: PathBuf,
        /// What the system says; named in the sentence, so it is no source of its own.
        error: std::io::Error,
    },
    /// Something else stands where the folder would be.
    #[error("{} is no folder; name a new one, or one without certificates", shown(.0))]
    NoFolder(PathBuf),
    /// Another user could change what is in the folder.
    #[error("{} is no folder for keys: {reason}", shown(.folder))]
    Untrusted {
        /// Which.
        folder: PathBuf,
        /// Why; named in the sentence, so it is no source of its own.
        reason: Distrust,
    },
    /// The folder has no authority.
    #[error(
        "{} has no {CA_CERT}, so there is no authority to sign with (`pecking-server init` makes one)",
        shown(.0)
    )]
    NoAuthority(PathBuf),
    /// The folder has no certificates.
    #[error("{} has no certificates: no file in it ends in .pem", shown(.0))]
    NoCertificates(PathBuf),
    /// The authority cannot sign.
    #[error("{}: {why}", shown(.file))]
    WrongAuthority {
        /// Its certificate or its key.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate would be valid for too long, or not at all.
    #[error(
        "expected 1 to {most} days, found {days}: no certificate is valid for longer than that of \
         its authority, which ends at {until}"
    )]
    Days {
        /// How many were asked for.
        days: u32,
        /// How many there may be now.
        most: u32,
        /// When the authority ends.
        until: String,
    },
    /// There is no such certificate to renew.
    #[error("{} does not exist; {hint}", shown(.file))]
    NothingToRenew {
        /// Where it would be.
        file: PathBuf,
        /// How it is made.
        hint: String,
    },
    /// It is not one that this authority gave this name.
    #[error("{} is not renewed: {why}", shown(.file))]
    NotRenewed {
        /// Which.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file of certificates or a key could not be taken.
    #[error(transparent)]
    File(#[from] TlsFileError),
    /// The auth file or a token could not be made.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The library or the system could not make it.
    #[error("cannot make a certificate: {0}")]
    Making(String),
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> PkiError {
        PkiError::Making(error.to_string())
    }
}
