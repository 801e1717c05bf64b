//! `pecking run`: sends one command, prints its output, and returns the exit code of its outcome.

use crate::cli::Run;
use crate::dial::{self, Signals};
use crate::dry_run;
use crate::executors::Executors;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::feed::Feed;
use crate::output::printer::{OwnStreams, Printer};
use crate::output::render;
use crate::prompt::queued::Queued;
use crate::settings::Settings;
use crate::unread_input;
use client::{Backoff, Client, Code, RequestError, SendEvent};
use common::sys::sync::Arc;
use common::sys::thread;
use common::terminal::console::Console;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, select};
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Waits for executors, sends, and prints until the command has ended. Signals never wait.
pub(crate) fn run(settings: &Settings, run: &Run, console: &Console) -> Result<ExitCode, Failure> {
    let (client, signals) = settings.join(console)?;
    if let Some(wanted) = run.wait_for {
        wait_for_executors(&client, wanted, &signals, console)?;
    }
    if run.dry_run {
        return dry_run::run(&client, &run.command(), console);
    }
    let printer = Printer::to_own_streams(settings.raw).map_err(Failure::Output)?;
    let mut sent = client.send(run.command())?;
    let feed = sent.take_input().map(Feed::start).transpose()?;
    let queued = Queued::new(run.to());
    let is_noted = feed.is_some() || unread_input::note_unread(console);
    let client = Arc::new(client);
    let events = sent.receiver().clone();
    let printed = start_printing(Arc::clone(&client), printer, events, queued);
    let printed = printed.map_err(Failure::NoThread)?;
    let mut is_interrupted = false;
    loop {
        select! {
            recv(printed) -> exit => {
                // If the reader has gone, the command goes on: leaving the server ends it.
                drop(client);
                let panicked = |_| Err(io::Error::other("printing panicked"));
                let exit = exit.unwrap_or_else(panicked).map_err(Failure::Output)?;
                // The writer of standard input may have been slower than the send.
                if !is_noted {
                    unread_input::note_unread(console);
                }
                feed.map_or(Ok(()), |feed| feed.check())?;
                return Ok(if is_interrupted { ExitCode::Interrupted } else { exit });
            }
            recv(signals) -> _ => {
                if is_interrupted {
                    // Dropping the client waits for the server a moment; exiting does not.
                    std::mem::forget(client);
                    return Ok(ExitCode::Interrupted);
                }
                is_interrupted = true;
                sent.cancel();
                // `print` does not wait for a blocked console, as `say` does.
                console.print(b"cancelling; interrupt again to leave at once\n".to_vec());
            }
        }
    }
}

/// Prints what comes of a command, on a thread of its own, and returns where the exit code
/// arrives. A reader that takes no output may block the thread for ever, so it is not joined.
fn start_printing(
    client: Arc<Client>,
    printer: OwnStreams,
    events: Receiver<SendEvent>,
    queued: Queued,
) -> io::Result<Receiver<io::Result<ExitCode>>> {
    let (done, printed) = bounded(1);
    thread::spawn("output", move || {
        let exit = print(&client, printer, &events, queued);
        // The other thread must hold the last handle, because dropping that leaves the server.
        drop(client);
        let _ = done.send(exit);
    })?;
    Ok(printed)
}

fn print(
    client: &Client,
    mut printer: OwnStreams,
    events: &Receiver<SendEvent>,
    mut queued: Queued,
) -> io::Result<ExitCode> {
    loop {
        if let Some(note) = queued.look(client) {
            printer.say(&note);
        }
        let event = match queued.due() {
            Some(at) => events.recv_deadline(at),
            None => events.recv().map_err(RecvTimeoutError::from),
        };
        let event = match event {
            Err(RecvTimeoutError::Timeout) => continue,
            event => event.unwrap_or(SendEvent::End(Err(RequestError::Lost))),
        };
        queued.hear(&event);
        let mut printed = printer.print(&event);
        if events.is_empty() {
            printed = printed.and_then(|()| printer.flush());
        }
        match printed {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::Unread),
            printed => printed?,
        }
        if let SendEvent::End(end) = event {
            let exit = ended(client, &mut printer, &end.err());
            printer.sum_up();
            return Ok(exit);
        }
    }
}

fn ended(client: &Client, printer: &mut OwnStreams, error: &Option<RequestError>) -> ExitCode {
    let Some(error) = error else {
        return printer.exit();
    };
    let hint = match error.code() {
        // Without an answer there is nothing to add.
        Some(Code::NoTarget) => Executors::of(client).ok().and_then(|them| them.hint()),
        _ => None,
    };
    let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
    printer.say(&format!("{}{hint}", render::refusal(error, client)));
    printer.exit().max(ExitCode::of_error(error))
}

/// Waits until so many clients that rank below have slots.
fn wait_for_executors(
    client: &Client,
    wanted: u32,
    signals: &Signals,
    console: &Console,
) -> Result<(), Failure> {
    let mut backoff = Backoff::polling(Duration::from_secs(1));
    let mut is_noticed = false;
    loop {
        let executors = Executors::of(client)?;
        let there = executors.below;
        if there >= wanted as usize {
            return Ok(());
        }
        if !is_noticed {
            let what = "waiting for clients below that execute";
            console.say(&format!("{what}: {there} of {wanted} are there"));
            if let Some(above) = executors.those_above() {
                console.say(&above);
            }
            is_noticed = true;
        }
        dial::wait(backoff.next_pause(), signals)?;
    }
}
