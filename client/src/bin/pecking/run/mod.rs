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
use crate::dial::Signals;
use crate::dry_run;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::progress::{Part, Progress, Shown};
use crate::output::screen::Screen;
use crate::prompt::queued::Queued;
use crate::settings::Settings;
use crate::unread_input;
use client::{Client, SendEvent, SendHandle};
use common::sys::sync::Arc;
use common::sys::thread;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, bounded, select};
use reporter::{Reporter, Reports};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Waits for executors, sends, and reports until the command has ended. The console writes beside
/// the progress line.
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
    let server = one_line(&settings.config.server);
    progress.draw(Part::default(), format!("joining {server}"));
    let (client, signals) = settings.join(console)?;
    if let Some(wanted) = run.wait_for {
        wait::wait_for_executors(&client, wanted, run.quiet, &signals, console)?;
    }
    let command = run.command();
    if run.dry_run {
        return dry_run::run(&client, &command, run.json, console);
    }
    if let Some(most) = run.confirm_over {
        progress.hide();
        confirm::confirm(&client, &command, most, &signals)?;
    }
    let shown = progress.shown();
    let screen = Screen::own(run.screen(settings.raw), progress).map_err(Failure::Output)?;
    let handle = client.send(&command)?;
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
    let ended = start(reporter, handle.receiver().clone()).map_err(Failure::NoThread)?;
    let sent = Sent {
        client,
        handle,
        ended,
        is_interrupted,
        shown,
    };
    let exit = sent.wait(&signals, console)?;
    // The writer of standard input may have been slower than the send.
    if !is_noted && exit.is_some() {
        unread_input::note_unread(console);
    }
    Ok(exit.unwrap_or(run.exit_of(ExitCode::Interrupted)))
}

/// A command under way, which a thread of its own reports on.
struct Sent {
    client: Arc<Client>,
    handle: SendHandle,
    /// Where the exit code arrives.
    ended: Receiver<io::Result<ExitCode>>,
    is_interrupted: Arc<AtomicBool>,
    shown: Shown,
}

impl Sent {
    /// Waits for the end, and returns the exit code. The first signal cancels the command; after
    /// the second there is nothing to wait for, and no exit code.
    fn wait(self, signals: &Signals, console: &Console) -> Result<Option<ExitCode>, Failure> {
        loop {
            select! {
                recv(self.ended) -> exit => {
                    // If the reader has gone, the command goes on: leaving the server ends it.
                    drop(self.client);
                    let panicked = |_| Err(io::Error::other("printing panicked"));
                    return exit.unwrap_or_else(panicked).map(Some).map_err(Failure::Output);
                }
                recv(signals) -> _ => {
                    if self.is_interrupted.swap(true, Ordering::Relaxed) {
                        // Dropping the client waits for the server a moment; exiting does not.
                        std::mem::forget(self.client);
                        self.shown.end();
                        return Ok(None);
                    }
                    self.handle.cancel();
                    // `print` does not wait for a blocked console, as `say` does.
                    console.print(b"cancelling; interrupt again to leave at once\n".to_vec());
                }
            }
        }
    }
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
