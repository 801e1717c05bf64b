//! `pecking top`: the server as it changes, at a terminal. It watches ([`client::Client::watch`]) and
//! asks for nothing again and again, except for the user's own detached commands while these are shown.
//!
//! It is a client like others and has a rank, as `members` has while it asks. It stays longer, so it
//! takes the lowest tier unless `--tier` says otherwise: a client that ranks there already keeps its rank.
//! It has no slots, and sends no commands.

mod args;
mod command;
mod draw;
mod fleet;
mod jobs;
mod screen;
mod view;

pub(crate) use args::TopOptions;

use crate::dial::Signals;
use crate::exit_code::ExitCode;
use crate::expected;
use crate::failure::Failure;
use crate::output::with_log;
use crate::settings::Settings;
use client::{Client, ClientEvent, Disconnect, RequestError, Watch, Watched};
use common::logging::format::LogFormat;
use common::sys::sync::Arc;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, never, select};
use draw::Look;
use fleet::Fleet;
use jobs::{Answer, Asker, Jobs};
use ratatui::crossterm::event::{Event, KeyEventKind};
use screen::{Log, Screen, of_terminal};
use std::io::{self, IsTerminal};
use std::time::Duration;
use view::{Flow, Pane, View};

/// How often times are shown anew if nothing else happens.
const SECOND: Duration = Duration::from_secs(1);

/// Shows the server until the user ends it.
pub(crate) fn top(
    settings: &Settings,
    options: &TopOptions,
    format: LogFormat,
) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "top draws at a terminal, and standard output is none; `pecking members` prints the \
             ranking"
                .into(),
        ));
    }
    let log = Log::default();
    with_log("warn", (log.clone(), format), |console| {
        let expected = expected::own().map_err(Failure::Usage)?;
        let (client, signals) = settings.join(console)?;
        let client = Arc::new(client);
        let watch = client.watch().map_err(not_watched)?;
        let asker = Asker::start(&client)?;
        let look = Look {
            has_colours: options.has_colours(),
        };
        let screen = Screen::open(log, look.has_colours)?;
        let top = Top {
            client: &client,
            watch: Some(watch),
            follows_expected: expected.is_none(),
            expected_ms: None,
            fleet: Fleet::new(expected),
            jobs: Jobs::default(),
            asker,
            view: View::default(),
            look,
            screen,
        };
        let end = top.run(&signals);
        // It leaves. While a question is open it does so once that has an answer, or with the program.
        drop(client);
        end
    })
}

struct Top<'a> {
    client: &'a Client,
    watch: Option<Watch>,
    fleet: Fleet,
    /// Whether the machines that are missing are those that the server expects, not the user.
    follows_expected: bool,
    /// When the server had read those that it was asked for last, if it was since this watch began.
    expected_ms: Option<Option<u64>>,
    jobs: Jobs,
    asker: Asker,
    view: View,
    look: Look,
    screen: Screen,
}

