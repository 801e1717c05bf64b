//! The progress line of a run: one line on standard error, at a terminal only.
//!
//! It is drawn some times a second at most, always at the start of a line, and cleared before
//! anything else is written: so it costs little, and stands in the way of no output. The library
//! draws it; when it is there is decided here, since other threads write to the same terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it is drawn at most: often enough to be seen moving.
const PACE: Duration = Duration::from_millis(125);

/// Columns of a terminal from which on there is room for a bar in front of the text.
const WIDE: u16 = 72;

/// Back to the start of the line, and clears it (ECMA-48 EL).
const CLEAR: &[u8] = b"\r\x1b[2K";

/// The progress line, if there is one.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// Whether the line is on the screen, for other threads that write there.
    pub(crate) shown: Shown,
    is_wide: Option<bool>,
    pub(crate) began: Instant,
    due: Instant,
}

/// Whether the line is on the screen; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_drawn: AtomicBool,
    /// It is not drawn any more.
    is_over: AtomicBool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) ended: u32,
    pub(crate) of: u32,
}

impl Progress {
    /// A line, if it is wanted and standard error is a terminal that can draw one.
    pub(crate) fn new(is_wanted: bool) -> Progress {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_on = is_wanted && !is_dumb && io::stderr().is_terminal();
        let now = Instant::now();
        let bar = || ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Progress {
            bar: is_on.then(bar),
            shown: Shown::default(),
            is_wide: None,
            began: now,
            due: now,
        }
    }

    /// When to draw it again, if at all.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.bar.as_ref().map(|_| self.due)
    }

    /// Draws it; the cursor is at the start of a line, or on this one.
    pub(crate) fn draw(&mut self, part: Part, text: String) {
        self.put_off();
        let Some(bar) = &self.bar else {
            return;
        };
        if self.shown.0.is_over.load(Ordering::Acquire) {
            return;
        }
        let is_wide = part.of > 1 && columns() >= WIDE;
        if self.is_wide.replace(is_wide) != Some(is_wide) {
            bar.set_style(style(is_wide));
        }
        // Before and after: what another thread writes meanwhile may have cleared it, and a line
        // that is cleared for nothing is an empty one.
        self.shown.0.is_drawn.store(true, Ordering::Release);
        bar.set_length(part.of.into());
        bar.set_position(part.ended.into());
        bar.set_message(text);
        self.shown.0.is_drawn.store(true, Ordering::Release);
    }

    /// Has it drawn later.
    pub(crate) fn put_off(&mut self) {
        self.due = Instant::now() + PACE;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shown.hide();
    }
}

impl Shown {
    /// Clears the line, if it is there.
    pub(crate) fn hide(&self) {
        if self.0.is_drawn.swap(false, Ordering::AcqRel) {
            let _ = io::stderr().write_all(CLEAR);
        }
    }

    /// Clears the line for good.
    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.hide();
    }

    /// What writes to the same terminal from another thread.
    pub(crate) fn beside(self, out: impl Write) -> impl Write {
        Beside { out, shown: self }
    }
}

/// Clears the line before each write.
struct Beside<W> {
    out: W,
    shown: Shown,
}

impl<W: Write> Write for Beside<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shown.0.is_drawn.swap(false, Ordering::AcqRel) {
            // With one call, so that the line is not drawn between the two.
            self.out.write_all(&[CLEAR, bytes].concat())?;
            return Ok(bytes.len());
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn columns() -> u16 {
    tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col)
}

/// What does not fit into a narrow terminal is left out at the end.
fn style(is_wide: bool) -> ProgressStyle {
    let template = match is_wide {
        true => "[{bar:20}] {wide_msg}",
        false => "{wide_msg}",
    };
    let style = ProgressStyle::with_template(template);
    style
        .expect("the templates are right")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_beside_the_line_clears_it_once() {
        let shown = Shown::default();
        let mut out = Vec::new();
        let mut beside = shown.clone().beside(&mut out);
        let mut write = |text: &str| beside.write_all(text.as_bytes()).expect("memory");
        write("a\n");
        shown.0.is_drawn.store(true, Ordering::Release);
        write("b\n");
        write("c\n");
        drop(beside);
        assert_eq!(out, b"a\n\r\x1b[2Kb\nc\n");
    }

    #[test]
    fn the_templates_are_right() {
        for is_wide in [true, false] {
            style(is_wide);
        }
    }
}
