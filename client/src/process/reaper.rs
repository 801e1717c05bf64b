//! Reaps orphans that end by themselves while no command of theirs is being ended: no zombie
//! becomes older than a second.

use super::orphans;
use common::thread;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often orphans are looked for, as long as there may be any.
const TICK: Duration = Duration::from_millis(500);

/// The thread that reaps. It sleeps as long as nothing is started.
pub(crate) struct Reaper {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Reaper> {
        let (wake, woken) = bounded(1);
        let thread = thread::spawn("reaper", move || {
            // A command was started; orphans may come as long as any runs, and one wake-up a
            // command sees to it that this goes on.
            while woken.recv().is_ok() {
                loop {
                    match woken.recv_timeout(TICK) {
                        Err(RecvTimeoutError::Disconnected) => return,
                        Ok(()) => {}
                        Err(RecvTimeoutError::Timeout) if orphans::reap() => {}
                        Err(RecvTimeoutError::Timeout) => break,
                    }
                }
            }
        })?;
        Ok(Reaper {
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// A command runs, or has ended.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
