//! The terminal while `top` has it: as it was before once this is dropped, after a panic, too. What is
//! logged meanwhile waits until then.

use crate::failure::Failure;
use common::sys::sync::{Arc, Mutex, lock};
use common::sys::thread;
use crossbeam_channel::{Receiver, bounded};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::style::force_color_output;
use std::io::{self, Write};

/// Bytes of the log that wait: the last lines say what went wrong.
const MOST_LOG: usize = 64 << 10;

/// Keys that wait to be looked at: a burst of pasted text.
const MOST_KEYS: usize = 256;

/// A terminal that is drawn at.
pub(crate) struct Screen {
    pub(crate) terminal: DefaultTerminal,
    log: Log,
}

impl Screen {
    /// Takes the terminal; a panic is told once that is as it was.
    pub(crate) fn open(log: Log, has_colours: bool) -> Result<Screen, Failure> {
        log.hold();
        // Whether there are colours is decided already.
        force_color_output(has_colours);
        match ratatui::try_init() {
            Ok(terminal) => Ok(Screen { terminal, log }),
            Err(e) => {
                restore(&log);
                Err(of_terminal(&e))
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore(&self.log);
    }
}

/// A terminal that is gone cannot be restored.
fn restore(log: &Log) {
    let _ = ratatui::try_restore();
    log.let_go();
}

/// What went wrong with the terminal.
pub(crate) fn of_terminal(error: &io::Error) -> Failure {
    Failure::System {
        what: "the terminal",
        why: error.to_string(),
    }
}

/// Keys and changes of the terminal's size. The thread that reads them cannot be joined: it waits for
/// the terminal until the program ends.
pub(crate) fn events() -> Result<Receiver<io::Result<Event>>, Failure> {
    let (tell, events) = bounded(MOST_KEYS);
    let read = move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if tell.send(event).is_err() || is_last {
                return;
            }
        }
    };
    thread::spawn("keys", read).map_err(Failure::NoThread)?;
    Ok(events)
}

/// The log, which waits while the terminal is drawn at.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Option<Vec<u8>>>>);

impl Log {
    fn hold(&self) {
        lock(&self.0).get_or_insert_default();
    }

    /// Writes what has waited, and from now on what comes.
    fn let_go(&self) {
        let waiting = lock(&self.0).take();
        let _ = io::stderr().write_all(&waiting.unwrap_or_default());
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(waiting) = &mut *lock(&self.0) {
            waiting.extend_from_slice(bytes);
            let more = waiting.len().saturating_sub(MOST_LOG);
            if more > 0 {
                let line_end = waiting[more..].iter().position(|byte| *byte == b'\n');
                waiting.drain(..line_end.map_or(waiting.len(), |at| more + at + 1));
            }
            return Ok(bytes.len());
        }
        io::stderr().write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_the_log_wait() {
        let mut log = Log::default();
        log.hold();
        for n in 0..20_000 {
            writeln!(log, "line {n}").expect("it is kept");
        }
        let kept = lock(&log.0).clone().expect("it waits");
        let kept = String::from_utf8(kept).expect("text");
        assert!(kept.len() <= MOST_LOG, "{}", kept.len());
        assert!(kept.starts_with("line ") && kept.ends_with("line 19999\n"));
    }
}
