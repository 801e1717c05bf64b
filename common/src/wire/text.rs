//! Strings of a line that pass as they came: checked, measured, and decoded only on demand; and
//! how much of a text a message repeats.

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

/// A string of a line, written as it came: a string that passes through is not decoded.
#[derive(Clone, Debug)]
pub struct Text<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    /// As it stands in the line, in quotes, and how many bytes it stands for.
    Json {
        json: &'a str,
        len: usize,
    },
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// The string that JSON starts with, and what comes after it; `None` if it is not right (RFC
    /// 8259 §7; half of a surrogate pair is no text).
    pub fn prefix_of(json: &'a str) -> Option<(Text<'a>, &'a str)> {
        let Extent { end, len } = extent(json)?;
        let (json, rest) = json.split_at(end);
        Some((Text(Form::Json { json, len }), rest))
    }

    /// How many bytes the string has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Json { len, .. } => *len,
            Form::Plain(text) => text.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string; borrowed where it has no escapes.
    pub fn decoded(&self) -> Cow<'_, str> {
        match self.0 {
            Form::Json { json, len } => decoded(json, len),
            Form::Plain(ref text) => Cow::Borrowed(text),
        }
    }

    /// The string; owned where it had escapes.
    pub fn into_cow(self) -> Cow<'a, str> {
        match self.0 {
            Form::Json { json, len } => decoded(json, len),
            Form::Plain(text) => text,
        }
    }

    /// The string.
    pub fn into_string(self) -> String {
        self.into_cow().into_owned()
    }

    /// The string in quotes as it came, if it did.
    pub fn as_json(&self) -> Option<&'a str> {
        match self.0 {
            Form::Json { json, .. } => Some(json),
            Form::Plain(_) => None,
        }
    }

    /// How many bytes it takes in a line, escapes left out that are not written yet.
    pub(crate) fn written(&self) -> usize {
        self.as_json().map_or(self.len(), str::len)
    }

    /// The same text, borrowed.
    pub fn borrowed(&self) -> Text<'_> {
        match &self.0 {
            Form::Json { .. } => self.clone(),
            Form::Plain(text) => Text::from(&**text),
        }
    }

    /// Adds it to a line, in quotes: as it came, or with the escapes that JSON wants.
    pub fn append_to(&self, line: &mut Vec<u8>) {
        match &self.0 {
            Form::Json { json, .. } => line.extend_from_slice(json.as_bytes()),
            Form::Plain(text) => {
                line.push(b'"');
                append_escaped(text.as_bytes(), line);
                line.push(b'"');
            }
        }
    }

    /// As many of its first bytes as are whole characters, and no more than `most`.
    #[must_use]
    pub fn truncated(self, most: usize) -> Text<'a> {
        let text = match self.into_cow() {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..text.floor_char_boundary(most)]),
            Cow::Owned(mut text) => {
                text.truncate(text.floor_char_boundary(most));
                Cow::Owned(text)
            }
        };
        Text(Form::Plain(text))
    }
}

/// What a string in quotes, known to be right, stands for.
fn decoded(json: &str, len: usize) -> Cow<'_, str> {
    let inner = &json[1..json.len() - 1];
    match inner.len() == len {
        // An escape is always longer than what it stands for.
        true => Cow::Borrowed(inner),
        false => Cow::Owned(unescaped(inner, len)),
    }
}

/// The text that a string with escapes stands for; it was checked when it came.
fn unescaped(mut inner: &str, len: usize) -> String {
    let mut text = String::with_capacity(len);
    while let Some(at) = memchr::memchr(b'\\', inner.as_bytes()) {
        text.push_str(&inner[..at]);
        let (character, written) = escape(&inner.as_bytes()[at..]).expect("it was checked");
        text.push(character);
        inner = &inner[at + written..];
    }
    text.push_str(inner);
    text
}

