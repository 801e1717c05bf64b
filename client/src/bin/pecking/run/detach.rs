//! `run --detach`: sends a command that goes on at the server, and prints its job.
//!
//! The id is chosen here, so that a lost answer can be asked for again: the command runs once, however
//! often the connection breaks.

use crate::dial::{Signals, wait};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{json, print, render};
use crate::settings::Settings;
use client::{Backoff, Client, Code, Command, Detached, JobId, RequestError};
use common::terminal::console::Console;

/// How often a lost answer is asked for again: some seconds, in which a server starts anew.
const MOST_TRIES: u32 = 8;

/// A command that is to be detached.
pub(super) struct Detaching<'a> {
    pub(super) settings: &'a Settings,
    pub(super) command: &'a Command,
    pub(super) console: &'a Console,
}

impl Detaching<'_> {
    /// Sends it, and prints its job.
    pub(super) fn run(
        &self,
        client: Client,
        signals: &Signals,
        as_json: bool,
    ) -> Result<ExitCode, Failure> {
        let id = JobId::random().map_err(|error| Failure::System {
            what: "the id of a job",
            why: error.to_string(),
        })?;
        let detached = match client.detach(self.command, Some(id)) {
            Err(RequestError::Lost | RequestError::TimedOut(_)) => {
                drop(client);
                self.ask_again(id, signals)
            }
            Err(error) => Err(not_sent(error, &client)),
            Ok(detached) => {
                client.leave();
                Ok(detached)
            }
        }?;
        print(&match as_json {
            true => json::detached_line(&detached),
            false => format!("{}\n", detached.job),
        })
    }

    /// Asks whether the server has the job, and sends the command again if it has not.
    fn ask_again(&self, id: JobId, signals: &Signals) -> Result<Detached, Failure> {
        let note =
            format!("the connection was lost before the answer; asking for the job {id} again");
        self.console.say(&note);
        let mut pauses = Backoff::new();
        let mut tries = 0;
        loop {
            wait(pauses.next_pause(), signals)?;
            tries += 1;
            match self.try_again(id) {
                Err(_) if tries < MOST_TRIES => {}
                Err(failure) => {
                    let hint = format!("whether it runs says `pecking job {id}`");
                    self.console.say(&hint);
                    return Err(failure);
                }
                Ok(Ok(detached)) => return Ok(detached),
                Ok(Err(refused)) => return Err(refused),
            }
        }
    }

    /// One try; the outer error is one that another try may not meet.
    fn try_again(&self, id: JobId) -> Result<Result<Detached, Failure>, Failure> {
        let client = self.settings.dial_again()?;
        let sent = match client.follow(id, false) {
            Ok(_) => self.kept(&client, id),
            Err(error) if error.code() == Some(Code::InvalidParams) => {
                client.detach(self.command, Some(id))
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(detached) => Ok(Ok(detached)),
            Err(RequestError::Rpc(error)) => Ok(Err(not_sent(RequestError::Rpc(error), &client))),
            Err(error) => Err(not_sent(error, &client)),
        }
    }

    /// The answer that was lost.
    fn kept(&self, client: &Client, id: JobId) -> Result<Detached, RequestError> {
        let jobs = client.detached()?;
        let listed = jobs.iter().find(|job| job.job == id);
        Ok(Detached {
            job: id,
            targets: listed.map_or(0, |job| job.targets),
        })
    }
}

fn not_sent(error: RequestError, client: &Client) -> Failure {
    Failure::NotSent {
        message: render::refusal(&error, client),
        error,
    }
}
