//! The line of an answer, and output that goes ahead of one that would be too long.

use crate::execute::job::{Job, StopReason};
use crate::execute::result::{Execution, ExecutionResult};
use crate::line_piece::piece_size;
use common::limits::MAX_QUOTED;
use common::wire::message::{self, Code, Id, RpcError};
use common::wire::{self, OutputStream, encode_output};

/// Sends output ahead of an answer that would be too long or would not fit into the window; returns
/// the answer with the rest. Waits for room in the window, as long as the job is wanted.
pub(crate) fn send_surplus(job: &Job, answer: ExecutionResult) -> ExecutionResult {
    let ExecutionResult::Ended(mut ended) = answer else {
        return answer;
    };
    let total = ended.stdout.len() + ended.stderr.len();
    if total > piece_size(job.reply_to().max_line) || total as u64 > job.credit() {
        let stdout = std::mem::take(&mut ended.stdout);
        let stderr = std::mem::take(&mut ended.stderr);
        let went =
            job.write(OutputStream::Stdout, &stdout) && job.write(OutputStream::Stderr, &stderr);
        ended.truncated |= !went;
    }
    ExecutionResult::Ended(ended)
}

pub(crate) fn line(job: &Job, answer: &ExecutionResult, stop: Option<StopReason>) -> Vec<u8> {
    let (code, text) = match answer {
        ExecutionResult::Ended(ended) => return ended_line(job.id(), ended, stop),
        ExecutionResult::Refused(message) => (Code::Refused, message),
        ExecutionResult::NotFound(message) => (Code::NotFound, message),
        ExecutionResult::Failed(message) => (Code::Failed, message),
    };
    let longest = MAX_QUOTED.min(piece_size(job.reply_to().max_line));
    let text = &text[..text.floor_char_boundary(longest)];
    message::error_line(Some(job.id().clone()), &RpcError::new(code, text))
}

fn ended_line(id: &Id, ended: &Execution, stop: Option<StopReason>) -> Vec<u8> {
    let (stdout, stdout_base64) = encode_output(&ended.stdout);
    let (stderr, stderr_base64) = encode_output(&ended.stderr);
    let result = wire::ExecutionResult {
        exit_code: ended.exit_code,
        signal: ended.signal.as_deref().map(Into::into),
        stdout,
        stdout_base64,
        stderr,
        stderr_base64,
        timed_out: stop == Some(StopReason::TimedOut),
        cancelled: stop == Some(StopReason::Cancelled),
        truncated: ended.truncated,
        leftovers: ended.leftovers.if_any(),
    };
    message::result_line(id, result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line_piece::AROUND;
    use common::wire::Leftovers;

    fn answer_line(answer: &ExecutionResult, stop: Option<StopReason>) -> String {
        let job = Job::of_test(7, &["x"], None);
        let line = line(&job, answer, stop);
        assert!(line.len() <= job.reply_to().max_line);
        String::from_utf8(line).expect("JSON")
    }

    #[test]
    fn an_answer_is_one_line() {
        let done = ExecutionResult::exited(0, "hi\n");
        assert_eq!(
            answer_line(&done, None),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"exit_code\":0,\"stdout\":\"hi\\n\"}}\n"
        );
        let left = ExecutionResult::Ended(Execution {
            exit_code: Some(0),
            leftovers: Leftovers {
                ended: 2,
                running: 0,
            },
            ..Execution::default()
        });
        assert_eq!(
            answer_line(&left, None),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"exit_code\":0,\
             \"leftovers\":{\"ended\":2,\"running\":0}}}\n"
        );
        let cancelled = ExecutionResult::Ended(Execution::default());
        assert_eq!(
            answer_line(&cancelled, Some(StopReason::Cancelled)),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"cancelled\":true}}\n"
        );
        let refused = answer_line(&ExecutionResult::Refused("no".into()), None);
        assert!(refused.contains("\"code\":20,\"message\":\"no\""));
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let line = answer_line(&ExecutionResult::exited(0, [0xff, 0]), None);
        assert!(line.contains("\"stdout_base64\":\"/wA=\""), "{line}");
        let zeroes = answer_line(&ExecutionResult::exited(0, [0; 3000]), None);
        assert!(
            zeroes.contains("base64") && zeroes.len() < 6000,
            "shorter than its escapes"
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let line = answer_line(&ExecutionResult::Failed("ä".repeat(10_000)), None);
        assert!(line.len() < MAX_QUOTED + AROUND);
    }
}
