//! The tokens that the server makes: `po1_`, eight characters that people may read and log, and
//! 256 random bits that no other place than the client's token file has.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::token::Secret;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How every token begins: scanners for secrets that were published find it by that.
const PREFIX: &str = "po1_";

/// Characters of the key id.
const KEY_ID: usize = 8;

/// Random bytes of the secret: as many as SHA-256 has, so that no stretching is needed.
const SECRET_BYTES: usize = 32;

/// What stands for 32 bytes in base64url without padding.
const SECRET: usize = 43;

/// The characters of a key id: 32, so that five bits of a random byte choose one, and none that
/// is taken for another one when it is read out.
const KEY_CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What a file keeps of a token: enough to know it again. It is shown nowhere but there, as text.
#[derive(Clone, Copy, derive_more::Debug, derive_more::Display, PartialEq, Eq, Hash)]
#[display("sha256:{}", hex::encode(_0))]
#[debug("…")]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token that a client shows.
    pub(crate) fn of(token: &str) -> TokenHash {
        TokenHash(Sha256::digest(token).into())
    }

    /// Whether it is the same, in a time that does not say how much of it is.
    pub(crate) fn is(&self, other: &TokenHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Reads `sha256:` and 64 hexadecimal digits. No error repeats the text: it may be a token.
    pub(crate) fn parse(text: &str) -> Result<TokenHash, String> {
        const EXPECTED: &str = "expected \"sha256:\" and the 64 hexadecimal digits of the SHA-256 \
                                of a token, as `pecking-server auth add` writes it";
        let Some(digits) = text.strip_prefix("sha256:") else {
            return Err(match key_id(text) {
                Some(_) => format!("found a token itself, {EXPECTED}"),
                None => format!(
                    "found a text of {} characters, {EXPECTED}",
                    text.chars().count()
                ),
            });
        };
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| {
            let count = digits.chars().count();
            format!("found {count} characters behind \"sha256:\", {EXPECTED}")
        })?;
        Ok(TokenHash(hash))
    }
}

/// A new token.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn generate() -> Result<Secret, getrandom::Error> {
    let mut random = Zeroizing::new([0; KEY_ID + SECRET_BYTES]);
    getrandom::fill(&mut *random)?;
    let (key, secret) = random.split_at(KEY_ID);
    let mut token = Zeroizing::new(String::with_capacity(PREFIX.len() + KEY_ID + 1 + SECRET));
    token.push_str(PREFIX);
    token.extend(
        key.iter()
            .map(|byte| char::from(KEY_CHARACTERS[usize::from(byte % 32)])),
    );
    token.push('_');
    URL_SAFE_NO_PAD.encode_string(secret, &mut token);
    Ok(Secret::from(token.as_str()))
}

/// The part of a token that may be shown, if the text has the form of one.
pub(super) fn key_id(token: &str) -> Option<&str> {
    let rest = token.strip_prefix(PREFIX)?;
    let (key, secret) = (rest.get(..KEY_ID)?, rest.get(KEY_ID..)?.strip_prefix('_')?);
    let is_right = |text: &str, more: &str| {
        let mut characters = text.chars();
        characters.all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (is_right(key, "") && secret.len() == SECRET && is_right(secret, "-_")).then_some(key)
}

/// A text without the secrets of tokens in it, whole or cut.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains(PREFIX) {
        return text.into();
    }
    let mut pieces = text.split(PREFIX);
    let mut redacted = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let end = piece.find(|c| !is_part(c)).unwrap_or(piece.len());
        let shown = piece[..end].split('_').next().unwrap_or_default();
        let shown = &shown[..shown.len().min(KEY_ID)];
        redacted.extend([PREFIX, shown, "_…", &piece[end..]]);
    }
    redacted.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_has_its_form_and_is_like_no_other() {
        let tokens: Vec<Secret> = (0..100)
            .map(|_| generate().expect("random bytes"))
            .collect();
        for (n, token) in tokens.iter().enumerate() {
            let text = token.reveal();
            assert_eq!(text.len(), 4 + 8 + 1 + 43);
            assert_eq!(key_id(text), text.get(4..12));
            assert!(tokens[..n].iter().all(|other| other != token));
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_an_error_repeats_none() {
        let hash = TokenHash::of("x");
        assert_eq!(TokenHash::parse(&hash.to_string()), Ok(hash));
        assert_eq!(
            TokenHash::parse(&hash.to_string().to_uppercase().replace("SHA", "sha")),
            Ok(hash)
        );
        assert_eq!(format!("{hash:?}"), "…");
        let token = generate().expect("random bytes");
        let short = format!("sha256:{}", "a".repeat(63));
        let none = format!("sha256:{}", "g".repeat(64));
        for (wrong, why) in [
            ("", "a text of 0 characters"),
            ("hunter2", "a text of 7 characters"),
            (token.reveal(), "found a token itself"),
            (&short, "63 characters behind"),
            (&none, "64 characters behind"),
        ] {
            let error = TokenHash::parse(wrong).expect_err(why);
            assert!(
                error.contains(why) && error.contains("64 hexadecimal digits"),
                "{error}"
            );
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_secret_of_a_token_is_cut_out_of_any_text() {
        let secret = "A-_z".repeat(11);
        for (text, redacted) in [
            ("no token".to_owned(), "no token"),
            (
                format!("found \"po1_abcdefgh_{secret}\", x"),
                "found \"po1_abcdefgh_…\", x",
            ),
            (
                format!("po1_{secret} po1_abcdefgh_{secret}"),
                "po1_A-_… po1_abcdefgh_…",
            ),
            (format!("po1_{}", "b".repeat(50)), "po1_bbbbbbbb_…"),
        ] {
            assert_eq!(redact(&text), redacted);
        }
    }
}
