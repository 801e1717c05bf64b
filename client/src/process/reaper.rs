//! Reaps orphans that end by themselves, so that no zombie becomes older than a second, and ends
//! those that outlived all commands.

use super::{orphans, run_count};
use common::sys::thread;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often orphans are looked for, as long as there may be any.
pub(crate) const TICK: Duration = Duration::from_millis(400);

/// The thread that reaps. It sleeps as long as nothing runs and nothing is left.
pub(crate) struct Reaper {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Reaper> {
        let (wake, woken) = bounded(1);
        let thread = thread::spawn("reaper", move || {
            while woken.recv().is_ok() {
                reap_until_idle(&woken);
            }
        })?;
        Ok(Reaper {
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// There may be orphans: a command runs for longer than a moment, or has left something behind.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }
}

/// Reaps at every tick until no command runs and no orphan is left, or the owner is gone.
fn reap_until_idle(woken: &Receiver<()>) {
    let mut next = Instant::now() + TICK;
    loop {
        match woken.recv_deadline(next) {
            Err(RecvTimeoutError::Disconnected) => return,
            // It is awake already.
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => {
                // In this order: a command that starts after the count wakes this thread itself.
                let is_idle = run_count::now().running == 0;
                if !orphans::reap_all() && is_idle {
                    return;
                }
                next = Instant::now() + TICK;
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        orphans::end_all();
    }
}
