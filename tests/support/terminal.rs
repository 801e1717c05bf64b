//! A program at a terminal: what it writes goes through a terminal's emulation, so that a
//! test looks at what a user in front of it sees.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pty_process::blocking::{Pts, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Termios, tcgetattr};
use vt100::Parser;

use crate::support::{PATIENCE, left};

/// What the prompt is.
pub(crate) const PROMPT: &str = "Enter command: ";

/// Rows and columns: as many rows as no test fills, and the usual columns.
const ROWS: NonZero<u16> = NonZero::new(50).expect("more than none");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("more than none");

/// How long to wait before the next look whether a process has ended: no event tells of that.
const TICK: Duration = Duration::from_millis(2);

/// A terminal with a program in it, killed and reaped when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    /// The end that a shell would keep open: it outlives the program.
    pts: Option<Pts>,
    /// The settings as they were before the program.
    found: Termios,
    screen: Arc<(Mutex<Parser>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program in a terminal of its own.
    #[track_caller]
    pub(crate) fn start(command: Command) -> Self {
        Self::start_wide(command, COLUMNS)
    }

    /// The same in one of so many columns.
    #[track_caller]
    pub(crate) fn start_wide(mut command: Command, columns: NonZero<u16>) -> Self {
        let (pty, pts) = open().expect("the system has pseudo-terminals");
        let size = pty_process::Size::new(ROWS.get(), columns.get());
        pty.resize(size).expect("a terminal has a size");
        let found = tcgetattr(&pts).expect("a terminal has settings");
        command.env("TERM", "xterm-256color");
        let mut command = pty_process::blocking::Command::from(command);
        let child = command.spawn_borrowed(&pts).expect("the program starts");
        let pty = Arc::new(pty);
        let parser = Parser::new(ROWS, columns, 0);
        let screen = Arc::new((Mutex::new(parser), Condvar::new()));
        let (from, onto) = (Arc::clone(&pty), Arc::clone(&screen));
        let reader = std::thread::spawn(move || show(&from, &onto));
        Self {
            child,
            pty,
            pts: Some(pts),
            found,
            screen,
            reader: Some(reader),
        }
    }

    /// Types.
    #[track_caller]
    pub(crate) fn keys(&self, keys: &str) {
        let written = (&*self.pty).write_all(keys.as_bytes());
        written.expect("a terminal takes what is typed");
    }

    /// Makes the terminal this wide.
    #[track_caller]
    pub(crate) fn resize(&self, columns: NonZero<u16>) {
        let mut screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(ROWS, columns);
        drop(screen);
        let size = pty_process::Size::new(ROWS.get(), columns.get());
        self.pty.resize(size).expect("a terminal has a size");
    }

    /// Makes the terminal so large.
    #[track_caller]
    pub(crate) fn resize_to(&self, rows: NonZero<u16>, columns: NonZero<u16>) {
        let mut screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(rows, columns);
        drop(screen);
        let size = pty_process::Size::new(rows.get(), columns.get());
        self.pty.resize(size).expect("a terminal has a size");
    }

    /// Whether anything on the screen has a colour.
    pub(crate) fn has_colours(&self) -> bool {
        let screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = screen.screen();
        let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
    }

    /// Waits until this is on the screen no more.
    #[track_caller]
    pub(crate) fn wait_without(&self, part: &str) {
        self.wait(&format!("no {part:?}"), |screen| {
            !contents(screen).contains(part)
        });
    }

    /// Types a line at an empty prompt, and ends it.
    #[track_caller]
    pub(crate) fn line(&self, line: &str) {
        self.wait_prompt("");
        self.keys(line);
        self.wait_prompt(line);
        self.keys("\r");
    }

    /// Sends a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it has not been reaped");
    }

    /// The lines that are on the screen, without the empty ones below them.
    pub(crate) fn shown(&self) -> String {
        let screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        contents(&screen)
    }

    /// The rows of the screen, each by itself, however long the line is that it is of.
    pub(crate) fn rows(&self) -> Vec<String> {
        let screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen().rows(0, COLUMNS.get()).collect()
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) {
        self.wait(&format!("{part:?}"), |screen| {
            contents(screen).contains(part)
        });
    }

    /// Waits until this is all that is on the screen.
    #[track_caller]
    pub(crate) fn wait_shown(&self, expected: &str) {
        self.wait(&format!("the screen to be\n{expected}"), |screen| {
            contents(screen) == expected
        });
    }

    /// Waits until the last line is the prompt with this typed behind it, and the cursor
    /// behind that. A hint does not count: it is dim.
    #[track_caller]
    pub(crate) fn wait_prompt(&self, typed: &str) {
        self.wait_prompt_before(typed, 0);
    }

    /// [`Terminal::wait_prompt`] with the cursor so many columns before the end.
    #[track_caller]
    pub(crate) fn wait_prompt_before(&self, typed: &str, back: usize) {
        let line = format!("{PROMPT}{typed}");
        let at = line.chars().count() - back;
        let what = format!("the prompt with {typed:?}, and the cursor {back} before its end");
        self.wait(&what, |screen| {
            let shown = contents(screen);
            let last = shown.lines().next_back().unwrap_or_default();
            let hint = dim(screen);
            let last = last.strip_suffix(hint.trim_end()).unwrap_or(last);
            let screen = screen.screen();
            let (column, columns) = (screen.cursor_position().1, screen.size().1);
            last.trim_end() == line.trim_end()
                && usize::from(column) == at % usize::from(columns.get())
        });
    }

    /// Waits until this is hinted, behind what is typed.
    #[track_caller]
    pub(crate) fn wait_hint(&self, hint: &str) {
        self.wait(&format!("the hint {hint:?}"), |screen| {
            dim(screen).trim_end() == hint
        });
    }

    /// Waits for its end, checks its exit code, and that it left the terminal as a shell
    /// needs it: with its settings as they were, and at the start of a line.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, code: i32) {
        self.expect_code(code);
        self.expect_start_of_line();
    }

    /// Waits for its end, with any exit code, and checks that the cursor is where a
    /// shell's prompt belongs.
    #[track_caller]
    pub(crate) fn expect_start_of_line(&mut self) {
        self.wait_exit();
        self.wait("the start of a line", |screen| {
            screen.screen().cursor_position().1 == 0
        });
    }

    /// Waits for its end, and checks its exit code and the terminal's settings.
    #[track_caller]
    pub(crate) fn expect_code(&mut self, code: i32) {
        let status = self.wait_exit();
        let shown = self.shown();
        assert_eq!(status.code(), Some(code), "its exit code; shown:\n{shown}");
        self.wait("a terminal with nothing switched on", |screen| {
            let screen = screen.screen();
            !screen.bracketed_paste()
                && !screen.hide_cursor()
                && !screen.alternate_screen()
                && !screen.application_cursor()
        });
        let pts = self.pts.as_ref().expect("it is open until the drop");
        let now = tcgetattr(pts).expect("a terminal has settings");
        let modes = |it: &Termios| {
            let modes = (it.input_modes, it.output_modes, it.control_modes);
            (modes, it.local_modes, format!("{:?}", it.special_codes))
        };
        assert_eq!(modes(&now), modes(&self.found), "the terminal's settings");
    }

    #[track_caller]
    fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                self.wait_all_shown();
                return status;
            }
            let is_late = Instant::now() >= deadline;
            assert!(!is_late, "waited for its end; shown:\n{}", self.shown());
            std::thread::sleep(TICK);
        }
    }

    /// Waits until all that the program has written is on the screen. A mode of the keypad, which no
    /// program here uses, comes behind it.
    #[track_caller]
    fn wait_all_shown(&self) {
        let pts = self.pts.as_ref().expect("it is open until the drop");
        let written = rustix::io::write(pts, b"\x1b=");
        assert_eq!(written, Ok(2), "a terminal takes what is written");
        self.wait("all that was written", |screen| {
            screen.screen().application_keypad()
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, holds: impl Fn(&Parser) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !holds(&screen) {
            if Instant::now() >= deadline {
                let (row, column) = screen.screen().cursor_position();
                let shown = contents(&screen);
                drop(screen);
                panic!("waited for {what}; the cursor at {row}, {column}; on the screen:\n{shown}");
            }
            let waited = self.screen.1.wait_timeout(screen, left(deadline));
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about it then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Once the other end is closed everywhere, reading this one ends.
        self.pts = None;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Lines without the blanks at their ends, and without empty ones at the end.
fn contents(parser: &Parser) -> String {
    let contents = parser.screen().contents();
    let lines: Vec<&str> = contents.lines().map(str::trim_end).collect();
    let shown = lines.join("\n");
    shown.trim_end_matches('\n').to_owned()
}

/// What is dim on the screen.
fn dim(parser: &Parser) -> String {
    let screen = parser.screen();
    let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let cells = cells.filter_map(|(row, column)| screen.cell(row, column));
    let dim = cells.filter(|cell| cell.dim());
    dim.map(|cell| {
        if cell.has_contents() {
            cell.contents()
        } else {
            " "
        }
    })
    .collect()
}

/// Shows what comes until the end.
fn show(mut from: &Pty, (screen, changed): &(Mutex<Parser>, Condvar)) {
    let mut buffer = [0; 4 << 10];
    // A terminal with its other end closed is an error of its own kind.
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.process(&buffer[..read]);
        changed.notify_all();
    }
}
