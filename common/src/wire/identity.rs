//! The identity that a client has proven, as a type that holds none that the protocol does not
//! allow: it goes into logs, environments and terminals at both ends.

use crate::limits::MAX_IDENTITY;
use crate::wire::text::clip;
use derive_more::{Deref, Display};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An identity: printable ASCII without what needs an escape in a string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deref, Display)]
pub struct Identity<'a>(#[deref(forward)] Cow<'a, str>);

impl<'a> Identity<'a> {
    /// An identity of a text.
    ///
    /// # Errors
    /// A sentence that names the text and says what would be right.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Identity<'a>, String> {
        let text = text.into();
        let is_printable = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
        match (1..=MAX_IDENTITY).contains(&text.len()) && text.bytes().all(is_printable) {
            true => Ok(Identity(text)),
            false => Err(format!(
                "found {:?}, expected 1 to {MAX_IDENTITY} printable ASCII characters without \
                 quotes and backslashes",
                clip(&text)
            )),
        }
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Identity<'static> {
        Identity(Cow::Owned(self.0.into_owned()))
    }
}

impl<'de> Deserialize<'de> for Identity<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Identity::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_identity() {
        for right in ["alice", "spiffe://corp/a b", "~", &"x".repeat(MAX_IDENTITY)] {
            assert_eq!(Identity::new(right).as_deref(), Ok(right));
        }
        for wrong in [
            "",
            "a\"b",
            "a\\b",
            "\u{e4}",
            "a\nb",
            "\x7f",
            &"x".repeat(MAX_IDENTITY + 1),
        ] {
            assert!(Identity::new(wrong).is_err(), "{wrong}");
            let json = serde_json::to_string(wrong).expect("JSON");
            assert!(serde_json::from_str::<Identity<'_>>(&json).is_err());
        }
    }
}
