//! The client that takes commands line by line: at a terminal, or from a pipe.

mod assistant;
mod completion;
pub(crate) mod editor;
mod job_numbers;
mod kept;
pub(crate) mod line;
pub(crate) mod piped;
pub(crate) mod repl;
pub(crate) mod screen;
pub(crate) mod sent_command;
pub(crate) mod terminal;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::with_log;
use crate::settings::Settings;
use client::Disconnect;
use common::logging::format::LogFormat;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::Receiver;
use repl::{Repl, ReplEnd, ReplOutput};
use screen::Screen;
use std::io::{self, IsTerminal, Write};
use terminal::Terminal;

/// Runs the REPL at the terminal until it ends.
pub(crate) fn at_terminal(settings: &Settings) -> Result<ExitCode, Failure> {
    let (screen, redraw) = Screen::new(io::stdout());
    // At the terminal, log records must not get into the line that the user types.
    let log: Box<dyn Write + Send> = match io::stderr().is_terminal() {
        true => Box::new(screen.clone()),
        false => Box::new(io::stderr()),
    };
    with_log("warn", (log, LogFormat::Text), |console| {
        run(settings, &screen, redraw, console)
    })
}

fn run(
    settings: &Settings,
    screen: &Screen,
    redraw: Receiver<()>,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let (client, signals) = settings.join(console)?;
    let _terminal = Terminal::keep();
    let mut repl = Repl::new(&client, screen, settings.raw);
    repl.greet();
    let lines = editor::lines(screen.clone(), redraw)?;
    let end = repl.run(&lines, &signals);
    let lost_commands = repl.lost_commands;
    if let (ReplEnd::Quit | ReplEnd::NoMoreLines, Some(farewell)) = (&end, repl.farewell()) {
        screen.show(&farewell);
    }
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
            match lost_commands {
                true => ExitCode::Lost,
                false => ExitCode::NotConnected,
            }
        }
    };
    client.leave();
    Ok(exit)
}
