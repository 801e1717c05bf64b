//! The words of a command, as a record keeps them: all, or the first with a keyed hash of all.

use crate::wire::Words;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sha2::Sha256;
use std::str::FromStr;

/// Bytes of the key: as many as the hash has (RFC 2104 §3).
const KEY: usize = 32;

/// Which words a log keeps.
#[derive(Clone, derive_more::Debug)]
pub enum KeptWords {
    /// All of them.
    Full,
    /// The first, how many there are, and an HMAC-SHA-256 of all under this key: it tells
    /// whether two commands are the same, and no reader of the log can guess words with it.
    #[debug("First")]
    First(WordsKey),
}

impl FromStr for KeptWords {
    type Err = String;
    fn from_str(text: &str) -> Result<KeptWords, String> {
        match text {
            "full" => Ok(KeptWords::Full),
            "first" => match WordsKey::random() {
                Ok(key) => Ok(KeptWords::First(key)),
                Err(error) => Err(format!("no key for the hash of the words: {error}")),
            },
            _ => Err("expected full or first".into()),
        }
    }
}

/// The key of the hashes: a new one at each start, kept in memory alone.
#[derive(Clone)]
pub struct WordsKey([u8; KEY]);

impl WordsKey {
    /// A new key from the system's source of randomness.
    ///
    /// # Errors
    /// The system has none.
    pub fn random() -> std::io::Result<WordsKey> {
        let mut key = [0; KEY];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(WordsKey(key))
    }
}

/// The words of one command, as they are kept.
#[derive(Clone, Debug)]
pub enum AuditedWords<'a> {
    /// All, as the JSON that they came in.
    Raw(Words<'a>),
    /// All.
    Full(&'a [String]),
    /// The first, how many, and the HMAC of all.
    First(String, usize, String),
}

impl KeptWords {
    /// What is kept of the words of a line.
    pub fn of_line<'a>(&self, words: Words<'a>) -> AuditedWords<'a> {
        match self {
            KeptWords::Full => AuditedWords::Raw(words),
            KeptWords::First(key) => first(key, &words.to_vec()),
        }
    }

    /// What is kept of these words.
    pub fn of<'a>(&self, words: &'a [String]) -> AuditedWords<'a> {
        match self {
            KeptWords::Full => AuditedWords::Full(words),
            KeptWords::First(key) => first(key, words),
        }
    }

    /// What is kept of the message with which an executor explains an outcome: nothing if words are
    /// left out, as it may repeat any of them.
    pub fn of_message<'a>(&self, message: Option<&'a str>) -> Option<&'a str> {
        message.filter(|_| matches!(self, KeptWords::Full))
    }
}

fn first(WordsKey(key): &WordsKey, words: &[String]) -> AuditedWords<'static> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    for word in words {
        mac.update(&(word.len() as u64).to_be_bytes());
        mac.update(word.as_bytes());
    }
    let hex = hex::encode(mac.finalize().into_bytes());
    AuditedWords::First(words.first().cloned().unwrap_or_default(), words.len(), hex)
}

impl Serialize for AuditedWords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            AuditedWords::Raw(words) => map.serialize_entry("words", words)?,
            AuditedWords::Full(words) => map.serialize_entry("words", words)?,
            AuditedWords::First(first, count, hmac) => {
                map.serialize_entry("words", &[first])?;
                map.serialize_entry("words_count", count)?;
                map.serialize_entry("words_hmac", hmac)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(by: &KeptWords, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        serde_json::to_string(&by.of(&words)).expect("JSON")
    }

    #[test]
    fn the_first_word_stays_and_the_hash_tells_whether_all_are_the_same() {
        let line = "[\"deploy\",\r\"s3cret\"]";
        let (words, _) = Words::prefix_of(line).expect("words");
        let full = serde_json::to_string(&KeptWords::Full.of_line(words)).expect("JSON");
        assert_eq!(full, r#"{"words":["deploy","s3cret"]}"#);
        assert_eq!(full, kept(&KeptWords::Full, &["deploy", "s3cret"]));

        let key = WordsKey::random().expect("randomness");
        let first = KeptWords::First(key);
        let one = kept(&first, &["deploy", "s3cret"]);
        let of_line = serde_json::to_string(&first.of_line(words)).expect("JSON");
        assert_eq!(one, of_line);
        assert!(one.starts_with(r#"{"words":["deploy"],"words_count":2,"words_hmac":""#));
        assert!(!one.contains("s3cret") && !format!("{first:?}").contains('['));
        for other in [
            &["deploy", "s3cre"][..],
            &["deploys3cret"],
            &["deploys", "3cret"],
        ] {
            assert_ne!(one, kept(&first, other));
        }
        let other_key = KeptWords::First(WordsKey::random().expect("randomness"));
        assert_ne!(one, kept(&other_key, &["deploy", "s3cret"]));
    }
}
