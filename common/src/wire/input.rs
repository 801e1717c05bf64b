//! The input of a command, from its sender to its programs, and how far these got through with it.

use crate::limits::INPUT_WINDOW;
use crate::wire::id::Id;
use crate::wire::text::Text;
use crate::wire::{base64_len, null_is_false};
use base64_simd::STANDARD;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a command has input, and how much of it may be under way: `true`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Stdin {
    /// With the usual window, or no input.
    Flag(bool),
    Window(u64),
}

impl Stdin {
    /// How many bytes may be under way; `None` without input.
    pub fn window(self) -> Option<u64> {
        match self {
            Stdin::Flag(false) => None,
            Stdin::Flag(true) => Some(INPUT_WINDOW),
            Stdin::Window(bytes) => Some(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Stdin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StdinVisitor;
        impl Visitor<'_> for StdinVisitor {
            type Value = Stdin;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or a number of bytes")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Stdin, E> {
                Ok(Stdin::Flag(flag))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Stdin, E> {
                Ok(Stdin::Window(bytes))
            }
        }
        deserializer.deserialize_any(StdinVisitor)
    }
}

/// `input`, from a sender.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SendInput<'a> {
    pub send: Id,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
    /// Nothing comes after it.
    #[serde(
        default,
        deserialize_with = "null_is_false",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub end: bool,
}

/// `input`, to an executor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ExecutionInput<'a> {
    pub id: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
    /// Nothing comes after it.
    #[serde(
        default,
        deserialize_with = "null_is_false",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub end: bool,
}

/// `input_consumed`, to a sender.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SendInputConsumed {
    pub send: Id,
    /// How much of its input every open target has consumed.
    pub consumed: u64,
}

/// `input_consumed`, from an executor.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ExecutionInputConsumed {
    pub id: u64,
    /// How much more its program has taken.
    pub bytes: u64,
}

impl<'a> SendInput<'a> {
    /// How many bytes of input it is; `None` if it is malformed: two forms, no base64, or no form and
    /// no end.
    pub fn bytes(&self) -> Option<u64> {
        match (&self.text, &self.base64) {
            (Some(text), None) => Some(text.len() as u64),
            (None, Some(base64)) => base64_len(&base64.decoded()),
            (None, None) if self.end => Some(0),
            _ => None,
        }
    }

    /// The same for a target. A text whose escapes make it more than twice as long as its bytes becomes
    /// base64, so that the window bounds what waits for a target.
    pub fn for_target(self, id: u64) -> ExecutionInput<'a> {
        let SendInput {
            text, base64, end, ..
        } = self;
        let (text, base64) = match (text, base64) {
            (Some(text), _) if is_long(&text) => {
                let base64 = STANDARD.encode_to_string(text.decoded().as_bytes());
                (None, Some(base64.into()))
            }
            // An escaped digit of base64 is one digit.
            (_, Some(base64)) if is_long(&base64) => (None, Some(base64.into_string().into())),
            forms => forms,
        };
        let is_something = |form: &Text<'_>| !form.is_empty();
        ExecutionInput {
            id,
            text: text.filter(is_something),
            base64: base64.filter(is_something),
            end,
        }
    }
}

/// Bytes of a string that may be escapes in any case: short texts are passed on as they came.
const FEW: usize = 64;

/// Whether its escapes make a string much longer.
fn is_long(text: &Text<'_>) -> bool {
    text.written() > 2 * text.len() + FEW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(json: &str) -> SendInput<'_> {
        serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    #[test]
    fn a_piece_has_one_form_or_the_end() {
        for (json, bytes) in [
            (r#"{"send":1,"text":"\u00e4b"}"#, Some(3)),
            (r#"{"send":1,"text":""}"#, Some(0)),
            (r#"{"send":1,"base64":"/wA="}"#, Some(2)),
            (
                r#"{"send":1,"base64":"/wA=","text":null,"end":true}"#,
                Some(2),
            ),
            (r#"{"send":1,"end":true}"#, Some(0)),
            (r#"{"send":1,"end":null}"#, None),
            (r#"{"send":1}"#, None),
            (r#"{"send":1,"text":"a","base64":"YQ=="}"#, None),
            (r#"{"send":1,"base64":"?"}"#, None),
        ] {
            assert_eq!(piece(json).bytes(), bytes, "{json}");
        }
    }

    #[test]
    fn a_target_has_no_piece_that_its_escapes_make_long() {
        let escapes = |escape: &str| escape.repeat(100);
        for (json, passed) in [
            (
                r#"{"send":1,"text":"a\n\u0000"}"#.to_owned(),
                r#"{"id":7,"text":"a\n\u0000"}"#.to_owned(),
            ),
            (
                format!(r#"{{"send":1,"text":"{}"}}"#, escapes("\\u0000")),
                format!(r#"{{"id":7,"base64":"{}AA=="}}"#, "AAAA".repeat(33)),
            ),
            (
                format!(
                    r#"{{"send":1,"base64":"{}","end":true}}"#,
                    escapes("\\u0059")
                ),
                format!(r#"{{"id":7,"base64":"{}","end":true}}"#, escapes("Y")),
            ),
            (
                r#"{"send":1,"text":"","end":true}"#.to_owned(),
                r#"{"id":7,"end":true}"#.to_owned(),
            ),
        ] {
            let passed_on = piece(&json).for_target(7);
            assert_eq!(serde_json::to_string(&passed_on).expect("JSON"), passed);
        }
    }

    #[test]
    fn a_window_is_a_flag_or_a_number() {
        for (json, window) in [
            ("true", Some(Some(INPUT_WINDOW))),
            ("false", Some(None)),
            ("1", Some(Some(1))),
            ("-1", None),
            ("1.0", None),
            (r#""true""#, None),
        ] {
            let stdin = serde_json::from_str::<Stdin>(json).ok();
            assert_eq!(stdin.map(Stdin::window), window, "{json}");
        }
    }
}
