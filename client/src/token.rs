//! The source of a client's token.

use common::token::{self, Secret, TokenError};
use std::path::PathBuf;

/// The source of the token that a client shows its server. A token in a file is read anew for each
/// connection, and is in memory only until the client has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// The first line of a file, which only the user of this process and root can write.
    File(PathBuf),
    /// This text, which stays in memory as long as the client.
    Text(Secret),
}

impl Token {
    pub(crate) fn read(&self) -> Result<Secret, TokenError> {
        match self {
            Token::File(file) => token::read(file),
            Token::Text(secret) => Ok(secret.clone()),
        }
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Token {
        Token::Text(text.into())
    }
}
