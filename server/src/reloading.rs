//! The threads that look at files while the server runs: one at the auth file and the certificates, one at
//! the file of expected machines. They read again what has changed.
//!
//! A folder on a network may keep one waiting for ever. So nothing waits for it: no timer, no client,
//! and the server's end for a moment only.

use crate::eviction;
use crate::expected::ExpectedMachines;
use crate::hub::Hub;
use crate::record;
use crate::unreadable_file::Unread;
use common::sys::file_stamp::FileStamp;
use common::sys::sync::Arc;
use common::sys::thread::{self, JoinHandle};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// How often files are looked at: a revoked client is gone a moment later, an operator who replaces a
/// certificate sees in the log that it counts before the next command is typed, and a look is one
/// system call for each file.
const EVERY: Duration = Duration::from_secs(2);

/// Within this time a running server knows what was changed: it looks every two seconds, and waits a
/// moment until a file stays as it is.
pub const KNOWN_WITHIN: Duration = Duration::from_secs(3);

/// How long a file of rules or names has to stay as it is before it is read: some editors write a file in place, in
/// pieces, and one that lacks what stands at its end may look right.
const STILL: Duration = Duration::from_millis(250);

/// How often that is waited for, so that a file that changes all the time is read in the end, and
/// within three seconds of a change.
const MOST_WAITS: usize = 3;

/// How long the server's end waits for each thread: a disk gives a file of this size far sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread. Dropping this ends it, unless a file keeps it waiting.
pub(crate) struct Reloader {
    /// The thread ends once this is dropped.
    stop: Option<Sender<Infallible>>,
    /// Says so once the thread has looked for the last time.
    ended: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a thread for what admits clients and one for the file of expected machines, if the server has
/// them; both look at once. A file of names that keeps its thread waiting delays no revocation.
///
/// # Errors
/// The system has no thread left.
pub(crate) fn start(hub: &Arc<Hub>) -> io::Result<Vec<Reloader>> {
    let config = &hub.config;
    let [credentials, names] = hub.files_asked.each_ref().map(|(_, asked)| asked.clone());
    let mut threads = Vec::new();
    if config.authority.is_some() || hub.tls.is_some() {
        let (hub, mut unread) = (Arc::clone(hub), Unread::default());
        let look = move || {
            guarded("the auth file", || look_at_auth_file(&hub, &mut unread));
            guarded("the certificates", || {
                if let Some(tls) = &hub.tls {
                    tls.certificates.look();
                }
            });
        };
        threads.push(Reloader::start(EVERY, credentials, look)?);
    }
    if let Some(expected) = config.expected.clone() {
        let mut unread = Unread::default();
        let look = move || {
            guarded("the file of expected machines", || {
                look_at_expected(&expected, &mut unread);
            });
        };
        threads.push(Reloader::start(EVERY, names, look)?);
    }
    Ok(threads)
}

/// A panic ends this look only.
fn guarded(what: &str, look: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(look)).is_err() {
        log::error!("a look at {what} panicked");
    }
}

/// Holds every member to the rules of the auth file, if it has changed and is right.
fn look_at_auth_file(hub: &Hub, unread: &mut Unread) {
    let authority = hub.config.authority.as_ref();
    let Some(authority) = authority.filter(|authority| authority.has_changed()) else {
        return;
    };
    wait_until_still(authority.file());
    let before = authority.rules();
    authority.reload(|error| {
        if !unread.is_news(error.filter(|error| error.is_unread())) {
            return;
        }
        let changes = authority.rules().changes_since(&before);
        if let Some(audit) = &hub.config.audit {
            record::reload(audit, authority.file(), error, &changes);
        }
        match error {
            None => eviction::hold_all(hub),
            Some(error) => log::error!("the auth file stays as it was: {error}"),
        }
    });
}

/// Goes by the file of expected machines, if it has changed and is right.
fn look_at_expected(expected: &ExpectedMachines, unread: &mut Unread) {
    if !expected.has_changed() {
        return;
    }
    wait_until_still(Some(expected.file()));
    let wrong = expected.reload().err();
    if !unread.is_news(wrong.as_ref().filter(|wrong| wrong.is_unread())) {
        return;
    }
    match wrong {
        None => log::info!(
            "{} machines are expected from now on",
            expected.known().machines.len()
        ),
        Some(error) => log::error!("the expected machines stay as they were: {error}"),
    }
}

fn wait_until_still(file: Option<&Path>) {
    if let Some(file) = file {
        pause_until_still(file, || std::thread::sleep(STILL));
    }
}

fn pause_until_still(file: &Path, mut pause: impl FnMut()) {
    let mut seen = FileStamp::of(file);
    for _ in 0..MOST_WAITS {
        pause();
        let now = FileStamp::of(file);
        if now == seen {
            return;
        }
        seen = now;
    }
}

impl Reloader {
    /// Looks this often, and when it is asked to.
    fn start(
        every: Duration,
        asked: Receiver<()>,
        mut look: impl FnMut() + Send + 'static,
    ) -> io::Result<Reloader> {
        let (stop, stopped) = bounded(0);
        let (runs, ended) = bounded(0);
        let thread = thread::spawn("files", move || {
            let _runs: Sender<Infallible> = runs;
            loop {
                look();
                select! {
                    recv(stopped) -> _ => return,
                    recv(asked) -> _ => {}
                    default(every) => {}
                }
            }
        })?;
        Ok(Reloader {
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Reloader {
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
    fn a_file_that_is_written_in_pieces_is_waited_for_and_one_that_never_rests_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("auth.toml");
        for (pieces, text) in [("", ""), ("a", "a"), ("ab", "ab"), ("abcdef", "abc")] {
            let mut open = std::fs::File::create(&file).expect("a file");
            let mut pieces = pieces.bytes();
            pause_until_still(&file, || {
                let piece: Vec<u8> = pieces.next().into_iter().collect();
                std::io::Write::write_all(&mut open, &piece).expect("it takes that");
            });
            assert_eq!(std::fs::read_to_string(&file).expect("text"), text);
        }
    }

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
        let reloader = Reloader::start(Duration::from_millis(1), crossbeam_channel::never(), look)
            .expect("a thread");
        for _ in 0..3 {
            looked.recv_timeout(LONG).expect("a look");
        }
        drop(looked);
        let began = Instant::now();
        drop(reloader);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    }

    #[test]
    fn it_looks_at_once_when_it_is_asked_to() {
        let ((looks, looked), (ask, asked)) = (bounded(0), bounded(1));
        let look = move || {
            let _ = looks.send_timeout((), LONG);
        };
        let _reloader = Reloader::start(LONG, asked, look).expect("a thread");
        looked.recv_timeout(LONG).expect("a look");
        ask.send(()).expect("the thread is there");
        let look = looked.recv_timeout(LONG / 2);
        look.expect("a look that was asked for");
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
        let reloader = Reloader::start(Duration::from_millis(1), crossbeam_channel::never(), look)
            .expect("a thread");
        for _ in 0..3 {
            looked.recv_timeout(LONG).expect("a look");
        }
        drop(looked);
        drop(reloader);
    }

    #[test]
    fn its_end_does_not_wait_for_a_file_that_never_comes() {
        let (comes, never) = bounded::<Infallible>(0);
        let (looks, looked) = bounded(1);
        let look = move || {
            let _ = looks.send(());
            let _ = never.recv_timeout(LONG);
        };
        let reloader = Reloader::start(Duration::from_millis(1), crossbeam_channel::never(), look)
            .expect("a thread");
        looked.recv_timeout(LONG).expect("a look");
        let began = Instant::now();
        drop(reloader);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
        drop(comes);
    }
}
