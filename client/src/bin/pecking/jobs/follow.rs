//! `pecking job`: shows what became of a detached command, with everything that `run` shows it with.

use super::args::Job;
use super::not_there;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::progress::{Part, Progress};
use crate::run;
use crate::run::again::Again;
use crate::run::reporter::{Reporter, Reports};
use crate::settings::Settings;
use client::{Client, Command, JobId, JobSummary};
use common::sys::sync::Arc;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::select;
use std::io;
use std::sync::atomic::AtomicBool;

/// Shows what became of a job so far, or until it has ended.
pub(crate) fn follow(
    settings: &Settings,
    options: &Job,
    mut progress: Progress,
    console: &Console,
) -> Result<ExitCode, Failure> {
    // What is wrong on the command line is said before anything else.
    let sinks = options.show.sinks()?;
    let server = one_line(&settings.config.server);
    progress.draw(Part::default(), format!("joining {server}"));
    let (client, signals) = settings.join(console)?;
    let job = client
        .follow(options.job, options.follow)
        .map_err(|error| not_there(options.job, error))?;
    let listed = listed(&client, options.job);
    let shown = progress.shown.clone();
    let screen = options.show.screen(settings.raw, progress)?;
    let (client, job) = (Arc::new(client), Arc::new(job));
    let followed = Arc::clone(&job);
    let reports = Reports {
        client: Arc::clone(&client),
        screen,
        sinks,
        queued: None,
        problem: None,
        goes_on: Box::new(move || followed.is_open()),
        again: Again::default(),
        is_of_commands: options.show.exit_code,
        is_interrupted: Arc::new(AtomicBool::new(false)),
        command: command(listed.as_ref()),
    };
    let targets = listed.map_or(1, |job| job.targets);
    let mut reporter = Reporter::new(reports);
    let events = job.receiver().clone();
    let report = move || match reporter.accept(targets) {
        Ok(()) => reporter.follow(&events),
        accepted => reporter.close(accepted),
    };
    let ended = run::start(report).map_err(Failure::NoThread)?;
    select! {
        recv(ended) -> exit => {
            let panicked = |_| Err(io::Error::other("printing panicked"));
            let exit = exit.unwrap_or_else(panicked).map_err(Failure::Output)?;
            if job.is_open() && !options.show.quiet {
                console.say("it goes on; --follow waits for its end");
            }
            Ok(exit)
        }
        recv(signals) -> _ => {
            shown.end();
            let note = format!("the command goes on; pecking cancel {} ends it\n", options.job);
            // `print` does not wait for a blocked console, as `say` does.
            console.print(note.into_bytes());
            // Dropping these waits for the server a moment; exiting does not.
            std::mem::forget((client, job));
            Ok(options.show.exit_of(ExitCode::Interrupted))
        }
    }
}

/// What the list of jobs says of it; one of a higher tier is not in it.
fn listed(client: &Client, job: JobId) -> Option<JobSummary> {
    let jobs = client.detached().ok()?;
    jobs.into_iter().find(|listed| listed.job == job)
}

/// What was sent, as far as the list of jobs says it.
fn command(listed: Option<&JobSummary>) -> Command {
    let words = listed.map_or(&[][..], |job| &job.command);
    let command = Command::new(words);
    match listed.and_then(|job| job.to.as_deref()) {
        Some(to) => command.to(to),
        None => command,
    }
}
