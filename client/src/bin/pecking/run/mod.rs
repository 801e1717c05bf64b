//! `pecking run`: sends one command, shows what comes of it, and returns the exit code of its
//! outcomes.
//!
//! What comes back goes through a [`Reporter`] on a thread of its own to everything that shows or
//! keeps it. This thread hears signals and never waits for a reader of the output.

pub(crate) mod again;
mod args;
mod confirm;
mod detach;
mod dry_run;
mod executors;
mod feed;
pub(crate) mod plan;
pub(crate) mod reporter;
mod rolling;
pub(crate) mod saved;
mod unread_input;
mod wait;

pub(crate) use args::{EXAMPLES, Rerun, Run, RunOptions, Task};

use crate::dial::{self, Signals};
use crate::exit_code::ExitCode;
use crate::expected::{Unreached, may_miss};
use crate::failure::Failure;
use crate::output::progress::{Part, Progress, Shown};
use crate::output::queued::Queued;
use crate::output::render;
use crate::settings::Settings;
use client::{Client, ClientEvent, Command, SelectedTarget, SendHandle};
use common::sys::sync::Arc;
use common::sys::thread;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, bounded, never, select};
use detach::Detaching;
use plan::Plan;
use reporter::{Reporter, Reports};
use rolling::{Asked, Rolling};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Waits for executors, sends, and reports until the command has ended. The console writes beside
/// the progress line.
pub(crate) fn run(
    settings: &Settings,
    options: &RunOptions,
    task: &Task,
    mut progress: Progress,
    console: &Console,
) -> Result<ExitCode, Failure> {
    // What is wrong on the command line is said before anything runs.
    let mut sinks = match options.dry_run {
        true => Vec::new(),
        false if options.detach => Vec::new(),
        false => options.sinks()?,
    };
    if let Some(note) = task.note.as_ref().filter(|_| !options.show.quiet) {
        progress.shown.hide();
        console.say(note);
    }
    let server = one_line(&settings.config.server);
    progress.draw(Part::default(), format!("joining {server}"));
    let (client, signals) = settings.join(console)?;
    if let Some(wanted) = options.wait_for {
        wait::wait_for_executors(&client, wanted, options.show.quiet, &signals, console)?;
    }
    let command = task.command.clone();
    if options.dry_run {
        return dry_run::run(&client, &command, task.batch, options.show.json, console);
    }
    let targets = targets(&client, task, options)?;
    if let Some(most) = options.confirm_over {
        progress.shown.hide();
        confirm::confirm(&targets, &command, most, &signals)?;
    }
    if options.detach {
        progress.shown.hide();
        let detaching = Detaching {
            settings,
            command: &command,
            console,
        };
        return detaching.run(client, &signals, options.show.json);
    }
    let client = Arc::new(client);
    if !options.show.quiet {
        let to = command.selector().map(ToOwned::to_owned);
        let asks = to.as_deref().is_some_and(may_miss);
        let asking = Arc::clone(&client);
        let find = move || Unreached::of(&asking, to.as_deref());
        let unreached = match asks {
            // The server may be slow to answer.
            true => dial::beside(&signals, "expected", find)?,
            false => Some(find()),
        };
        if let Some(unreached) = unreached {
            sinks.push(Box::new(unreached));
        }
    }
    let shown = progress.shown.clone();
    let screen = options.show.screen(settings.raw, progress)?;
    let is_noted = options.show.quiet || options.stdin || unread_input::note_unread(console);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let reports = Reports {
        client: Arc::clone(&client),
        screen,
        sinks,
        queued: None,
        problem: task.problem.clone(),
        goes_on: Box::new(|| false),
        is_of_commands: options.show.exit_code,
        is_interrupted: Arc::clone(&is_interrupted),
        again: options.again(),
        command,
    };
    let mut sent = Sent {
        client,
        handle: None,
        asked: None,
        ended: never(),
        is_interrupted,
        shown,
    };
    let unfed = match task.batch {
        Some(batch) => sent.start_rolling(reports, options.plan(targets, batch), options),
        None => sent.start_one(reports, options),
    }?;
    let exit = sent.wait(&signals, console)?;
    // The writer of standard input may have been slower than the send.
    if !is_noted && exit.is_some() {
        unread_input::note_unread(console);
    }
    if let Some(error) = unfed.and_then(|failed| failed.try_recv().ok()) {
        return Err(Failure::Input(error));
    }
    Ok(exit.unwrap_or(options.show.exit_of(ExitCode::Interrupted)))
}

/// The targets as of now, if they are needed before the command is sent.
fn targets(
    client: &Client,
    task: &Task,
    options: &RunOptions,
) -> Result<Vec<SelectedTarget>, Failure> {
    let is_rolling = task.batch.is_some();
    if !is_rolling && options.confirm_over.is_none() {
        return Ok(Vec::new());
    }
    match client.select(&task.command) {
        Ok(selected) => Ok(selected.targets),
        // Sending it says why.
        Err(_) if !is_rolling => Ok(Vec::new()),
        Err(error) => Err(Failure::NotSent {
            message: render::refusal(&error, client),
            error,
        }),
    }
}

