//! `pecking run --confirm-over`: asks before a command goes to more targets than that.
//!
//! The server may find other targets when the command is sent a moment later; the question is
//! a guard against a selector that means more than its writer thought.

use crate::dial::{self, Signals};
use crate::failure::Failure;
use crate::output::node_set::{TWO_ROWS, fold};
use crate::output::render;
use client::{Command, Reach, SelectedTarget};
use common::terminal::escape::one_line;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::fd::AsFd;

/// Asks whether the command may be sent, if it reaches more of the targets than this and there is a terminal
/// to ask at.
///
/// # Errors
/// It may not, or a signal came.
pub(super) fn confirm(
    targets: &[SelectedTarget],
    command: &Command,
    most: u32,
    signals: &Signals,
) -> Result<(), Failure> {
    let Some(terminal) = terminal() else {
        return Ok(());
    };
    let reached = targets.iter();
    let reached: Vec<_> = reached.filter(|it| it.status == Reach::Execute).collect();
    if reached.len() <= most as usize {
        return Ok(());
    }
    let names = reached.iter().filter_map(|it| it.name.as_deref());
    let names: Vec<_> = names.map(one_line).collect();
    let words = render::words(command.words());
    let folded = fold(names.iter().map(AsRef::as_ref), TWO_ROWS);
    let question = format!(
        "run {words} on {} targets ({folded})? [y/N] ",
        reached.len()
    );
    match ask(&question, terminal, signals)? {
        true => Ok(()),
        false => Err(Failure::NotConfirmed),
    }
}

/// Where the answer is typed: standard input or, if that is a file or a pipe (`--stdin`), the terminal of
/// this program; none if standard error is not read at a terminal.
fn terminal() -> Option<File> {
    let (input, error) = (io::stdin(), io::stderr());
    match (error.is_terminal(), input.is_terminal()) {
        (false, _) => None,
        (true, true) => input.as_fd().try_clone_to_owned().ok().map(File::from),
        (true, false) => File::open("/dev/tty").ok(),
    }
}

/// Asks on standard error. Nothing ends the read of the answer.
fn ask(question: &str, terminal: File, signals: &Signals) -> Result<bool, Failure> {
    let _ = io::stderr().write_all(question.as_bytes());
    let answer = dial::beside(signals, "confirm", || {
        let mut answer = String::new();
        let _ = BufReader::new(terminal).read_line(&mut answer);
        answer
    });
    // The end of input and a signal leave the cursor behind the question.
    if !matches!(&answer, Ok(Some(answer)) if answer.ends_with('\n')) {
        let _ = io::stderr().write_all(b"\n");
    }
    let answer = answer?.unwrap_or_default().trim().to_lowercase();
    Ok(["y", "yes"].contains(&answer.as_str()))
}
