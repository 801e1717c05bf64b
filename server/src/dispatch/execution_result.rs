//! What an executor's answer to an `execute` makes of the command.

use crate::dispatch::outcome_details::OutcomeDetails;
use crate::dispatch::output_credit::OutputCredit;
use common::limits::MAX_QUOTED;
use common::wire::message::{AnswerBody, Code, RpcError};
use common::wire::{ExecutionResult, Leftovers, Status, Text};
use serde_json::value::RawValue;

/// How a command ended, by what its executor answered. Output counts against the credit, and
/// is left out for a sender that is behind: output never makes it a slow consumer.
pub(crate) fn read<'a>(
    body: ReadAnswer<'a>,
    credit: &mut OutputCredit,
    is_behind: bool,
) -> (Status, OutcomeDetails<'a>) {
    if is_behind {
        *credit = credit.used_up();
    }
    let read = match body {
        ReadAnswer::Executed(read) => executed(read, credit),
        ReadAnswer::Error(raw) => error(raw),
        ReadAnswer::Malformed(why) => Err(why),
    };
    let (status, mut details) = read.unwrap_or_else(|why| {
        let message = format!("the executor's answer is malformed: {why}");
        (Status::Failed, OutcomeDetails::saying(quoted(&message)))
    });
    details.executed.truncated |= credit.was_cut();
    (status, details)
}

/// An answer as far as it can be read.
pub(crate) enum ReadAnswer<'a> {
    Executed(ExecutionResult<'a>),
    Error(&'a RawValue),
    Malformed(String),
}

impl<'a> From<&AnswerBody<'a>> for ReadAnswer<'a> {
    fn from(body: &AnswerBody<'a>) -> ReadAnswer<'a> {
        match body {
            AnswerBody::Result(raw) if !raw.get().starts_with('{') => {
                ReadAnswer::Malformed("its result is not an object".into())
            }
            AnswerBody::Result(raw) => match serde_json::from_str(raw.get()) {
                Ok(executed) => ReadAnswer::Executed(executed),
                Err(e) => ReadAnswer::Malformed(e.to_string()),
            },
            AnswerBody::Error(raw) => ReadAnswer::Error(raw),
            AnswerBody::Malformed => {
                ReadAnswer::Malformed("it has a result and an error, or one of them twice".into())
            }
        }
    }
}

fn executed<'a>(
    mut executed: ExecutionResult<'a>,
    credit: &mut OutputCredit,
) -> Result<(Status, OutcomeDetails<'a>), String> {
    let status = match () {
        () if executed.timed_out => Status::TimedOut,
        () if executed.cancelled => Status::Cancelled,
        () if executed.exit_code.is_none() && executed.signal.is_none() => {
            return Err("it has neither an exit_code nor a signal".into());
        }
        () => Status::Done,
    };
    if let Some(signal) = &executed.signal
        && !is_signal_name(&signal.decoded())
    {
        return Err("its signal is no name such as SIGKILL".into());
    }
    // These are the status now.
    (executed.timed_out, executed.cancelled) = (false, false);
    executed.leftovers = executed.leftovers.and_then(Leftovers::if_any);
    for text in [&mut executed.stdout, &mut executed.stderr] {
        *text = text
            .take()
            .map(|t| credit.take_text(t))
            .filter(|t| !t.is_empty());
    }
    for text in [&mut executed.stdout_base64, &mut executed.stderr_base64] {
        if let Some(encoded) = text.take() {
            let taken = credit
                .take_base64(encoded)
                .ok_or("it has output that is not base64")?;
            *text = Some(taken).filter(|t| !t.is_empty());
        }
    }
    Ok((
        status,
        OutcomeDetails {
            executed,
            ..OutcomeDetails::default()
        },
    ))
}

/// Whether a text may be a signal's name: `SIGTERM`, `SIGRTMIN+3`.
fn is_signal_name(text: &str) -> bool {
    const LONGEST: usize = 32;
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_right)
}

fn error(raw: &RawValue) -> Result<(Status, OutcomeDetails<'static>), String> {
    let error = RpcError::parse(raw).map_err(|e| e.to_string())?;
    let (status, message) = match Code::from_number(error.code) {
        Some(Code::Refused) => (Status::Refused, error.message),
        Some(Code::NotFound) => (Status::NotFound, error.message),
        Some(Code::Failed) => (Status::Failed, error.message),
        _ => {
            let message = format!(
                "the executor answered with error {}: {}",
                error.code, error.message
            );
            (Status::Failed, message)
        }
    };
    Ok((status, OutcomeDetails::saying(quoted(&message))))
}