/// Adds text to a line with the escapes that JSON wants (RFC 8259 §7).
fn append_escaped(mut text: &[u8], line: &mut Vec<u8>) {
    loop {
        let (plain, rest) = text.split_at(plain_run(text));
        line.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else {
            return;
        };
        let short = match special {
            b'\n' => b'n',
            b'\t' => b't',
            b'\r' => b'r',
            b'\x08' => b'b',
            b'\x0c' => b'f',
            b'"' | b'\\' => *special,
            control => {
                let _ = write!(line, "\\u{control:04x}");
                text = rest;
                continue;
            }
        };
        line.extend_from_slice(&[b'\\', short]);
        text = rest;
    }
}

/// Where a string ends that stands in JSON.
pub(crate) struct Extent {
    /// Behind its last quote.
    pub(crate) end: usize,
    /// How many bytes it stands for.
    pub(crate) len: usize,
}

/// The extent of the string that JSON starts with.
pub(crate) fn extent(json: &str) -> Option<Extent> {
    let json = json.as_bytes();
    if json.first() != Some(&b'"') {
        return None;
    }
    let (mut at, mut saved) = (1, 0);
    loop {
        at += plain_run(&json[at..]);
        match json.get(at)? {
            b'"' => {
                let len = at - 1 - saved;
                return Some(Extent { end: at + 1, len });
            }
            b'\\' => {
                let (character, written) = escape(&json[at..])?;
                at += written;
                saved += written - character.len_utf8();
            }
            _control => return None,
        }
    }
}

/// How many bytes come before the first that a string cannot have as it is.
fn plain_run(bytes: &[u8]) -> usize {
    /// Words after which it is likely that many more are plain: it is no line of text.
    const LONG: usize = 16;
    let (words, rest) = bytes.as_chunks();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if at == LONG {
            at += 8 * plain_blocks(&words[at..]);
            if at > LONG {
                continue;
            }
        }
        if let Some(special) = first_special(u64::from_le_bytes(*word)) {
            return at * 8 + special;
        }
        at += 1;
    }
    let special = rest.iter().position(|b| matches!(b, b'"' | b'\\' | ..b' '));
    bytes.len() - rest.len() + special.unwrap_or(rest.len())
}

/// How many blocks of eight words come before the first that is not plain: without a branch
/// for each byte, so that many are looked at in one step.
fn plain_blocks(words: &[[u8; 8]]) -> usize {
    let is_special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    let (blocks, _) = words.as_chunks::<8>();
    let is_plain = |block: &&[[u8; 8]; 8]| {
        let bytes = block.as_flattened().iter();
        !bytes.fold(false, |has, byte| has | is_special(*byte))
    };
    blocks.iter().take_while(is_plain).count()
}

/// The first of eight bytes that a string cannot have as it is, by the well-known test whether a
/// word has a zero byte. What that says of later bytes may be wrong.
fn first_special(word: u64) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES << 7;
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let is_escape = is_zero(word ^ (ONES * u64::from(b'\\')));
    let special = (is_control | is_quote | is_escape) & HIGH;
    (special != 0).then_some(special.trailing_zeros() as usize / 8)
}

/// Bytes of `\u` and four digits.
const UNIT: usize = 6;

/// The character that the escape stands for that bytes start with, and how many bytes it takes;
/// `None` where it is none.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let short = match bytes.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        b'u' => {
            let low = bytes.get(UNIT..).filter(|low| low.starts_with(b"\\u"));
            let units = [Some(unit(bytes)?), low.and_then(unit)];
            let character = char::decode_utf16(units.into_iter().flatten())
                .next()?
                .ok()?;
            return Some((character, UNIT * character.len_utf16()));
        }
        _ => return None,
    };
    Some((short, 2))
}

/// The UTF-16 unit of a `\u` escape.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.get(2..UNIT)?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)? as u16)
    })
}

/// The longest part that a character lacks something of.
const LONGEST_PART: usize = 3;

