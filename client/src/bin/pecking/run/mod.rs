//! `pecking run`: sends one command, shows what comes of it, and returns the exit code of its
//! outcomes.
//!
//! What comes back goes through a [`Reporter`] on a thread of its own to everything that shows or
//! keeps it. This thread hears signals and never waits for a reader of the output.

mod confirm;
mod names;
mod reporter;
mod wait;

use crate::cli::Run;
use crate::dry_run;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::progress::{Part, Progress};
use crate::output::screen::Screen;
use crate::prompt::queued::Queued;
use crate::settings::Settings;
use crate::unread_input;
use client::{SendEvent, SendHandle};
use common::sys::sync::Arc;
use common::sys::thread;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, bounded, select};
use reporter::{Reporter, Reports};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Waits for executors, sends, and prints until the command has ended. Signals never wait.
/// The console writes beside the progress line, as [`beside`](crate::output::progress::Shown::beside) has it.
pub(crate) fn run(
    settings: &Settings,
    run: &Run,
    mut progress: Progress,
    console: &Console,
) -> Result<ExitCode, Failure> {
    // What is wrong on the command line is said before anything runs.
    let sinks = match run.dry_run {
        true => Vec::new(),
        false => run.sinks()?,
    };
    let shown = progress.shown();
    let server = one_line(&settings.config.server);
    progress.draw(Part::default(), format!("joining {server}"));
    let (client, signals) = settings.join(console)?;
    if let Some(wanted) = run.wait_for {
        wait::wait_for_executors(&client, wanted, run.quiet, &signals, console)?;
    }
    if run.dry_run {
        return dry_run::run(&client, &run.command(), run.json, console);
    }
    let command = run.command();
    if let Some(most) = run.confirm_over {
        shown.hide();
        if !confirm::is_confirmed(&client, &command, most, &signals)? {
            console.say("not sent");
            return Ok(run.exit_of(ExitCode::Interrupted));
        }
    }
    let screen = Screen::own(run.screen(settings.raw), progress).map_err(Failure::Output)?;
    let sent = client.send(&command)?;
    let queued = Queued::new(run.to());
    let is_noted = run.quiet || unread_input::note_unread(console);
    let client = Arc::new(client);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let reporter = Reporter::new(Reports {
        client: Arc::clone(&client),
        command,
        screen,
        sinks,
        queued: (!run.quiet).then_some(queued),
        is_of_commands: run.exit_code,
        is_interrupted: Arc::clone(&is_interrupted),
    });
    let ended = start(reporter, sent.receiver().clone()).map_err(Failure::NoThread)?;
    loop {
        select! {
            recv(ended) -> exit => {
                // If the reader has gone, the command goes on: leaving the server ends it.
                drop(client);
                let panicked = |_| Err(io::Error::other("printing panicked"));
                let exit = exit.unwrap_or_else(panicked).map_err(Failure::Output)?;
                // The writer of standard input may have been slower than the send.
                if !is_noted {
                    unread_input::note_unread(console);
                }
                return Ok(exit);
            }
            recv(signals) -> _ => {
                if is_interrupted.swap(true, Ordering::Relaxed) {
                    // Dropping the client waits for the server a moment; exiting does not.
                    std::mem::forget(client);
                    shown.end();
                    return Ok(run.exit_of(ExitCode::Interrupted));
                }
                cancel(&sent, console);
            }
        }
    }
}

fn cancel(sent: &SendHandle, console: &Console) {
    sent.cancel();
    // `print` does not wait for a blocked console, as `say` does.
    console.print(b"cancelling; interrupt again to leave at once\n".to_vec());
}

/// Reports what comes of a command, on a thread of its own, and returns where the exit code
/// arrives. A reader that takes no output may block the thread for ever, so it is not joined.
fn start(
    reporter: Reporter,
    events: Receiver<SendEvent>,
) -> io::Result<Receiver<io::Result<ExitCode>>> {
    let (done, ended) = bounded(1);
    thread::spawn("output", move || {
        // The other thread must hold the last handle, because dropping that leaves the server.
        let exit = reporter.follow(&events);
        let _ = done.send(exit);
    })?;
    Ok(ended)
}
