//! What a command writes while it runs, and how far its sender got through with it.

use crate::wire::id::Id;
use crate::wire::name::Name;
use crate::wire::text::Text;
use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};

/// One of a program's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// `output`, from an executor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ExecutionOutput<'a> {
    pub id: u64,
    pub stream: OutputStream,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
}

/// `output`, to a sender.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SendOutput<'a> {
    pub send: Id,
    pub member: u64,
    pub name: Name<'a>,
    /// The target's rank as of when the command was taken.
    pub rank: u32,
    pub stream: OutputStream,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// The same, where it is not UTF-8.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text<'a>>,
}

/// How many bytes a string of base64 stands for (RFC 4648 §4), without decoding it; `None`
/// where its length or its characters are wrong.
pub fn base64_len(text: &str) -> Option<u64> {
    let data = text.trim_end_matches('=');
    let padding = text.len() - data.len();
    // Without a branch for each byte: much output is long.
    let has_others = data.bytes().fold(false, |has, byte| {
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let is_digit = byte.wrapping_sub(b'0') < 10;
        has | !(is_letter | is_digit | (byte == b'+') | (byte == b'/'))
    });
    let whole = text.len().is_multiple_of(4) && padding <= 2 && !has_others;
    whole.then_some((text.len() / 4 * 3 - padding) as u64)
}

/// The text that output is written as; `None` if it is written as base64.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    match is_mostly_escapes(bytes) {
        true => None,
        false => std::str::from_utf8(bytes).ok(),
    }
}

/// Output as it goes into a result: as text, or else as base64; neither if there is none.
pub fn encode_output(bytes: &[u8]) -> (Option<Text<'_>>, Option<Text<'_>>) {
    match as_text(bytes) {
        _ if bytes.is_empty() => (None, None),
        Some(text) => (Some(text.into()), None),
        None => (None, Some(STANDARD.encode_to_string(bytes).into())),
    }
}

/// Whether the escapes of long output would make it so much longer that base64 is shorter:
/// `\u0000` for each byte of `/dev/zero`.
fn is_mostly_escapes(bytes: &[u8]) -> bool {
    const WORTH_A_LOOK: usize = 1 << 10;
    let is_escaped = |byte: u8| byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t');
    // By blocks whose count fits into a byte, so that several bytes are looked at in one step.
    let count = |block: &[u8]| -> u8 { block.iter().map(|byte| u8::from(is_escaped(*byte))).sum() };
    let escapes = || bytes.chunks(255).map(|block| usize::from(count(block)));
    bytes.len() >= WORTH_A_LOOK && escapes().sum::<usize>() > bytes.len() / 4
}

/// The bytes of output that came as text or as base64; `None` if it is not base64.
pub fn decode_output(text: Option<Text<'_>>, base64: Option<Text<'_>>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Some(text.into_string().into_bytes()),
        (None, Some(base64)) => STANDARD.decode_to_vec(base64.decoded().as_bytes()).ok(),
        (None, None) => Some(Vec::new()),
    }
}

/// `consumed`, from a sender.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SendConsumed {
    pub send: Id,
    pub member: u64,
    pub bytes: u64,
}

/// `consumed`, to an executor.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ExecutionConsumed {
    pub id: u64,
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_lengths() {
        for (text, len) in [
            ("", Some(0)),
            ("AA==", Some(1)),
            ("AAA=", Some(2)),
            ("AAAA", Some(3)),
            ("AAA", None),
            ("A===", None),
            ("A=A=", None),
            ("AA A", None),
            ("az09", Some(3)),
            ("AZ+/", Some(3)),
            ("AA{A", None),
            ("AA[A", None),
            ("AA@A", None),
            ("AA:A", None),
            ("AAäA", None),
        ] {
            assert_eq!(base64_len(text), len, "{text}");
        }
    }
}
