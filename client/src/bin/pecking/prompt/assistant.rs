//! What helps a user while a line is typed: Tab completes it, and the history hints how it may go on.
//!
//! The thread that edits the line has no connection. It asks the session what there is to complete, and
//! waits a moment; a session that is busy leaves it with what it was told before.

use crate::prompt::completion::{Known, complete};
use crate::prompt::repl::Ask;
use crate::prompt::screen::Hook;
use crossbeam_channel::{Sender, bounded};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::SearchDirection;
use rustyline::{Context, Helper, Validator};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// How long Tab waits: longer than the way to a far server and back, and no one takes it for a fault.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lines of the history that completion looks at: as many as the history keeps.
const LINES: usize = 1000;

#[derive(Helper, Validator)]
pub(super) struct Assistant {
    pub(super) hook: Hook,
    pub(super) asks: Sender<Ask>,
    pub(super) known: RefCell<Known>,
    pub(super) hinter: HistoryHinter,
    /// Whether the line has nothing in it, as of the last change.
    pub(super) is_empty: Cell<bool>,
}

impl Assistant {
    fn refresh_known(&self) {
        let (tell, told) = bounded(1);
        if self.asks.try_send(Ask::Known(tell)).is_ok()
            && let Ok(known) = told.recv_timeout(PATIENCE)
        {
            self.known.replace(known);
        }
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        ctx: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        self.refresh_known();
        let history = ctx.history();
        let newest = (0..history.len()).rev().take(LINES);
        let sent: Vec<_> = newest
            .filter_map(|at| history.get(at, SearchDirection::Forward).ok()?)
            .map(|found| found.entry.into_owned())
            .collect();
        let sent = sent.iter().map(String::as_str);
        Ok(complete(&line[..pos], &self.known.borrow(), sent))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<String> {
        self.is_empty.set(line.is_empty());
        let hint = self.hinter.hint(line, pos, ctx)?;
        // A hint of several lines would push the prompt up.
        (!hint.contains(char::is_control)).then_some(hint)
    }
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        default: bool,
    ) -> Cow<'b, str> {
        self.hook.highlight_prompt(prompt, default)
    }

    /// Dim (ECMA-48 SGR 2), so that it is not taken for what was typed.
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}
