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
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::prompt::repl::{Repl, ReplEnd, ReplOutput};
use crate::prompt::screen::Screen;
use crate::prompt::terminal::Terminal;
use client::{Client, Disconnect};
use common::terminal::escape::one_line;
use crossbeam_channel::Receiver;

impl ReplOutput for Screen {
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

/// Runs the REPL at the terminal until it ends.
pub(crate) fn prompt(
    client: Client,
    screen: &Screen,
    redraw: Receiver<()>,
    signals: &Signals,
) -> Result<ExitCode, Failure> {
    let _terminal = Terminal::keep();
    let mut to = None;
    let mut repl = Repl::new(&client, screen, &mut to);
    repl.greet();
    let lines = editor::lines(screen.clone(), redraw)?;
    let end = repl.run(&lines, signals);
    let had_open = repl.lost_commands();
    screen.close();
    let exit = match end {
        ReplEnd::Quit | ReplEnd::NoMoreLines | ReplEnd::OutputClosed => ExitCode::Done,
        ReplEnd::Interrupted => ExitCode::Interrupted,
        ReplEnd::ServerGone(Disconnect::NotAdmitted(why)) => {
            screen.show(&format!("Not connected again: {}.\n", one_line(&why)));
            ExitCode::NotConnected
        }
        ReplEnd::ServerGone(reason) => {
            let reason = reason.to_string();
            screen.show(&format!("The server is gone: {}.\n", one_line(&reason)));
            match had_open {
                true => ExitCode::Lost,
                false => ExitCode::NotConnected,
            }
        }
    };
    client.leave();
    Ok(exit)
}
