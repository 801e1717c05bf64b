//! Reaps orphans that end by themselves while no command of theirs is being ended, so that
//! no zombie becomes older than a second, and ends those that outlived all commands.

use super::{census, orphans};
use common::sys::sync::Arc;
use common::sys::thread;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often orphans are looked for, as long as there may be any.
pub(crate) const TICK: Duration = Duration::from_millis(400);

/// The thread that reaps. It sleeps as long as nothing runs and nothing is left.
pub(crate) struct Reaper {
    wake: Option<Sender<()>>,
    sleeps: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> io::Result<Reaper> {
        let (wake, woken) = bounded(1);
        let sleeps = Arc::new(AtomicBool::new(true));
        let is_asleep = Arc::clone(&sleeps);
        let thread = thread::spawn("reaper", move || {
            while woken.recv().is_ok() {
                loop {
                    match woken.recv_timeout(TICK) {
                        Err(RecvTimeoutError::Disconnected) => return,
                        Ok(()) => {}
                        Err(RecvTimeoutError::Timeout) => {
                            // In this order: who counts a command and then finds us awake
                            // is seen here.
                            is_asleep.store(true, Ordering::SeqCst);
                            if census::now().running == 0 && !orphans::reap_all() {
                                break;
                            }
                            is_asleep.store(false, Ordering::SeqCst);
                            orphans::reap_all();
                        }
                    }
                }
            }
        })?;
        Ok(Reaper {
            wake: Some(wake),
            sleeps,
            thread: Some(thread),
        })
    }

    /// There may be orphans that nobody else looks for: a command runs for longer than a
    /// moment, or has left something behind.
    pub(crate) fn wake(&self) {
        // As long as something runs it stays awake; only the first word costs a wake-up.
        if let (Some(wake), true) = (&self.wake, self.sleeps.swap(false, Ordering::SeqCst)) {
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
        orphans::end_all();
    }
}
