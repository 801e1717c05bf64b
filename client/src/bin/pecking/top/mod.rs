//! `pecking top`: the server as it changes, at a terminal. It watches ([`client::Client::watch`]) and
//! asks for nothing again and again.
//!
//! It is a client like others and has a rank, as `members` has while it asks. It stays longer, so it
//! takes the lowest tier unless `--tier` says otherwise: whatever ranks there already keeps its rank.
//! It has no slots, and sends nothing.

mod draw;
mod fleet;
mod screen;
mod view;

use crate::cli::TopOptions;
use crate::dial::Signals;
use crate::exit_code::ExitCode;
use crate::expected::Expected;
use crate::failure::Failure;
use crate::output::with_log;
use crate::settings::Settings;
use client::{Client, ClientEvent, Disconnect, RequestError, Watch, Watched};
use common::logging::format::LogFormat;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, never, select};
use draw::Look;
use fleet::Fleet;
use ratatui::crossterm::event::{Event, KeyEventKind};
use screen::{Log, Screen, of_terminal};
use std::io::{self, IsTerminal};
use std::time::Duration;
use view::{Flow, View};

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
        let expected = Expected::load().map_err(Failure::Usage)?;
        let (client, signals) = settings.join(console)?;
        let watch = client.watch().map_err(not_watched)?;
        let look = Look {
            has_colours: options.has_colours(),
        };
        let screen = Screen::open(log, look.has_colours)?;
        let top = Top {
            client: &client,
            watch: Some(watch),
            fleet: Fleet::new(expected),
            view: View::default(),
            look,
            screen,
        };
        let end = top.run(&signals);
        client.leave();
        end
    })
}

struct Top<'a> {
    client: &'a Client,
    watch: Option<Watch>,
    fleet: Fleet,
    view: View,
    look: Look,
    screen: Screen,
}

impl Top<'_> {
    /// The terminal is as it was when this returns.
    fn run(mut self, signals: &Signals) -> Result<ExitCode, Failure> {
        let keys = screen::events()?;
        loop {
            self.draw()?;
            let told = self.told();
            select! {
                recv(keys) -> event => match event {
                    Ok(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        if self.view.key(key) == Flow::Ends {
                            return Ok(ExitCode::Done);
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
        self.view.update(&self.fleet);
        let (fleet, view, look) = (&self.fleet, &mut self.view, self.look);
        let terminal = &mut self.screen.terminal;
        let drawn = terminal.draw(|frame| draw::draw(frame, fleet, view, look));
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
    }

    /// It was too far behind, or the connection is lost; of that an event tells.
    fn watch_again(&mut self) -> Result<(), Failure> {
        self.watch = None;
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
                let reason = reason.to_string();
                self.view.lost = Some(format!(
                    "connection lost: {}; joining again",
                    one_line(&reason)
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
