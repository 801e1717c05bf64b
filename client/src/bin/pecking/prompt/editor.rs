//! The lines that the user types at the terminal, with editing and a history.

use crate::failure::Failure;
use crate::own_files;
use crate::prompt::assistant::Assistant;
use crate::prompt::repl::{Ask, ReplInput, ReplOutput};
use crate::prompt::screen::{Hook, Screen, keep_drawing};
use crate::prompt::terminal;
use common::sys::thread;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustyline::error::ReadlineError;
use rustyline::hint::HistoryHinter;
use rustyline::history::{FileHistory, History};
use rustyline::{ColorMode, CompletionType, Config, Editor};
use std::cell::{Cell, RefCell};
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
    // A request that the session has not got to yet is as good as many.
    let (ask, asks) = bounded(1);
    let mut typing = LineEditor::new(screen, ask).map_err(system)?;
    // A terminal without editing shows what arrives at any time.
    if let Ok(printer) = typing.editor.create_external_printer() {
        let drawing = move || keep_drawing(&redraw, printer);
        thread::spawn("redraw", drawing).map_err(Failure::NoThread)?;
        terminal::take_ctrl_c();
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
        asks,
    })
}

enum Typed {
    Text(String),
    /// Ctrl-C.
    Interrupt,
}

struct LineEditor {
    editor: Editor<Assistant, FileHistory>,
    screen: Screen,
    ask: Sender<Ask>,
    history: Option<PathBuf>,
    is_edited: bool,
}

impl LineEditor {
    fn new(screen: Screen, ask: Sender<Ask>) -> Result<LineEditor, ReadlineError> {
        // The editor asks the hook only if colours are on.
        let config = Config::builder()
            .max_history_size(HISTORY)?
            // As in shells: a line that begins with a space is not kept.
            .history_ignore_space(true)
            .color_mode(ColorMode::Forced)
            // As in shells: to the longest common beginning, then the list.
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant {
            hook: Hook(screen.clone()),
            asks: ask.clone(),
            known: RefCell::default(),
            hinter: HistoryHinter::new(),
            is_empty: Cell::new(true),
        }));
        let history = history_file();
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        Ok(LineEditor {
            editor,
            screen,
            ask,
            history,
            is_edited: true,
        })
    }

    fn read(mut self, lines: &Sender<Result<String, String>>, is_handled: &Receiver<()>) {
        while let Some(typed) = self.edit(PROMPT) {
            let Typed::Text(typed) = typed else {
                self.interrupt();
                continue;
            };
            if !self.is_meant(&typed) {
                continue;
            }
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

    /// What the user types; `None` at its end.
    fn edit(&mut self, prompt: &str) -> Option<Typed> {
        loop {
            if self.is_edited && !self.screen.begin_editing() {
                return None;
            }
            let typed = self.editor.readline(prompt);
            self.screen.end_editing();
            return match typed {
                Ok(typed) => Some(Typed::Text(typed)),
                Err(ReadlineError::Interrupted) => Some(Typed::Interrupt),
                Err(ReadlineError::Eof) => None,
                Err(ReadlineError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                    self.screen.show("what was typed is not UTF-8\n");
                    continue;
                }
                Err(e) => {
                    log::warn!("the terminal cannot be read: {e}");
                    None
                }
            };
        }
    }

    /// Ctrl-C has cleared the line. If there was nothing to clear, it cancels.
    fn interrupt(&self) {
        let assistant = self.editor.helper();
        if assistant.is_some_and(|assistant| assistant.is_empty.get()) {
            let _ = self.ask.try_send(Ask::CancelLast);
        }
    }

    /// Several lines come from a paste, and one key must not send what the user has not read.
    fn is_meant(&mut self, typed: &str) -> bool {
        let count = typed.lines().filter(|line| !line.trim().is_empty()).count();
        if count < 2 {
            return true;
        }
        let question = format!("Run these {count} lines? [y/N] ");
        let answer = self.edit(&question);
        let is_yes = |answer: &str| matches!(answer.trim(), "y" | "Y" | "yes");
        let is_meant = matches!(answer, Some(Typed::Text(answer)) if is_yes(&answer));
        if !is_meant {
            let text = format!("None of these {count} lines was run.\n");
            self.screen.show(&text);
        }
        is_meant
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

fn store(editor: &mut Editor<Assistant, FileHistory>, path: &Path) -> Result<(), ReadlineError> {
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
    Some(own_files::folder("XDG_STATE_HOME", ".local/state")?.join("pecking-order/history"))
}
