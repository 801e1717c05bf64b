//! The thread that has the system write a log to its disk, beside the one that writes: a disk
//! takes its time, and records go on meanwhile.

use crate::sys::thread;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a disk may take: past it what was written counts as not written.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for it, at most once at a time.
pub(crate) struct Syncer {
    ask: Sender<Vec<Arc<File>>>,
    /// How each went.
    pub(crate) done: Receiver<io::Result<()>>,
    since: Option<Instant>,
    /// The files with something that is not known to be on the disk.
    unsynced: Vec<Arc<File>>,
    /// Those that are under way.
    under_way: Vec<Arc<File>>,
    /// The last try failed.
    fails: bool,
}

impl Syncer {
    /// Starts the thread, which has a file written to its disk in this way. It ends with this
    /// handle, and is not joined: the disk may take for ever.
    pub(crate) fn start(
        sync: impl Fn(&File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Syncer> {
        let (ask, asked) = bounded::<Vec<Arc<File>>>(1);
        let (tell, done) = bounded(1);
        thread::spawn("audit-sync", move || {
            for files in asked {
                let synced = files.iter().try_for_each(|file| sync(file));
                drop(files);
                if tell.send(synced).is_err() {
                    return;
                }
            }
        })?;
        Ok(Syncer {
            ask,
            done,
            since: None,
            unsynced: Vec::new(),
            under_way: Vec::new(),
            fails: false,
        })
    }

    /// Something was written to a file.
    pub(crate) fn note(&mut self, file: &Arc<File>) {
        if !self.unsynced.iter().any(|known| Arc::ptr_eq(known, file)) {
            self.unsynced.push(Arc::clone(file));
        }
    }

    /// Begins, unless it is under way or there is nothing.
    pub(crate) fn begin(&mut self) {
        if self.since.is_some() || self.unsynced.is_empty() {
            return;
        }
        self.since = Some(Instant::now());
        self.under_way = std::mem::take(&mut self.unsynced);
        // It takes one at a time, and has none.
        let _ = self.ask.send(self.under_way.clone());
    }

    /// Takes note of how it went.
    pub(crate) fn ended(&mut self, synced: &io::Result<()>) {
        self.since = None;
        self.fails = synced.is_err();
        let tried = std::mem::take(&mut self.under_way);
        if self.fails {
            tried.iter().for_each(|file| self.note(file));
            self.forget_deleted();
        }
    }

    /// Closes the files that are deleted: no disk has to keep what was written to them, and a
    /// full one has room again once they are closed.
    fn forget_deleted(&mut self) {
        let is_there = |file: &Arc<File>| file.metadata().is_ok_and(|found| found.nlink() > 0);
        self.unsynced.retain(is_there);
        self.fails &= self.is_owed();
    }

    /// Whether something is not on the disk yet.
    pub(crate) fn is_owed(&self) -> bool {
        self.since.is_some() || !self.unsynced.is_empty()
    }

    /// Why what was written may not be on the disk in time.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        match self.since {
            Some(since) if since.elapsed() > PATIENCE => Some("its disk takes too long"),
            _ if self.fails => Some("its disk does not take what was written"),
            _ => None,
        }
    }

    /// Waits until all of it is on the disk, or a try has failed; says whether it is.
    pub(crate) fn finish(&mut self) -> bool {
        loop {
            self.begin();
            if self.since.is_none() {
                return true;
            }
            let ended = self.done.recv();
            self.ended(&ended.unwrap_or_else(|gone| Err(io::Error::other(gone))));
            if self.fails {
                return false;
            }
        }
    }
}
