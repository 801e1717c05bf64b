//! The usual lines of a bench, written from prepared pieces and recognized by their start. Each
//! other line takes the slower way through `common::wire::message`.

use memchr::memmem;

/// What comes before the number of a request or an answer.
const HEAD: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";

/// A line with a number in it, all of which but the number is ready.
pub(super) struct Prepared(Vec<u8>);

impl Prepared {
    /// From the line with the number 0.
    pub(super) fn new(line: &[u8]) -> Prepared {
        let tail = numbered(line).filter(|(id, _)| *id == 0);
        let (_, tail) = tail.expect("the composer writes the id first");
        Prepared(tail.to_vec())
    }

    pub(super) fn longest(&self) -> usize {
        HEAD.len() + itoa::Buffer::new().format(u64::MAX).len() + self.0.len()
    }

    pub(super) fn write(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(HEAD);
        out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
        out.extend_from_slice(&self.0);
    }
}

/// The number of the `send` that was done, if the line says that it was, with exit code 0.
pub(super) fn done(line: &[u8]) -> Option<u64> {
    let (id, rest) = numbered(line)?;
    let rest = rest.strip_prefix(b",\"result\":{\"member\":")?;
    // In a string its quotes would be escaped, so it stands nowhere else.
    memmem::find(rest, b"\"status\":\"done\",\"exit_code\":0").map(|_| id)
}

/// The number of the `send` that the line tells an outcome of, one of many.
pub(super) fn outcome_of_many(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(
        b"{\"jsonrpc\":\"2.0\",\"method\":\"outcome\",\"params\":{\"send\":".as_slice(),
    )?;
    number(rest).map(|(id, _)| id)
}

/// The number of a command to execute, if the name of its sender begins like this.
pub(super) fn command(line: &[u8], name: &[u8]) -> Option<u64> {
    let (id, rest) = numbered(line)?;
    let rest =
        rest.strip_prefix(b",\"method\":\"execute\",\"params\":{\"from\":{\"member\":".as_slice())?;
    let (_, rest) = number(rest)?;
    let from = rest.strip_prefix(b",\"name\":\"")?;
    from.starts_with(name).then_some(id)
}

/// The number that a line begins with, and what comes after it.
fn numbered(line: &[u8]) -> Option<(u64, &[u8])> {
    number(line.strip_prefix(HEAD)?)
}

/// A number of at most 18 digits, which always fit, and what comes after it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = text[..len].iter();
    let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    (1..=18).contains(&len).then_some((number, &text[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::message::{request_line, result_line};
    use common::wire::{ExecutionResult, SendOut, method};

    #[test]
    fn prepared_lines_are_those_of_the_composer() {
        let words = ["bench".to_owned(), "a\"\n".to_owned()];
        let send = SendOut {
            command: &words,
            to: Some("web1"),
            timeout_ms: None,
            window: None,
        };
        let line = |id: u64| request_line(id.into(), method::SEND, &send);
        let prepared = Prepared::new(&line(0));
        for id in [0, 7, 1023, 1 << 50] {
            let mut out = Vec::new();
            prepared.write(id, &mut out);
            assert_eq!(out, line(id));
            assert!(out.len() <= prepared.longest());
        }
        let executed = ExecutionResult {
            exit_code: Some(0),
            ..ExecutionResult::default()
        };
        let mut out = Vec::new();
        Prepared::new(&result_line(0.into(), &executed)).write(5, &mut out);
        assert_eq!(out, result_line(5.into(), &executed));
    }

    #[test]
    fn usual_lines_are_known_by_what_they_begin_with() {
        let done_line = br#"{"jsonrpc":"2.0","id":12,"result":{"member":2,"name":"e","rank":1,"status":"done","exit_code":0,"stdout":"x","elapsed_ms":0}}"#;
        assert_eq!(done(done_line), Some(12));
        for other in [
            r#"{"jsonrpc":"2.0","id":12,"result":{"member":2,"name":"e","rank":1,"status":"done","exit_code":1,"stdout":"\"status\":\"done\",\"exit_code\":0"}}"#,
            r#"{"jsonrpc":"2.0","id":12,"result":{"member":2,"name":"e","rank":1,"status":"lost","started":true}}"#,
            r#"{"jsonrpc":"2.0","id":12,"result":{"targets":1,"done":1}}"#,
            r#"{"jsonrpc":"2.0","id":"12","result":{"member":2,"status":"done","exit_code":0}}"#,
            r#"{"jsonrpc":"2.0","id":1234567890123456789,"result":{"member":2,"status":"done","exit_code":0}}"#,
            "",
        ] {
            assert_eq!(done(other.as_bytes()), None, "{other}");
        }
        let outcome = br#"{"jsonrpc":"2.0","method":"outcome","params":{"send":3,"member":2}}"#;
        assert_eq!(outcome_of_many(outcome), Some(3));
        let execute = br#"{"jsonrpc":"2.0","id":4,"method":"execute","params":{"from":{"member":1,"name":"bench-1-s0","rank":0},"command":["x"]}}"#;
        assert_eq!(command(execute, b"bench-1-s"), Some(4));
        assert_eq!(command(execute, b"bench-2-s"), None);
    }
}
