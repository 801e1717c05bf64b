//! The chain: each line has the SHA-256 of the line before it, so that no line can be changed,
//! left out or moved without the next one telling. It goes on over rotations and restarts.
//!
//! It proves nothing against a user who may write the file: that user can make the whole chain
//! anew. The hash of a line that was noted elsewhere does.

use super::hash::Hash;
use super::record::GapReason;
use serde::{Deserialize, de};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::SystemTime;

/// The version of the lines.
pub(crate) const VERSION: u32 = 1;

/// Bytes of the end of a file in which its last record is looked for: four times the longest
/// line that a server can be told to take, which is more than any record has.
const TAIL: u64 = 64 << 20;

/// Bytes that are read of it at first.
const FIRST_LOOK: u64 = 64 << 10;

/// What of a line the chain is about.
#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    v: u32,
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    #[serde(default)]
    pub(crate) reason: Option<GapReasonOrOther>,
    #[serde(default)]
    pub(crate) whole: Option<Hash>,
}

/// The reason of a gap, among those of other records.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum GapReasonOrOther {
    Gap(GapReason),
    Other(de::IgnoredAny),
}

impl Link {
    /// That of a line, if it is a record.
    pub(crate) fn of(line: &[u8]) -> Option<Link> {
        let link: Link = serde_json::from_slice(line).ok()?;
        (link.v == VERSION).then_some(link)
    }

    /// Whether it says that an unfinished line stands before it.
    pub(crate) fn closes_off(&self) -> bool {
        let unfinished = GapReason::UnfinishedLine;
        matches!(&self.reason, Some(GapReasonOrOther::Gap(reason)) if *reason == unfinished)
    }
}

/// The end of a chain, to which the next line is linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the last record; 0 before the first.
    pub(crate) seq: u64,
    /// The hash of the last line; zeroes before the first.
    pub(crate) hash: Hash,
}

/// The time of a record. People compare it with other clocks; nothing goes by it.
#[expect(
    clippy::disallowed_methods,
    reason = "a record says when something happened"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// A time as records have it. Many have the same one, so the last is kept.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    ms: u128,
    text: String,
}

impl Stamp {
    /// A time in UTC, in milliseconds (RFC 3339).
    pub(crate) fn of(&mut self, at: SystemTime) -> &str {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let ms = since.unwrap_or_default().as_millis();
        if ms != self.ms || self.text.is_empty() {
            self.ms = ms;
            self.text.clear();
            // A clock beyond the year 9999 has no such text.
            let _ = write!(self.text, "{}", humantime::format_rfc3339_millis(at));
        }
        &self.text
    }
}

