//! Where a client's token comes from.

use common::token::{self, Secret, TokenError};
use std::path::{Path, PathBuf};

/// Where the token comes from that a client shows its server. A token in a file is read anew for
/// each connection, and is in memory only until the client has joined: a token that changes
/// while the client runs counts from the next connection on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// The first line of a file, which only the user of this process and root can write.
    File(PathBuf),
    /// This text, which stays in memory as long as the client.
    Text(Secret),
}

impl Token {
    /// The token as it is now.
    pub(crate) fn read(&self) -> Result<Secret, TokenError> {
        match self {
            Token::File(file) => token::read(file),
            Token::Text(secret) => Ok(secret.clone()),
        }
    }
}

impl From<&Path> for Token {
    fn from(file: &Path) -> Token {
        Token::File(file.to_owned())
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Token {
        Token::Text(text.into())
    }
}

impl From<String> for Token {
    fn from(text: String) -> Token {
        Token::Text(text.into())
    }
}
