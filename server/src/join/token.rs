//! The token that a server asks for. The server keeps its hash only.

use crate::authority::token::TokenHash;

/// The token that clients must show, as its SHA-256. `Debug` shows nothing: a token that is easily
/// guessed can be found by its hash.
#[derive(Clone, derive_more::Debug, PartialEq, Eq)]
#[debug("…")]
pub struct Token(TokenHash);

impl Token {
    /// Whether this is the token that a client shows. The time that it takes does not tell how
    /// much of a guess is right.
    pub(crate) fn is(&self, shown: &str) -> bool {
        TokenHash::of(shown).is(&self.0)
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Token {
        Token(TokenHash::of(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_equals_itself_alone_and_is_never_shown() {
        let token = Token::from("s3cret");
        assert!(token.is("s3cret"));
        for other in ["", "s3cre", "s3cret ", "S3cret"] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "…");
    }
}