impl Top<'_> {
    /// The terminal is as it was when this returns.
    fn run(mut self, signals: &Signals) -> Result<ExitCode, Failure> {
        let keys = screen::events()?;
        loop {
            if self.view.pane == Pane::Jobs && self.client.is_connected() {
                self.asker.list();
            }
            self.draw()?;
            let told = self.told();
            select! {
                recv(keys) -> event => match event {
                    Ok(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        match self.view.key(key, &self.jobs) {
                            Flow::Ends => return Ok(ExitCode::Done),
                            Flow::Cancels(job) if !self.asker.cancel(job) => {
                                self.view.note = Some("not cancelled: others wait for an answer".into());
                            }
                            Flow::Cancels(_) | Flow::GoesOn => {}
                        }
                    }
                    // Another size is seen when it is drawn the next time.
                    Ok(Ok(_)) => {}
                    Ok(Err(e)) => return Err(of_terminal(&e)),
                    Err(_) => return Err(of_terminal(&io::ErrorKind::UnexpectedEof.into())),
                },
                recv(told) -> told => match told {
                    Ok(told) => self.take(*told),
                    Err(_) => self.watch_again()?,
                },
                recv(self.asker.answers) -> answer => match answer {
                    Ok(answer) => self.take_answer(answer),
                    Err(_) => return Err(lost(&Disconnect::Closed)),
                },
                recv(self.client.events()) -> event => match event {
                    Ok(event) => self.hear(event)?,
                    Err(_) => return Err(lost(&Disconnect::Closed)),
                },
                recv(signals) -> _ => return Err(Failure::Interrupted),
                default(SECOND) => {}
            }
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        self.view.own = self.client.member();
        self.view.update(&self.fleet, &self.jobs);
        let (known, view, look) = ((&self.fleet, &self.jobs), &mut self.view, self.look);
        let terminal = &mut self.screen.terminal;
        let drawn = terminal.draw(|frame| draw::draw(frame, known, view, look));
        drawn.map(drop).map_err(|e| of_terminal(&e))
    }

    fn told(&self) -> Receiver<Box<Watched<'static>>> {
        let told = self.watch.as_ref().map(|watch| watch.told().clone());
        told.unwrap_or_else(never)
    }

    /// Takes what was told, and all that came behind it: it is drawn once.
    fn take(&mut self, told: Watched<'static>) {
        self.fleet.take(told);
        let more = self.told();
        while let Ok(told) = more.try_recv() {
            self.fleet.take(*told);
        }
        self.follow_expected();
    }

    /// Asks which machines the server expects if they may be others than before.
    fn follow_expected(&mut self) {
        let read_ms = self.fleet.server.as_ref().and_then(|it| it.expected_ms);
        if self.follows_expected && self.expected_ms != Some(read_ms) && self.asker.expected() {
            self.expected_ms = Some(read_ms);
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        self.asker.note(&answer);
        match answer {
            Answer::Listed(listed) => self.jobs.take(listed),
            Answer::Expected(Ok(expected)) => self.fleet.expect(expected),
            // It is asked again when a watch begins.
            Answer::Expected(Err(_)) => {}
            Answer::Cancelled(job, result) => {
                let words = self.jobs.get(job).map_or("the command", |job| &*job.words);
                self.view.note = Some(match result {
                    Ok(()) => format!("cancelled: {words}"),
                    Err(error) => format!("not cancelled: {}", one_line(&error.to_string())),
                });
            }
        }
    }

    /// It was too far behind, or the connection is lost; of that an event tells.
    fn watch_again(&mut self) -> Result<(), Failure> {
        self.watch = None;
        // It may not have answered.
        self.expected_ms = None;
        match self.client.watch() {
            Ok(watch) => self.watch = Some(watch),
            Err(error @ RequestError::Rpc(_)) => return Err(not_watched(error)),
            Err(_) if self.view.lost.is_none() && self.client.is_connected() => {
                self.view.lost = Some("the server does not tell what changes".into());
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn hear(&mut self, event: ClientEvent) -> Result<(), Failure> {
        match event {
            ClientEvent::Lost(reason) => {
                self.watch = None;
                self.view.take_back();
                self.view.lost = Some(format!(
                    "connection lost: {}; joining again",
                    one_line(&reason.to_string())
                ));
            }
            ClientEvent::NotYet { error, .. } => {
                let error = error.to_string();
                self.view.lost = Some(format!("not connected yet: {}", one_line(&error)));
            }
            ClientEvent::Rejoined { .. } => {
                self.view.lost = None;
                self.watch_again()?;
            }
            ClientEvent::Disconnected(reason) => return Err(lost(&reason)),
            _ => {}
        }
        Ok(())
    }
}

/// The server does not let this client watch, or does not know how to.
fn not_watched(error: RequestError) -> Failure {
    Failure::NotSent {
        message: error.to_string(),
        error,
    }
}

/// There is no connection any more.
fn lost(reason: &Disconnect) -> Failure {
    let reason = match reason {
        Disconnect::NotAdmitted(why) => format!("not let in again: {why}"),
        reason => format!("the server is gone: {reason}"),
    };
    Failure::Gone(reason)
}
