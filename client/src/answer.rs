//! An answer as the lines that carry it: output that would make the last line too long
//! goes ahead of it, in pieces.

use crate::executor::{Answer, Ended, char_boundary};
use crate::job::{Job, Stop};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::limits::MAX_QUOTED;
use common::message::{self, Code, Id, RpcError};
use common::protocol::{Executed, ExecutionOutput, OutputStream, Text, method};

/// Output bytes in one line: as much as is worth one, whatever the server takes.
const PIECE: usize = 32 << 10;

/// What JSON may make of one byte: `\u0000`.
const LONGEST_ESCAPE: usize = 6;

/// Room for everything else in the line.
const AROUND: usize = 512;

/// The lines that answer a job, for a server that takes lines of `max_line` bytes.
pub(crate) fn lines(
    job: &Job,
    answer: &Answer,
    stop: Option<Stop>,
    max_line: usize,
) -> Vec<Vec<u8>> {
    let (code, text) = match answer {
        Answer::Ended(ended) => return ended_lines(job.id(), ended, stop, max_line),
        Answer::Refused(message) => (Code::Refused, message),
        Answer::NotFound(message) => (Code::NotFound, message),
        Answer::Failed(message) => (Code::Failed, message),
    };
    let longest = MAX_QUOTED.min(piece_size(max_line));
    let text = &text[..char_boundary(text, longest)];
    let error = RpcError::new(code, text);
    vec![message::error_line(Some(job.id().clone()), &error)]
}

fn ended_lines(id: &Id, ended: &Ended, stop: Option<Stop>, max_line: usize) -> Vec<Vec<u8>> {
    let piece = piece_size(max_line);
    let mut lines = Vec::new();
    let mut rest = (&ended.stdout[..], &ended.stderr[..]);
    if rest.0.len() + rest.1.len() > piece {
        let streams = [
            (OutputStream::Stdout, rest.0),
            (OutputStream::Stderr, rest.1),
        ];
        for (stream, bytes) in streams {
            lines.extend(pieces(bytes, piece).map(|piece| output_line(id, stream, piece)));
        }
        rest = (&[], &[]);
    }
    let (stdout, stdout_base64) = encode(rest.0);
    let (stderr, stderr_base64) = encode(rest.1);
    let result = Executed {
        exit_code: ended.exit_code,
        signal: ended.signal.as_deref().map(Into::into),
        stdout,
        stdout_base64,
        stderr,
        stderr_base64,
        timed_out: stop == Some(Stop::TimedOut),
        cancelled: stop == Some(Stop::Cancelled),
        truncated: ended.truncated,
    };
    lines.push(message::result_line(id.clone(), result));
    lines
}

fn piece_size(max_line: usize) -> usize {
    (max_line.saturating_sub(AROUND) / LONGEST_ESCAPE).clamp(64, PIECE)
}

/// Cuts bytes into pieces of at most `size`, between characters where they are text.
fn pieces(bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let text = std::str::from_utf8(bytes).ok();
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = match text {
            Some(text) => char_boundary(text, start + size),
            None => bytes.len().min(start + size),
        };
        let piece = &bytes[start..end];
        start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

fn output_line(id: &Id, stream: OutputStream, bytes: &[u8]) -> Vec<u8> {
    let (text, base64) = encode(bytes);
    // The server's ids are never negative and fit; another kind is not its own.
    let id = match id {
        Id::Integer(id) => u64::try_from(*id).unwrap_or_default(),
        Id::Large(id) => *id,
        Id::Text(_) => 0,
    };
    let output = ExecutionOutput {
        id,
        stream,
        text,
        base64,
    };
    message::notification_line(method::OUTPUT, output)
}

/// Text as text, anything else as base64; nothing where there is nothing.
fn encode(bytes: &[u8]) -> (Option<Text<'_>>, Option<Text<'_>>) {
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => (None, None),
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Origin;

    fn answer_lines(answer: &Answer, stop: Option<Stop>, max_line: usize) -> Vec<String> {
        let origin = Origin {
            member: 1,
            name: "boss".into(),
            rank: 0,
        };
        let job = Job::new(Id::Integer(7), origin, vec!["x".into()], None, None);
        let lines = lines(&job, answer, stop, max_line);
        assert!(lines.iter().all(|line| line.len() <= max_line));
        let text = |line: Vec<u8>| String::from_utf8(line).expect("JSON");
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn a_short_answer_is_one_line() {
        let done = Answer::exited(0, "hi\n");
        assert_eq!(
            answer_lines(&done, None, 1 << 20),
            ["{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"exit_code\":0,\"stdout\":\"hi\\n\"}}\n"]
        );
        let cancelled = Answer::Ended(Ended::default());
        assert_eq!(
            answer_lines(&cancelled, Some(Stop::Cancelled), 1 << 20),
            ["{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"cancelled\":true}}\n"]
        );
        let refused = answer_lines(&Answer::Refused("no".into()), None, 1 << 20);
        assert!(refused[0].contains("\"code\":20,\"message\":\"no\""));
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let lines = answer_lines(&Answer::exited(0, [0xff, 0]), None, 1 << 20);
        assert!(lines[0].contains("\"stdout_base64\":\"/wA=\""), "{lines:?}");
    }

    #[test]
    fn long_output_goes_ahead_in_pieces_that_fit() {
        for (byte, key) in [("\0", "text"), ("ä", "text")] {
            let output = byte.repeat(100_000);
            let lines = answer_lines(&Answer::exited(3, output.clone()), None, 16 << 10);
            let (last, pieces) = lines.split_last().expect("lines");
            assert!(last.contains("\"exit_code\":3") && !last.contains("stdout"));
            let mut whole = String::new();
            for piece in pieces {
                let value: serde_json::Value = serde_json::from_str(piece).expect("JSON");
                assert_eq!(value["params"]["id"], 7);
                whole += value["params"][key].as_str().expect("text");
            }
            assert!(whole == output);
        }
        let lines = answer_lines(&Answer::exited(0, vec![0xff; 100_000]), None, 16 << 10);
        assert!(lines[0].contains("base64"));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let lines = answer_lines(&Answer::Failed("ä".repeat(10_000)), None, 1 << 20);
        assert!(lines[0].len() < MAX_QUOTED + AROUND);
    }
}
