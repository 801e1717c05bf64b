//! The ids by which a request and its answer are told to belong together.

use crate::limits::MAX_ID;
use crate::wire::text::clip;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// A request id: an integer of 64 bits, signed or not, or a string of at most
/// [`MAX_ID`] bytes. `1` and `"1"` are two ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// An integer that fits an `i64`.
    Integer(i64),
    /// An integer above `i64::MAX`.
    Large(u64),
    Text(Box<str>),
}

impl Id {
    /// Reads an id from its JSON text; says what an id is if this is none.
    ///
    /// # Errors
    /// A sentence that names the value.
    pub fn parse(raw: &str) -> Result<Id, String> {
        if raw.starts_with('"') {
            let text: String = serde_json::from_str(raw)
                .map_err(|_| format!("the id {} is not a valid string", clip(raw)))?;
            if text.len() > MAX_ID {
                return Err(format!(
                    "the id has {} bytes; at most {MAX_ID} are allowed",
                    text.len()
                ));
            }
            return Ok(Id::Text(text.into()));
        }
        if let Ok(integer) = raw.parse() {
            return Ok(Id::Integer(integer));
        }
        raw.parse().map(Id::Large).map_err(|_| {
            format!(
                "the id {} is neither a string nor an integer of 64 bits",
                clip(raw)
            )
        })
    }

    /// The id as an unsigned integer, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Id::Integer(id) => u64::try_from(*id).ok(),
            Id::Large(id) => Some(*id),
            Id::Text(_) => None,
        }
    }
}

impl From<u64> for Id {
    fn from(value: u64) -> Id {
        i64::try_from(value).map_or(Id::Large(value), Id::Integer)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Integer(n) => n.fmt(f),
            Id::Large(n) => n.fmt(f),
            Id::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Id::parse(raw.get()).map_err(de::Error::custom)
    }
}
