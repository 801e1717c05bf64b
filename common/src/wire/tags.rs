//! Tags: what a client says about itself in `join`, for selectors to find it by. They decide
//! nothing about authority.

use crate::limits::{MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS};
use crate::wire::text::clip;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The tags of one client: at most [`MAX_TAGS`] pairs of a key and a value, in the order of the
/// keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tags(BTreeMap<Box<str>, Box<str>>);

impl Tags {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| &**value)
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// A sentence that names what is wrong and says what would be right.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        if !is_key(key) {
            return Err(format!(
                "the tag {:?} is not allowed: its key starts with a small letter, goes on with small \
                 letters, digits, '_', '.' or '-', and has at most {MAX_TAG_KEY} characters",
                clip(key)
            ));
        }
        if !is_value(value) {
            return Err(format!(
                "the tag {key:?} may not be {:?}: a value is 1 to {MAX_TAG_VALUE} letters, digits or \
                 characters of ._:/@+-",
                clip(value)
            ));
        }
        if self.0.insert(key.into(), value.into()).is_some() {
            return Err(format!("the tag {key:?} stands twice"));
        }
        match self.0.len() {
            ..=MAX_TAGS => Ok(()),
            _ => Err(format!("a client has at most {MAX_TAGS} tags")),
        }
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Tags;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
        let mut tags = Tags::default();
        while let Some((key, value)) = map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? {
            tags.add(&key, &value).map_err(A::Error::custom)?;
        }
        Ok(tags)
    }
}

/// Whether a text has the form of a key: `[a-z][a-z0-9_.-]{0,31}`.
pub fn is_key(text: &str) -> bool {
    let rest_is_right = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    text.len() <= MAX_TAG_KEY
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(rest_is_right)
}

/// Whether a text has the form of a value.
pub fn is_value(text: &str) -> bool {
    (1..=MAX_TAG_VALUE).contains(&text.len()) && text.bytes().all(is_value_byte)
}

/// Whether a value may have this character.
pub(super) fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_the_form_of_the_protocol() {
        let read = |json: &str| serde_json::from_str::<Tags>(json).map_err(|e| e.to_string());
        let many = |n: usize| {
            let pairs: Vec<String> = (0..n).map(|n| format!(r#""k{n}":"v""#)).collect();
            format!("{{{}}}", pairs.join(","))
        };
        let value = |n: usize| format!(r#"{{"a":"{}"}}"#, "v".repeat(n));
        let key = |n: usize| format!(r#"{{"{}":"v"}}"#, "k".repeat(n));
        for (json, is_right) in [
            ("{}", true),
            (r#"{"role":"web","dc.1_x-y":"fra/1:a@b+c-d.e_F"}"#, true),
            (r#"{"r\u006fle":"web"}"#, true),
            (&many(16), true),
            (&many(17), false),
            (&value(64), true),
            (&value(65), false),
            (&value(0), false),
            (&key(32), true),
            (&key(33), false),
            (&key(0), false),
            (r#"{"Role":"web"}"#, false),
            (r#"{"1a":"web"}"#, false),
            (r#"{"role":"a b"}"#, false),
            (r#"{"role":"a=b"}"#, false),
            (r#"{"role":"käse"}"#, false),
            (r#"{"role":1}"#, false),
            (r#"{"role":null}"#, false),
            (r#"{"role":"a","role":"a"}"#, false),
            ("[]", false),
            (r#""role=web""#, false),
        ] {
            assert_eq!(read(json).is_ok(), is_right, "{json}: {:?}", read(json));
        }
        let tags = read(r#"{"role":"web","dc":"fra"}"#).expect("tags");
        assert_eq!(tags.to_string(), "dc=fra,role=web");
        let json = serde_json::to_string(&tags).expect("JSON");
        assert_eq!(json, r#"{"dc":"fra","role":"web"}"#);
    }
}
