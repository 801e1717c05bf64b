//! What the program prints: its log, and what it says about other clients.

pub(crate) mod args;
pub(crate) mod colour;
mod diff;
pub(crate) mod folder;
pub(crate) mod gathering;
pub(crate) mod grouped;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod margin;
pub(crate) mod node_set;
pub(crate) mod prefix;
pub(crate) mod progress;
pub(crate) mod queued;
pub(crate) mod render;
pub(crate) mod report;
pub(crate) mod save;
pub(crate) mod screen;
pub(crate) mod stream;
pub(crate) mod summary;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tracker;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use common::logging::format::LogFormat;
use common::logging::logger::start_logging;
use common::terminal::console::Console;
use std::io::{self, Write};

/// Prints to standard output. A reader that has gone is no error.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(e)),
        _ => Ok(ExitCode::Done),
    }
}

/// Acts while records of this level and above are logged to `out`, in a format.
pub(crate) fn with_log(
    level: &str,
    (out, format): (impl Write + Send + 'static, LogFormat),
    act: impl FnOnce(&Console) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let console = Console::start("log", out).map_err(Failure::NoThread)?;
    start_logging(console.clone(), level, format);
    let result = act(&console);
    console.close();
    result
}
