//! The thread that looks at files while the server runs: at the auth file and at the certificates. It
//! reads again what has changed.
//!
//! A folder on a network may keep it waiting for ever. So nothing waits for it: no timer, no client,
//! and the server's end for a moment only.

use crate::eviction;
use crate::hub::Hub;
use crate::record;
use common::sys::sync::Arc;
use common::sys::thread::{self, JoinHandle};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How often files are looked at: within this time a running server knows what was changed. A revoked client is gone a moment later, an operator who replaces a
/// certificate sees in the log that it counts before the next command is typed, and a look is one
/// system call for each file.
pub const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// How long the server's end waits for the thread: a disk gives a file of this size far sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread. Dropping this ends it, unless a file keeps it waiting.
pub(crate) struct Files {
    /// The thread ends once this is dropped.
    stop: Option<Sender<Infallible>>,
    /// Says so once the thread has looked for the last time.
    ended: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread, if the server has such files; it looks at once.
///
/// # Errors
/// The system has no thread left.
pub(crate) fn start(hub: &Arc<Hub>) -> io::Result<Option<Files>> {
    if hub.config.authority.is_none() && hub.tls.is_none() {
        return Ok(None);
    }
    let hub = Arc::clone(hub);
    let mut unread = Unread::default();
    let look = move || {
        guarded("the auth file", || look_at_auth_file(&hub, &mut unread));
        guarded("the certificates", || {
            if let Some(tls) = &hub.tls {
                tls.certificates.look();
            }
        });
    };
    Files::start(KNOWN_WITHIN, look).map(Some)
}

/// A panic ends this look only.
fn guarded(what: &str, look: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(look)).is_err() {
        log::error!("a look at {what} panicked");
    }
}

/// What was wrong with a file that could not be read the last time, so that it is told once.
#[derive(Default)]
pub(crate) struct Unread(Option<String>);

impl Unread {
    /// Whether a result is to be told: not if the file still cannot be read, for this reason, as that
    /// is tried at each look.
    pub(crate) fn is_news(&mut self, unread: Option<&impl Display>) -> bool {
        let unread = unread.map(ToString::to_string);
        let is_told = unread.is_some() && unread == self.0;
        self.0 = unread;
        !is_told
    }
}

/// Holds every member to the rules of the auth file, if it has changed and is right.
fn look_at_auth_file(hub: &Hub, unread: &mut Unread) {
    let authority = hub.config.authority.as_ref();
    let Some(authority) = authority.filter(|authority| authority.has_changed()) else {
        return;
    };
    let before = authority.rules();
    authority.reload(|error| {
        if !unread.is_news(error.filter(|error| error.is_unread())) {
            return;
        }
        let changes = authority.rules().changes_since(&before);
        record::reload(hub, authority.file(), error, &changes);
        match error {
            None => eviction::hold_all(hub),
            Some(error) => log::error!("the auth file stays as it was: {error}"),
        }
    });
}

impl Files {
    fn start(every: Duration, mut look: impl FnMut() + Send + 'static) -> io::Result<Files> {
        let (stop, stopped) = bounded(0);
        let (runs, ended) = bounded(0);
        let thread = thread::spawn("files", move || {
            let _runs: Sender<Infallible> = runs;
            loop {
                look();
                if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Files {
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            return log::warn!("a file keeps the thread waiting that reads it; it is left behind");
        }
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Far longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_file_that_still_cannot_be_read_is_no_news() {
        let mut unread = Unread::default();
        for (why, is_news) in [
            (Some("no descriptor"), true),
            (Some("no descriptor"), false),
            (Some("no descriptor"), false),
            (Some("no disk"), true),
            (None, true),
            (None, true),
            (Some("no disk"), true),
        ] {
            assert_eq!(unread.is_news(why.as_ref()), is_news, "{why:?}");
        }
    }

    #[test]
    fn it_looks_again_and_again_and_ends_at_once() {
        let (looks, looked) = bounded(0);
        let look = move || {
            let _ = looks.send_timeout((), LONG);
        };
        let files = Files::start(Duration::from_millis(1), look).expect("a thread");
        for _ in 0..3 {
            looked.recv_timeout(LONG).expect("a look");
        }
        drop(looked);
        let began = Instant::now();
        drop(files);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    }

    #[test]
    fn a_look_that_panics_is_followed_by_the_next_one() {
        let (looks, looked) = bounded(1);
        let look = move || {
            guarded("a test", || {
                let _ = looks.send_timeout((), LONG);
                panic!("a test asked for this panic");
            });
        };
        let files = Files::start(Duration::from_millis(1), look).expect("a thread");
        for _ in 0..3 {
            looked.recv_timeout(LONG).expect("a look");
        }
        drop(looked);
        drop(files);
    }

    #[test]
    fn its_end_does_not_wait_for_a_file_that_never_comes() {
        let (comes, never) = bounded::<Infallible>(0);
        let (looks, looked) = bounded(1);
        let look = move || {
            let _ = looks.send(());
            let _ = never.recv_timeout(LONG);
        };
        let files = Files::start(Duration::from_millis(1), look).expect("a thread");
        looked.recv_timeout(LONG).expect("a look");
        let began = Instant::now();
        drop(files);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
        drop(comes);
    }
}
