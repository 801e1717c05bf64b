//! The name of a client: which texts the protocol allows, and a type that holds only those. A name
//! goes into environments, logs and terminals, so each end checks the names that the other end tells.

use crate::limits::MAX_NAME;
use crate::wire::identity::Identity;
use crate::wire::text::{Text, clip};
use derive_more::{AsRef, Deref, Display};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A client's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, AsRef, Deref, Display)]
pub struct Name<'a>(
    #[as_ref(str)]
    #[deref(forward)]
    Cow<'a, str>,
);

impl<'a> Name<'a> {
    /// A name that a client asks for.
    ///
    /// # Errors
    /// A sentence that names it and says what would be right.
    pub fn asked_for(text: impl Into<Cow<'a, str>>) -> Result<Name<'a>, String> {
        let text = text.into();
        check_name(&text).map(|()| Name(text))
    }

    /// A name that a server tells: one that a client may ask for, or one that a server gives.
    ///
    /// # Errors
    /// A sentence that names it and says what would be right.
    pub fn told(text: impl Into<Cow<'a, str>>) -> Result<Name<'a>, String> {
        let text = text.into();
        match check_name(&text) {
            Err(why) if !is_given(&text) => Err(why),
            _ => Ok(Name(text)),
        }
    }

    /// A name that this end checked when it came, or gave itself.
    pub fn known(text: impl Into<Cow<'a, str>>) -> Name<'a> {
        Name(text.into())
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Name<'static> {
        Name(Cow::Owned(self.into_string()))
    }

    /// The name as text.
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }
}

/// The words that are selectors by themselves, and no names.
pub const WORDS: [&str; 4] = ["next", "least-loaded", "below", "all"];

/// How the names begin that a server gives; a client's number follows.
pub const GIVEN: &str = "client-";

/// Whether there is nothing but digits, if anything.
pub(super) fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a name may have it.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// Whether a text has the form of a name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, and is neither a
/// rank nor a range of ranks, open ones included.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(is_name_byte)
        && !is_ranks(text)
}

/// `2`, `3-` or `3-7`.
fn is_ranks(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, ""));
    !first.is_empty() && is_digits(first) && is_digits(last)
}

/// Checks a name that a client asks for.
///
/// # Errors
/// A sentence that names it and says what would be right.
pub fn check_name(name: &str) -> Result<(), String> {
    if is_ranks(name) {
        return Err(format!(
            "the name {:?} is not allowed: it would be read as a rank or a range of ranks; \
             add a letter",
            clip(name)
        ));
    }
    if !is_name(name) {
        return Err(format!(
            "the name {:?} is not allowed: a name starts with a letter or a digit, goes on with \
             letters, digits, '.', '_' or '-', and has at most {MAX_NAME} characters",
            clip(name)
        ));
    }
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(format!(
            "the name {name:?} is not allowed: it is a selector"
        ));
    }
    let (start, end) = name.split_at(name.len().min(GIVEN.len()));
    if start.eq_ignore_ascii_case(GIVEN) && !end.is_empty() && is_digits(end) {
        return Err(format!(
            "the name {name:?} is not allowed: the server gives names of that form; take another, such as web1"
        ));
    }
    Ok(())
}

/// Whether a text is a name that servers give: `client-<member>`. No client can ask for it.
pub fn is_given(text: &str) -> bool {
    let number = text.strip_prefix(GIVEN).unwrap_or_default();
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    is_plain && number.parse::<u64>().is_ok()
}

/// What is wrong with how a client is named in the parameters of a message, if that is what is
/// wrong with them: their own name, or the name, identity or role of the client that they are
/// from. Says which of these it is.
pub fn wrong_name(params: Option<&RawValue>) -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
        #[serde(borrow)]
        identity: Option<&'a RawValue>,
        #[serde(borrow)]
        role: Option<&'a RawValue>,
        #[serde(borrow)]
        from: Option<&'a RawValue>,
    }
    fn wrong<T>(
        place: &str,
        raw: Option<&RawValue>,
        read: impl Fn(String) -> Result<T, String>,
    ) -> Option<String> {
        let text: Text<'_> = serde_json::from_str(raw?.get()).ok()?;
        let why = read(text.into_cow().into_owned()).err()?;
        Some(format!("params.{place}: {why}"))
    }
    let Named { name, from, .. } = serde_json::from_str(params?.get()).ok()?;
    let from = from.and_then(|raw| serde_json::from_str::<Named<'_>>(raw.get()).ok());
    let from = from.unwrap_or_default();
    wrong("name", name, Name::told)
        .or_else(|| wrong("from.name", from.name, Name::told))
        .or_else(|| wrong("from.identity", from.identity, Identity::new))
        .or_else(|| wrong("from.role", from.role, Name::told))
}

impl<'de> Deserialize<'de> for Name<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Name::told(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_told_name_is_one_that_is_asked_for_or_given() {
        for right in ["web1", "a.b-c_d", "client-1", "client-18446744073709551615"] {
            assert_eq!(Name::told(right).as_deref(), Ok(right));
            assert!(Name::told(right).is_ok_and(|name| name.to_string() == right));
        }
        assert!(Name::asked_for("client-1").is_err());
        for wrong in [
            "",
            "x$(id)",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a b",
            "next",
            "client-01",
            "client-18446744073709551616",
            &"x".repeat(65),
        ] {
            assert!(Name::told(wrong).is_err(), "{wrong}");
            let json = serde_json::to_string(wrong).expect("JSON");
            assert!(serde_json::from_str::<Name<'_>>(&json).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_from_other_faults() {
        for (params, is_wrong) in [
            (r#"{"name":"a b"}"#, true),
            (r#"{"name":"a\u001bb","member":"x"}"#, true),
            (r#"{"from":{"name":"x$(id)"}}"#, true),
            (r#"{"from":{"name":"web1","identity":"a\nb"}}"#, true),
            (
                r#"{"from":{"name":"web1","identity":"alice","role":"a b"}}"#,
                true,
            ),
            (
                r#"{"from":{"name":"web1","identity":"a b","role":"ops"}}"#,
                false,
            ),
            (r#"{"from":{"name":"web1","identity":5,"role":5}}"#, false),
            (r#"{"name":"web1","identity":"\u0000"}"#, false),
            (r#"{"from":{"name":"web1"},"name":"web1"}"#, false),
            (r#"{"from":{"member":1}}"#, false),
            (r#"{"name":5}"#, false),
            (r#"{"from":5}"#, false),
            ("[]", false),
        ] {
            let raw: &RawValue = serde_json::from_str(params).expect("JSON");
            assert_eq!(wrong_name(Some(raw)).is_some(), is_wrong, "{params}");
        }
        assert_eq!(wrong_name(None), None);
    }
}
