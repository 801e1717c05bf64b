//! The credential that a server may ask for: a secret that no log shows, that is wiped from
//! memory when it is dropped, and that is read only from files that no other user can write.

use crate::sys::trusted_file::{self, Distrust};
use crate::terminal::escape::path_line;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of a token file: a token of 2 KiB, with a comment below it, is longer than any that
/// is in use, and a `join` carries it with room to spare.
pub const MAX_TOKEN_FILE: usize = 4 << 10;

/// A text that is shown nowhere, and wiped when it is dropped.
#[derive(Clone, derive_more::Debug)]
#[debug("…")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for as long as it is needed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
#[error("cannot take a token from {}: {reason}", path_line(.file))]
pub struct TokenError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// What is wrong with it; named in the sentence, so it is no source of its own.
    pub reason: NoToken,
}

/// What is wrong with a token file.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// Another user could have written it, or it cannot be read.
    #[error("{0}")]
    Untrusted(Distrust),
    /// It is no text.
    #[error("its first line is not UTF-8; a token is text")]
    NoText,
    /// There is nothing in it.
    #[error("it has an empty first line, which must be the token")]
    Empty,
}

/// Reads the token on the first line of a file, without the blanks around it.
///
/// # Errors
/// The file has none, cannot be read, or could have been written by another user.
pub fn read(file: &Path) -> Result<Secret, TokenError> {
    first_line(file).map_err(|reason| TokenError {
        file: file.to_owned(),
        reason,
    })
}

fn first_line(file: &Path) -> Result<Secret, NoToken> {
    let bytes = trusted_file::read_secret(file, trusted_file::user(), MAX_TOKEN_FILE);
    let bytes = Zeroizing::new(bytes.map_err(NoToken::Untrusted)?);
    let line = bytes.split(|byte| *byte == b'\n').next();
    let line = std::str::from_utf8(line.unwrap_or_default()).map_err(|_| NoToken::NoText)?;
    match line.trim() {
        "" => Err(NoToken::Empty),
        token => Ok(token.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::from("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret, Secret::from("hunter2".to_owned()));
        assert_ne!(secret, Secret::from("hunter3"));
    }

    fn write(file: &Path, text: &[u8]) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::write(file, text).expect("a file");
        std::fs::set_permissions(file, mode).expect("its mode can be changed");
    }

    #[test]
    fn a_token_that_every_user_can_read_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        write(&file, b"s3cret\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&file, mode).expect("its mode can be changed");
        let error = read(&file).expect_err("every user can read it").to_string();
        assert!(error.contains("(chmod o-r "), "{error}");
    }

    #[test]
    fn the_token_is_the_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        for (text, token) in [
            (&b"s3cret\n"[..], "s3cret"),
            (b" s3cret \r\nsecond line\n", "s3cret"),
            (b"s3cret", "s3cret"),
            (b"s3cret\n\xff", "s3cret"),
        ] {
            write(&file, text);
            assert_eq!(read(&file).expect("a token").reveal(), token);
        }
        for (text, why) in [
            (&b""[..], "empty first line"),
            (b"\ns3cret\n", "empty first line"),
            (b" \t\n", "empty first line"),
            (b"\xff\n", "not UTF-8"),
        ] {
            write(&file, text);
            let error = read(&file).expect_err(why).to_string();
            let name = file.to_string_lossy();
            assert!(error.contains(why) && error.contains(&*name), "{error}");
        }
    }
}
