//! The client at a terminal.

use crate::dial::Signals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::{End, Session, View};
use crate::terminal::{self, Terminal};
use crate::typing;
use client::{Client, Disconnect};
use common::escape::one_line;
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
    let lines = typing::lines(screen.clone(), redraw)?;
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
