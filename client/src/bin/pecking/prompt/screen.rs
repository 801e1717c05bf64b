//! A terminal on which a user types while text arrives: the text appears above the line that is
//! being typed, and that line stays whole.
//!
//! Two threads write to the terminal, the line editor's and the one with text to show.
//! They never do so at the same time: while the editor has the terminal, text waits here, and the
//! editor shows it in front of its next prompt ([`Hook`]). A message through its external printer
//! makes it draw the prompt; the message itself shows nothing. The printer alone would not do: it
//! writes by itself while the terminal is not in raw mode, which is also so for a moment before the
//! prompt is drawn and after a line ends.

use crate::prompt::repl::ReplOutput;
use common::sys::sync::{Arc, Mutex, lock};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustyline::ExternalPrinter;
use rustyline::highlight::Highlighter;
use std::borrow::Cow;
use std::io::{self, Write};

/// Bytes of text that may wait for the editor; more is dropped and counted. Only a terminal that
/// takes no output lets so much wait.
const MOST_WAITING: usize = 1 << 20;

/// Waiting bytes above which no more output is taken from its senders, until some is shown.
const ENOUGH_WAITING: usize = 64 << 10;

/// Up one line and down again (ECMA-48 RI and LF): nothing to see, on any line.
const NOTHING: &str = "\x1bM\n";

/// Ends what the editor has switched on, bracketed paste, and its line.
const LEAVE_EDITOR: &str = "\x1b[?2004l\n";

/// A handle to the terminal; clones share it.
#[derive(Clone)]
pub(crate) struct Screen {
    state: Arc<Mutex<State>>,
    wake: Sender<()>,
}

struct State {
    owner: Owner,
    waiting: String,
    dropped: usize,
    out: Box<dyn Write + Send>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Any thread with text to show.
    AnyThread,
    Editor,
    /// Any thread with text to show, and never the editor again.
    Closed,
}

impl Screen {
    /// A screen, and where it asks for the prompt to be drawn again.
    pub(crate) fn new(out: impl Write + Send + 'static) -> (Screen, Receiver<()>) {
        // One request is as good as many.
        let (wake, redraw) = bounded(1);
        let state = State {
            owner: Owner::AnyThread,
            waiting: String::new(),
            dropped: 0,
            out: Box::new(out),
        };
        let state = Arc::new(Mutex::new(state));
        (Screen { state, wake }, redraw)
    }

    /// Gives the terminal to the editor; `false` after the screen was closed.
    pub(crate) fn begin_editing(&self) -> bool {
        let mut state = lock(&self.state);
        if state.owner == Owner::Closed {
            return false;
        }
        state.owner = Owner::Editor;
        true
    }

    /// Takes the terminal back once the editor has ended its line.
    pub(crate) fn end_editing(&self) {
        let mut state = lock(&self.state);
        if state.owner == Owner::Editor {
            state.owner = Owner::AnyThread;
            let text = state.take_waiting();
            state.write(&text);
        }
    }

    /// Takes the terminal for good, in the middle of a line too.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        let was_editing = state.owner == Owner::Editor;
        state.owner = Owner::Closed;
        if was_editing {
            let text = LEAVE_EDITOR.to_owned() + &state.take_waiting();
            state.write(&text);
        }
    }

    /// What the editor shows in front of its prompt.
    fn take_waiting(&self) -> String {
        lock(&self.state).take_waiting()
    }
}

impl ReplOutput for Screen {
    /// Shows text, on lines of its own. The lock keeps two threads from writing at the same time;
    /// it is held while the terminal takes the text, and only by threads that may wait.
    fn show(&self, text: &str) {
        let mut state = lock(&self.state);
        if state.owner != Owner::Editor {
            state.write(text);
            return;
        }
        if state.waiting.len() + text.len() > MOST_WAITING {
            state.dropped += text.lines().count();
            return;
        }
        state.waiting.push_str(text);
        if !text.ends_with('\n') {
            state.waiting.push('\n');
        }
        drop(state);
        let _ = self.wake.try_send(());
    }

    /// Whether little enough waits that more output can be taken.
    fn has_room(&self) -> bool {
        lock(&self.state).waiting.len() < ENOUGH_WAITING
    }
}

impl State {
    fn write(&mut self, text: &str) {
        // A terminal that is gone shows in the editor's read.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    fn take_waiting(&mut self) -> String {
        let mut text = std::mem::take(&mut self.waiting);
        if self.dropped > 0 {
            text += &format!("({} lines were dropped here)\n", self.dropped);
            self.dropped = 0;
        }
        text
    }
}

/// The target of a logger: one `write` is one record.
impl Write for Screen {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.show(&String::from_utf8_lossy(record));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn keep_drawing(redraw: &Receiver<()>, mut printer: impl ExternalPrinter) {
    while redraw.recv().is_ok() {
        if printer.print(NOTHING.into()).is_err() {
            return;
        }
    }
}

/// The editor asks this each time that it draws its prompt.
pub(crate) struct Hook(pub(crate) Screen);

impl Highlighter for Hook {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if lock(&self.0.state).owner == Owner::Closed {
            // The editor got the request to draw just before it lost the terminal. It must not
            // draw any more, and its thread has nothing else to do until the process ends.
            loop {
                std::thread::park();
            }
        }
        match self.0.take_waiting() {
            text if text.is_empty() => Cow::Borrowed(prompt),
            text => Cow::Owned(text + prompt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands for the terminal, which is written to with the screen's lock held: its own
    /// is none of the project's.
    #[derive(Clone, Default)]
    struct Paper(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
        }
    }

    #[test]
    fn text_that_comes_while_the_user_types_waits_for_the_prompt() {
        let paper = Paper::default();
        let (screen, redraw) = Screen::new(paper.clone());
        screen.show("before\n");
        assert!(screen.begin_editing());
        screen.show("a\n");
        screen.show("b");
        assert_eq!(paper.text(), "before\n");
        assert!(redraw.try_recv().is_ok() && redraw.try_recv().is_err());
        let hook = Hook(screen.clone());
        assert_eq!(hook.highlight_prompt("> ", true), "a\nb\n> ");
        assert_eq!(hook.highlight_prompt("> ", true), "> ");
        screen.show("late\n");
        screen.end_editing();
        screen.show("after\n");
        assert_eq!(paper.text(), "before\nlate\nafter\n");
    }

    #[test]
    fn the_editor_gets_no_closed_screen() {
        let paper = Paper::default();
        let (screen, _redraw) = Screen::new(paper.clone());
        assert!(screen.begin_editing());
        screen.show("waits\n");
        screen.close();
        screen.show("bye\n");
        assert!(!screen.begin_editing());
        assert_eq!(paper.text(), format!("{LEAVE_EDITOR}waits\nbye\n"));
    }

    #[test]
    fn text_for_a_blocked_terminal_has_a_bound() {
        let (screen, _redraw) = Screen::new(io::sink());
        assert!(screen.begin_editing() && screen.has_room());
        let line = "x".repeat(1023) + "\n";
        for _ in 0..1030 {
            screen.show(&line);
        }
        assert!(!screen.has_room());
        let text = screen.take_waiting();
        assert!(
            text.ends_with("(6 lines were dropped here)\n"),
            "{}",
            text.len()
        );
        assert!(screen.has_room());
    }
}
