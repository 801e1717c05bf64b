//! The words of a command, which pass through the server as they came.

use crate::logging::logged;
use crate::wire::text::{clip, extent};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// The words of a command, as the JSON text of a non-empty array of strings: checked, and
/// passed on as it came, except for line ends between the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    json: &'a str,
    count: usize,
}

impl<'a> Words<'a> {
    /// The words that JSON starts with, if it starts with any, and what comes after them.
    pub fn prefix_of(json: &'a str) -> Option<(Words<'a>, &'a str)> {
        let mut rest = json.strip_prefix('[')?;
        let mut count = 0;
        loop {
            rest = without_space(rest);
            rest = without_space(&rest[extent(rest)?.end..]);
            count += 1;
            if let Some(more) = rest.strip_prefix(',') {
                rest = more;
                continue;
            }
            rest = rest.strip_prefix(']')?;
            let (json, rest) = json.split_at(json.len() - rest.len());
            return Some((Words { json, count }, rest));
        }
    }

    /// The words as a log shows them.
    pub fn logged(self) -> impl fmt::Display {
        logged::command(
            fmt::from_fn(move |f| write!(f, "[{}]", clip(self.first()))),
            fmt::from_fn(move |f| f.write_str(&clip(self.json))),
            self.count,
        )
    }

    /// The first word.
    pub fn first_word(self) -> String {
        serde_json::from_str(self.first()).expect("it was checked when it came")
    }

    /// The first word in quotes, as it stands in the line.
    fn first(self) -> &'a str {
        let rest = without_space(&self.json[1..]);
        extent(rest).map_or("", |extent| &rest[..extent.end])
    }

    /// The array as it stands in the line that it came in.
    pub fn as_json(self) -> &'a str {
        self.json
    }

    /// Adds the array to a line: as it came, without each `\r` and `\n`. JSON takes them for
    /// blanks, and a string cannot have them as they are, so the words stay the same; but a
    /// reader of the line may take them for its end.
    pub fn append_to(self, line: &mut Vec<u8>) {
        let mut rest = self.json.as_bytes();
        while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
            line.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
        }
        line.extend_from_slice(rest);
    }

    /// The words themselves.
    pub fn to_vec(self) -> Vec<String> {
        serde_json::from_str(self.json).expect("it was checked when it came")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        if let Some((words, "")) = Words::prefix_of(raw) {
            return Ok(words);
        }
        let is_empty = raw.strip_prefix('[').map(without_space) == Some("]");
        if is_empty {
            return Err(de::Error::custom("a command has at least one word"));
        }
        let found = clip(raw);
        Err(de::Error::custom(format_args!(
            "a command is an array of strings, not {found}"
        )))
    }
}

/// JSON from where something stands (RFC 8259 §2).
fn without_space(json: &str) -> &str {
    json.trim_start_matches([' ', '\t', '\n', '\r'])
}

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Vec::new();
        self.append_to(&mut json);
        serde_json::from_slice::<&RawValue>(&json)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_checked_and_pass_unchanged() {
        let read = |text: &'static str| serde_json::from_str::<Words<'_>>(text);
        for json in [r#"[ "a", "\u00e4" ,"" ]"#, r#"["a","\u00e4",""]"#] {
            let words = read(json).expect("words");
            assert_eq!(words.as_json(), json);
            assert_eq!(words.to_vec(), ["a", "ä", ""]);
            assert_eq!(serde_json::to_string(&words).expect("JSON"), json);
        }
        for wrong in [
            "[]",
            "[ ]",
            "\"a\"",
            "{}",
            "null",
            "[1]",
            "[\"a\",null]",
            "[[\"a\"]]",
            r#"["\ud800"]"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_written_without_the_line_ends_between_them() {
        let json = "[\r\"a\\r\"\r\n,\n\"\\n\" \r]";
        let words: Words<'_> = serde_json::from_str(json).expect("words");
        let right = r#"["a\r","\n" ]"#;
        let mut line = Vec::new();
        words.append_to(&mut line);
        assert_eq!(str::from_utf8(&line), Ok(right));
        assert_eq!(serde_json::to_string(&words).ok().as_deref(), Some(right));
        assert_eq!(words.to_vec(), ["a\r", "\n"]);
    }

    #[test]
    fn a_log_shows_the_first_word_and_a_count() {
        for (json, shown) in [
            (r#"["print"]"#, r#"["print"]"#),
            (
                r#"[ "mysql" , "-phunter2"]"#,
                r#"["mysql"] and 1 more word"#,
            ),
            (
                r#"["a,b]","\u0022","",  "]"]"#,
                r#"["a,b]"] and 3 more words"#,
            ),
        ] {
            let (words, _) = Words::prefix_of(json).expect("words");
            assert_eq!(words.logged().to_string(), shown);
        }
    }

    #[test]
    fn words_end_where_their_array_does() {
        let (words, rest) = Words::prefix_of(r#"["a","]"],"x""#).expect("words");
        assert_eq!((words.as_json(), rest), (r#"["a","]"]"#, r#","x""#));
        for wrong in ["", "[", "[]", "[\"a\"", "[\"a\",]", "[\"a\"x", "[1]"] {
            assert!(Words::prefix_of(wrong).is_none(), "{wrong}");
        }
    }
}
