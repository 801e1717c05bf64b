//! The client at a terminal.

pub(crate) mod editor;
pub(crate) mod line;
pub(crate) mod piped;
pub(crate) mod queued;
pub(crate) mod repl;
pub(crate) mod screen;
pub(crate) mod sent_command;
pub(crate) mod terminal;

use crate::dial::Signals;
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::prompt::repl::{End, Session, View};
use crate::prompt::screen::Screen;
use crate::prompt::terminal::Terminal;
use client::{Client, Disconnect};
use common::terminal::escape::one_line;
use crossbeam_channel::Receiver;

impl View for Screen {
    fn show(&self, text: &str) {
        Screen::show(self, text);
    }

    fn complain(&self, text: &str) {
        Screen::show(self, text);
    }

    fn has_room(&self) -> bool {
        Screen::has_room(self)
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn columns(&self) -> Option<usize> {
        terminal::columns()
    }
}

/// Runs a session at the terminal until it ends.
pub(crate) fn prompt(
    client: Client,
    screen: &Screen,
    redraw: Receiver<()>,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let _terminal = Terminal::keep();
    let mut to = None;
    let mut session = Session::new(&client, screen, &mut to);
    session.greet();
    let lines = editor::lines(screen.clone(), redraw)?;
    let end = session.run(&lines, signals);
    let had_open = session.lost_commands();
    screen.close();
    let exit = match end {
        End::Quit | End::NoMoreLines | End::ViewClosed => Exit::Done,
        End::Interrupted => Exit::Interrupted,
        End::ServerGone(Disconnect::NotAdmitted(why)) => {
            screen.show(&format!("Not connected again: {}.\n", one_line(&why)));
            Exit::NotConnected
        }
        End::ServerGone(reason) => {
            let reason = reason.to_string();
            screen.show(&format!("The server is gone: {}.\n", one_line(&reason)));
            match had_open {
                true => Exit::Lost,
                false => Exit::NotConnected,
            }
        }
    };
    client.leave();
    Ok(exit)
}