impl Head {
    /// Adds the next line: a record as a JSON object, with what makes it a link.
    pub(crate) fn seal(&mut self, out: &mut Vec<u8>, stamp: &str, body: &[u8]) {
        let begin = out.len();
        self.seq += 1;
        out.extend_from_slice(BEGIN);
        out.extend_from_slice(itoa::Buffer::new().format(self.seq).as_bytes());
        for part in [r#","ts":""#, stamp, r#"","#] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(&body[1..body.len() - 1]);
        out.extend_from_slice(br#","prev":""#);
        out.extend_from_slice(hex::encode(self.hash.0).as_bytes());
        out.extend_from_slice(b"\"}");
        self.hash = Hash::of(&out[begin..]);
        out.push(b'\n');
    }
}

/// The end of a file that is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last whole record.
    pub(crate) head: Head,
    /// The hash of the last line behind it that is no record, the file's end closing it off.
    pub(crate) unfinished: Option<Hash>,
    /// Whether that line lacks its line end.
    pub(crate) lacks_line_end: bool,
}

impl Tail {
    /// Whether there is nothing, or a record.
    pub(crate) fn is_of_log(&self) -> bool {
        self.head.seq > 0 || self.unfinished.is_none()
    }
}

/// How each line begins.
const BEGIN: &[u8] = br#"{"v":1,"seq":"#;

/// Whether a text begins as a log does, as far as it goes: a system that went down at the first
/// record leaves such a file.
pub(crate) fn begins_a_log(text: &[u8]) -> bool {
    let length = text.len().min(BEGIN.len());
    text[..length] == BEGIN[..length]
}

/// Reads the end of a file.
///
/// # Errors
/// What the system says.
pub(crate) fn tail(file: &mut File) -> io::Result<Tail> {
    let len = file.metadata()?.len();
    let mut looked_at = FIRST_LOOK;
    loop {
        let begin = len.saturating_sub(looked_at);
        file.seek(SeekFrom::Start(begin))?;
        let mut end = Vec::new();
        file.take(len - begin).read_to_end(&mut end)?;
        match last_record(&end, begin == 0) {
            Some(tail) => return Ok(tail),
            None if begin == 0 || looked_at >= TAIL => return Ok(without_record(&end)),
            None => looked_at *= 16,
        }
    }
}

/// The last whole record in the end of a file, if there is one.
fn last_record(end: &[u8], is_whole_file: bool) -> Option<Tail> {
    let mut rest = &end[..memchr::memrchr(b'\n', end)?];
    loop {
        let begin = memchr::memrchr(b'\n', rest);
        let line = &rest[begin.map_or(0, |at| at + 1)..];
        if begin.is_none() && !is_whole_file {
            return None;
        }
        if let Some(link) = Link::of(line) {
            let head = Head {
                seq: link.seq,
                hash: Hash::of(line),
            };
            let behind = &end[rest.len() + 1..];
            return Some(Tail {
                head,
                ..without_record(behind)
            });
        }
        rest = &rest[..begin?];
    }
}

/// The same of lines that are no records.
fn without_record(lines: &[u8]) -> Tail {
    let lacks_line_end = !lines.is_empty() && !lines.ends_with(b"\n");
    let closed = lines.strip_suffix(b"\n").unwrap_or(lines);
    let last = closed.rsplit(|byte| *byte == b'\n').next();
    Tail {
        head: Head::default(),
        unfinished: last.filter(|_| !lines.is_empty()).map(Hash::of),
        lacks_line_end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    const EPOCH: &str = "1970-01-01T00:00:00.000Z";

    #[test]
    fn a_stamp_changes_with_the_millisecond() {
        let mut stamp = Stamp::default();
        for (ms, expected) in [
            (0, EPOCH),
            (1, "1970-01-01T00:00:00.001Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (60_000, "1970-01-01T00:01:00.000Z"),
            (0, EPOCH),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            assert_eq!(stamp.of(at), expected);
        }
    }

    fn tail_of(bytes: &[u8]) -> Tail {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("its content");
        tail(&mut file).expect("its end")
    }

    #[test]
    fn the_end_of_a_file_is_its_last_whole_record_and_what_stands_behind_it() {
        let mut head = Head::default();
        let mut file = Vec::new();
        assert_eq!(tail_of(&file), Tail::default());
        for n in 0..3 {
            // The last one is longer than the first look.
            let text = "x".repeat(if n == 2 { 100_000 } else { 1 });
            let body = format!(r#"{{"type":"stop","why":"{text}"}}"#);
            head.seal(&mut file, EPOCH, body.as_bytes());
            let is_whole = Tail {
                head,
                ..Tail::default()
            };
            assert_eq!(tail_of(&file), is_whole);
        }
        for (behind, last, lacks_line_end) in [
            ("{\"v\":1,", "{\"v\":1,", true),
            ("{\"v\":1,\n", "{\"v\":1,", false),
            ("a\nb", "b", true),
            ("a\nb\n", "b", false),
            ("\n", "", false),
        ] {
            let expected = Tail {
                head,
                unfinished: Some(Hash::of(last.as_bytes())),
                lacks_line_end,
            };
            let found = tail_of(&[&file, behind.as_bytes()].concat());
            assert_eq!(found, expected, "{behind:?}");
        }
        for (begin, is_log) in [(&file[..40], true), (&file[..4], true), (b"hello", false)] {
            assert_eq!(begins_a_log(begin), is_log, "{begin:?}");
        }
        let no_record = tail_of(b"hello");
        assert!(!no_record.is_of_log() && tail_of(&file).is_of_log());
        assert_eq!(no_record.head, Head::default());
        assert!(no_record.lacks_line_end);
    }

    #[test]
    fn a_line_has_its_number_its_time_and_the_hash_of_the_line_before() {
        let (mut head, mut out) = (Head::default(), Vec::new());
        head.seal(&mut out, EPOCH, br#"{"type":"x"}"#);
        let zeroes = "0".repeat(64);
        let first = format!(
            r#"{{"v":1,"seq":1,"ts":"1970-01-01T00:00:00.000Z","type":"x","prev":"{zeroes}"}}"#
        );
        assert_eq!(out, format!("{first}\n").as_bytes());
        out.clear();
        head.seal(&mut out, EPOCH, br#"{"type":"x"}"#);
        let line = out.strip_suffix(b"\n").expect("a line");
        let link = Link::of(line).expect("a record");
        assert_eq!((link.seq, link.prev), (2, Hash::of(first.as_bytes())));
    }
}