/// How many of the bytes come before a character that ends too early: what follows could still
/// complete it. Bytes that are no text count as whole.
pub fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(LONGEST_PART);
    let last = (tail..bytes.len()).rfind(|at| bytes[*at] & 0xc0 != 0x80);
    let is_incomplete = |at: &usize| {
        let character = std::str::from_utf8(&bytes[*at..]);
        // Only an end that is too early has no length.
        character.is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    last.filter(is_incomplete).unwrap_or(bytes.len())
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.decoded() == other.decoded()
    }
}

impl Eq for Text<'_> {}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(Form::Plain(text.into()))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Form::Plain(text.into()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match Text::prefix_of(raw) {
            Some((text, _)) => Ok(text),
            None if raw.starts_with('"') => {
                Err(de::Error::custom("half of a surrogate pair is no text"))
            }
            None => Err(de::Error::custom(format_args!(
                "expected a string, not {}",
                clip(raw)
            ))),
        }
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Json { json, .. } => serde_json::from_str::<&RawValue>(json)
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            Form::Plain(text) => serializer.serialize_str(text),
        }
    }
}

/// The start of a text of a peer's, short enough to be repeated in a message.
pub fn clip(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_ends_at_its_quote_and_keeps_its_form() {
        for (json, text, rest) in [
            (r#""""#, "", ""),
            (r#""a","b"]"#, "a", r#","b"]"#),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t", ""),
            (
                r#""\u0000\u007F\u0080\u07ff\u0800\uFFFF"}"#,
                "\0\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}",
                "}",
            ),
            (r#""ä\ud83d\ude00ß""#, "ä😀ß", ""),
        ] {
            let (read, left) = Text::prefix_of(json).unwrap_or_else(|| panic!("{json}"));
            assert_eq!(
                (&*read.decoded(), read.len(), left),
                (text, text.len(), rest)
            );
            assert_eq!(read.as_json(), json.strip_suffix(rest));
            assert_eq!(serde_json::to_string(&read).ok().as_deref(), read.as_json());
        }
        for wrong in [
            "",
            "a",
            "\"",
            "\"a",
            "\"\\\"",
            "\"\\x\"",
            "\"\n\"",
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\u+123""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx\ude00""#,
            r#""\ud83d\u0041""#,
        ] {
            assert!(Text::prefix_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let cut = |json, most| {
            let (text, _) = Text::prefix_of(json).expect("a string");
            text.truncated(most).into_string()
        };
        assert_eq!(cut(r#""abc""#, 2), "ab");
        assert_eq!(cut(r#""ää""#, 3), "ä");
        assert_eq!(cut(r#""\u00e4\n""#, 2), "ä");
        assert_eq!(cut(r#""ä""#, 9), "ä");
    }

    #[test]
    fn a_character_that_ends_too_early_is_not_whole() {
        for (bytes, end) in [
            (&b"abc"[..], 3),
            ("\u{e4}".as_bytes(), 2),
            (b"ab\xc3", 2),
            (b"a\xe2\x82", 1),
            (b"\xf0\x9f\xa6", 0),
            (b"\xff\xff", 2),
            (b"a\x80\x80\x80\x80", 5),
            // No character begins so.
            (b"a\xe0\x80", 3),
            (b"a\xf4\x90", 3),
            (b"a\xc0", 2),
            (b"", 0),
        ] {
            assert_eq!(whole_characters(bytes), end, "{bytes:?}");
        }
    }

    proptest! {
        /// The same strings are right as for a whole parser, and they stand for the same.
        #[test]
        fn a_parser_agrees(json in r#""([a-zä😀 \n]|[a-z]{14,18}|\\["\\/bfnrtux]|\\u[0-9a-fA-FdD8c]{4}|\\u[dD][89abcdef][0-9a-f]{2}){0,8}"?"#) {
            let parsed = serde_json::from_str::<String>(&json).ok();
            let read = Text::prefix_of(&json).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| text);
            prop_assert_eq!(read.as_ref().map(Text::len), parsed.as_ref().map(String::len));
            prop_assert_eq!(read.map(Text::into_string), parsed);
        }
    }
}
