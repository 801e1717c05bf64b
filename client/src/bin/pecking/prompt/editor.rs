//! The lines that the user types at the terminal, with editing and a history.

use crate::failure::Failure;
use crate::prompt::repl::{ReplInput, ReplOutput};
use crate::prompt::screen::{Hook, Screen, keep_drawing};
use common::sys::thread;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History};
use rustyline::{ColorMode, Config, Editor};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROMPT: &str = "Enter command: ";

/// Lines that the history keeps: more than a user goes back to.
const HISTORY: usize = 1000;

/// How long the next prompt waits for the first text of the line before, for the usual order.
const HANDLED_PATIENCE: Duration = Duration::from_millis(200);

/// Starts the thread that reads the terminal, and the thread that redraws its prompt. Both end
/// with the process: no call ends a read of a terminal.
pub(crate) fn lines(screen: Screen, redraw: Receiver<()>) -> Result<ReplInput, Failure> {
    let system = |e: ReadlineError| Failure::System {
        what: "the terminal",
        why: e.to_string(),
    };
    let mut typing = LineEditor::new(screen).map_err(system)?;
    // A terminal without editing shows what arrives at any time.
    if let Ok(printer) = typing.editor.create_external_printer() {
        let drawing = move || keep_drawing(&redraw, printer);
        thread::spawn("redraw", drawing).map_err(Failure::NoThread)?;
    } else {
        typing.is_edited = false;
    }
    let (into, lines) = bounded(1);
    let (handled, is_handled) = bounded(1);
    let reading = move || typing.read(&into, &is_handled);
    thread::spawn("typing", reading).map_err(Failure::NoThread)?;
    Ok(ReplInput {
        lines,
        handled: Some(handled),
        one_by_one: false,
    })
}

struct LineEditor {
    editor: Editor<Hook, FileHistory>,
    screen: Screen,
    history: Option<PathBuf>,
    is_edited: bool,
}

impl LineEditor {
    fn new(screen: Screen) -> Result<LineEditor, ReadlineError> {
        // The editor asks the hook only if colours are on.
        let config = Config::builder()
            .max_history_size(HISTORY)?
            // As in shells: a line that begins with a space is not kept.
            .history_ignore_space(true)
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Hook(screen.clone())));
        let history = history_file();
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        Ok(LineEditor {
            editor,
            screen,
            history,
            is_edited: true,
        })
    }

    fn read(mut self, lines: &Sender<Result<String, String>>, is_handled: &Receiver<()>) {
        loop {
            if self.is_edited && !self.screen.begin_editing() {
                return;
            }
            let typed = self.editor.readline(PROMPT);
            self.screen.end_editing();
            let typed = match typed {
                Ok(typed) => typed,
                // Ctrl-C clears the line.
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return,
                Err(ReadlineError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                    self.screen.show("what was typed is not UTF-8\n");
                    continue;
                }
                Err(e) => {
                    log::warn!("the terminal cannot be read: {e}");
                    return;
                }
            };
            // Pasted text may have several lines.
            for line in typed.lines() {
                self.remember(line);
                while is_handled.try_recv().is_ok() {}
                if lines.send(Ok(line.to_owned())).is_err() {
                    return;
                }
                let _ = is_handled.recv_timeout(HANDLED_PATIENCE);
            }
        }
    }

    /// Keeps a line for the next sessions. A history that cannot be stored is no error.
    fn remember(&mut self, typed: &str) {
        if typed.trim().is_empty() || !self.editor.history_mut().add(typed).unwrap_or(false) {
            return;
        }
        if let Some(path) = &self.history
            && let Err(e) = store(&mut self.editor, path)
        {
            log::debug!("the history cannot be stored in {}: {e}", path.display());
            self.history = None;
        }
    }
}

fn store(editor: &mut Editor<Hook, FileHistory>, path: &Path) -> Result<(), ReadlineError> {
    if let Some(folder) = path.parent() {
        // The specification asks for this mode for each new folder.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    editor.append_history(path)
}

/// In the user's folder for state (XDG Base Directory Specification).
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("pecking-order/history"))
}
