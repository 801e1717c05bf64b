//! The size of the terminal, and its settings, which every way out of the program puts back.

use client::WORKER_THREAD;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;

/// The settings of the terminal at the start. Dropping this puts them back.
pub(crate) struct Terminal {
    found: Option<Termios>,
}

impl Terminal {
    /// Keeps the settings; from now on a panic puts them back before it is shown.
    pub(crate) fn keep() -> Terminal {
        let found = tcgetattr(io::stdin()).ok();
        let for_panics = found.clone();
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // The library catches and logs what an executor does.
            if std::thread::current().name() == Some(WORKER_THREAD) {
                return;
            }
            restore(for_panics.as_ref());
            show(panic);
        }));
        Terminal { found }
    }
}

/// From now on Ctrl-C is a key, which the editor reads, also between two lines, when a signal would
/// end the program instead of cancelling what it has just sent. [`Terminal`] puts it back.
pub(crate) fn take_ctrl_c() {
    if let Ok(mut settings) = tcgetattr(io::stdin()) {
        settings.local_modes.remove(LocalModes::ISIG);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &settings);
    }
}

/// The columns of standard output, if it is a terminal; without end if it does not know them.
pub(crate) fn columns() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    match size.ws_col {
        0 => Some(usize::MAX),
        columns => Some(columns.into()),
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore(self.found.as_ref());
    }
}

fn restore(settings: Option<&Termios>) {
    if let Some(settings) = settings {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
    }
}