/// A message as much of which as an outcome carries.
fn quoted(message: &str) -> Text<'static> {
    let end = message.floor_char_boundary(MAX_QUOTED);
    Text::from(message[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome's members of an answer, as JSON, in the form `status {executed} message`.
    fn outcome(body: &str, is_error: bool, share: u64) -> String {
        let raw: &RawValue = serde_json::from_str(body).expect("JSON");
        let body = match is_error {
            true => AnswerBody::Error(raw),
            false => AnswerBody::Result(raw),
        };
        let (status, details) = read((&body).into(), &mut OutputCredit::share(share), false);
        let executed = serde_json::to_string(&details.executed).expect("JSON");
        let message = details
            .message
            .map_or(String::new(), |m| format!(" {}", m.decoded()));
        format!("{status} {executed}{message}")
    }

    #[test]
    fn results_of_all_kinds() {
        for (result, expected) in [
            (
                r#"{"exit_code":0,"stdout":"x\n","stderr":""}"#,
                r#"done {"exit_code":0,"stdout":"x\n"}"#,
            ),
            (
                r#"{"signal":"SIGKILL","x":1}"#,
                r#"done {"signal":"SIGKILL"}"#,
            ),
            (
                r#"{"exit_code":-1,"stdout_base64":"/w=="}"#,
                r#"done {"exit_code":-1,"stdout_base64":"/w=="}"#,
            ),
            (
                r#"{"exit_code":0,"leftovers":{"ended":2,"running":0}}"#,
                r#"done {"exit_code":0,"leftovers":{"ended":2,"running":0}}"#,
            ),
            (
                r#"{"timed_out":true,"leftovers":{"running":1,"x":[]}}"#,
                r#"timed_out {"leftovers":{"ended":0,"running":1}}"#,
            ),
            (
                r#"{"exit_code":0,"leftovers":{"ended":null,"running":0}}"#,
                r#"done {"exit_code":0}"#,
            ),
            (
                r#"{"exit_code":0,"leftovers":null}"#,
                r#"done {"exit_code":0}"#,
            ),
            (r#"{"cancelled":true}"#, r"cancelled {}"),
            (
                r#"{"timed_out":true,"signal":"SIGTERM"}"#,
                r#"timed_out {"signal":"SIGTERM"}"#,
            ),
            (
                r#"{"exit_code":0,"stdout":"0123456789"}"#,
                r#"done {"exit_code":0,"stdout":"01234567","truncated":true}"#,
            ),
        ] {
            assert_eq!(outcome(result, false, 8), expected);
        }
        for malformed in [
            "{}",
            "1",
            "[0]",
            "null",
            r#"{"signal":""}"#,
            r#"{"signal":"SIG KILL"}"#,
            r#"{"exit_code":"0"}"#,
            r#"{"exit_code":0.5}"#,
            r#"{"exit_code":0,"exit_code":0}"#,
            r#"{"exit_code":0,"stdout":"\ud800"}"#,
            r#"{"exit_code":0,"stdout_base64":"x"}"#,
            r#"{"exit_code":0,"stdout":1}"#,
            r#"{"exit_code":0,"leftovers":2}"#,
            r#"{"exit_code":0,"leftovers":[2,0]}"#,
            r#"{"exit_code":0,"leftovers":{"ended":-1}}"#,
            r#"{"exit_code":0,"leftovers":{"ended":1.0}}"#,
            r#"{"exit_code":0,"leftovers":{"ended":"1"}}"#,
            r#"{"exit_code":0,"leftovers":{"running":4294967296}}"#,
            r#"{"exit_code":0,"leftovers":{"running":1,"running":1}}"#,
            r#"{"exit_code":0,"leftovers":{},"leftovers":{}}"#,
        ] {
            let text = outcome(malformed, false, 8);
            assert!(
                text.starts_with("failed {} the executor's answer is malformed: "),
                "{text}"
            );
        }
    }

    #[test]
    fn a_sender_that_is_behind_gets_no_output() {
        let raw: &RawValue = serde_json::from_str(r#"{"exit_code":0,"stdout":"x"}"#).expect("JSON");
        let mut credit = OutputCredit::window(100);
        let (status, details) = read((&AnswerBody::Result(raw)).into(), &mut credit, true);
        assert_eq!(status, Status::Done);
        assert!(details.executed.stdout.is_none() && details.executed.truncated);
    }

    #[test]
    fn errors_of_all_kinds() {
        for (error, expected) in [
            (r#"{"code":20,"message":"no"}"#, "refused {} no"),
            (r#"{"code":21,"message":"where"}"#, "not_found {} where"),
            (r#"{"code":22,"message":"how","data":1}"#, "failed {} how"),
            (
                r#"{"code":7,"message":"x"}"#,
                "failed {} the executor answered with error 7: x",
            ),
        ] {
            assert_eq!(outcome(error, true, 8), expected);
        }
        for malformed in ["1", "{}", r#"{"code":"20","message":"x"}"#] {
            assert!(outcome(malformed, true, 8).starts_with("failed {} the executor's answer"));
        }
        let long = format!(r#"{{"code":20,"message":"{}"}}"#, "ä".repeat(100_000));
        assert!(outcome(&long, true, 8).len() < MAX_QUOTED + 20);
    }
}
