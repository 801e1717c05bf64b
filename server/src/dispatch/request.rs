//! What a `send` asks for besides its targets: whether the server can give that.

use crate::hub::Hub;
use common::limits::{MAX_INPUT_WINDOW, MAX_OUTPUT};
use common::wire::message::{Code, RpcError};
use common::wire::{Send, Stdin};

#[inline(never)]
pub(super) fn check_numbers(request: &Send<'_>) -> Result<(), RpcError> {
    let wrong = |message: String| Err(RpcError::new(Code::InvalidParams, message));
    for (name, value) in [
        ("timeout_ms", request.timeout_ms),
        ("deadline_ms", request.deadline_ms),
    ] {
        if value == Some(0) {
            return wrong(format!("params.{name} is 0; it must be at least 1"));
        }
    }
    for (name, window, most) in [
        ("window", request.window, MAX_OUTPUT),
        ("stdin", input_window(request), MAX_INPUT_WINDOW),
    ] {
        if let Some(window) = window.filter(|window| !(1..=most).contains(window)) {
            return wrong(format!(
                "params.{name} is {window}; it must be from 1 to {most}"
            ));
        }
    }
    Ok(())
}

/// Holds a `send` that was made for one run of a server to that: the numbers of members in its
/// selector are those of that run.
pub(super) fn check_run(hub: &Hub, request: &Send<'_>) -> Result<(), RpcError> {
    match &request.run {
        Some(run) if *run.decoded() != *hub.run => Err(another_run()),
        _ => Ok(()),
    }
}

#[cold]
#[inline(never)]
fn another_run() -> RpcError {
    let message = "params.run is that of another run of this server, whose members were others";
    RpcError::new(Code::InvalidParams, message)
}

/// How much input of a command may be under way, if it has any.
pub(super) fn input_window(request: &Send<'_>) -> Option<u64> {
    request.stdin.and_then(Stdin::window)
}

/// How long a command may run that a target is given at once.
pub(super) fn first_end(request: &Send<'_>) -> Option<u64> {
    let ends = [request.timeout_ms, request.deadline_ms];
    ends.into_iter().flatten().min()
}