/// A command under way, which a thread of its own reports on.
struct Sent {
    client: Arc<Client>,
    /// The send under way, if there is one.
    handle: Option<SendHandle>,
    /// What that thread wants to have sent.
    asked: Option<Asked>,
    /// Where the exit code arrives.
    ended: Receiver<io::Result<ExitCode>>,
    is_interrupted: Arc<AtomicBool>,
    shown: Shown,
}

impl Sent {
    /// Sends one command; returns where is told why its input could not be read, if it has any.
    fn start_one(
        &mut self,
        mut reports: Reports,
        options: &RunOptions,
    ) -> Result<Option<Receiver<io::Error>>, Failure> {
        let mut handle = reports.client.send(&reports.command)?;
        let feed = handle.take_input().map(feed::start).transpose()?;
        let queued = Queued::new(reports.command.selector());
        reports.queued = (!options.show.quiet).then_some(queued);
        let events = handle.receiver().clone();
        let reporter = Reporter::new(reports);
        self.ended = start(move || reporter.follow(&events)).map_err(Failure::NoThread)?;
        self.handle = Some(handle);
        Ok(feed)
    }

    fn start_rolling(
        &mut self,
        reports: Reports,
        plan: Plan,
        options: &RunOptions,
    ) -> Result<Option<Receiver<io::Error>>, Failure> {
        let (sends, asked) = rolling::sends();
        let rolling = Rolling {
            plan,
            pause: options.pause.unwrap_or_default(),
            deadline: options.deadline,
            sends,
        };
        let reporter = Reporter::new(reports);
        self.ended = start(move || reporter.roll(rolling)).map_err(Failure::NoThread)?;
        self.asked = Some(asked);
        Ok(None)
    }

    /// Waits for the end, and returns the exit code. The first signal cancels the command; after
    /// the second there is nothing to wait for, and no exit code.
    fn wait(mut self, signals: &Signals, console: &Console) -> Result<Option<ExitCode>, Failure> {
        let mut events = self.client.events().clone();
        loop {
            let asks = self.asked.as_ref().map_or_else(never, |it| it.asks.clone());
            select! {
                recv(self.ended) -> exit => {
                    // If the reader has gone, the command goes on: leaving the server ends it.
                    drop(self.client);
                    let panicked = |_| Err(io::Error::other("printing panicked"));
                    return exit.unwrap_or_else(panicked).map(Some).map_err(Failure::Output);
                }
                recv(asks) -> command => self.send(command.ok()),
                recv(events) -> event => match event {
                    Ok(event) => tell(console, &event),
                    Err(_) => events = never(),
                },
                recv(signals) -> _ => {
                    if self.is_interrupted.swap(true, Ordering::Relaxed) {
                        // Dropping the client waits for the server a moment; exiting does not.
                        std::mem::forget(self.client);
                        self.shown.end();
                        return Ok(None);
                    }
                    // `print` does not wait for a blocked console, as `say` does.
                    console.print(b"cancelling; interrupt again to leave at once\n".to_vec());
                    // From now on nothing is sent.
                    self.asked = None;
                    if let Some(handle) = &self.handle {
                        handle.cancel();
                    }
                }
            }
        }
    }

    /// Sends a command for the thread that reports; without one that has no more.
    fn send(&mut self, command: Option<Command>) {
        let (Some(asked), Some(command)) = (&self.asked, command) else {
            self.asked = None;
            return;
        };
        let sent = self.client.send(&command);
        let _ = asked.answers.send(match sent {
            Ok(handle) => {
                let events = handle.receiver().clone();
                self.handle = Some(handle);
                Ok(events)
            }
            Err(error) => Err(error),
        });
    }
}

/// Says that the connection broke, and that it is back.
fn tell(console: &Console, event: &ClientEvent) {
    let what = match event {
        ClientEvent::Away { reason, rank, left } => render::away(reason, *rank, *left),
        ClientEvent::Resumed { kept, rank, after } => render::resumed(*kept, *rank, *after),
        _ => return,
    };
    // `print` does not wait for a blocked console, as `say` does.
    console.print(format!("{what}\n").into_bytes());
}

/// Reports on a thread of its own, and returns where the exit code arrives. A reader that takes no
/// output may block the thread for ever, so it is not joined.
pub(crate) fn start(
    report: impl FnOnce() -> io::Result<ExitCode> + Send + 'static,
) -> io::Result<Receiver<io::Result<ExitCode>>> {
    let (done, ended) = bounded(1);
    thread::spawn("output", move || {
        // The other thread must hold the last handle, because dropping that leaves the server.
        let exit = report();
        let _ = done.send(exit);
    })?;
    Ok(ended)
}
