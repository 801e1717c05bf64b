//! The handle to a log. What happens is queued and written by one thread, so no caller ever
//! waits for a disk; a command takes its places in the queue before it runs.

use super::chain::now;
use super::file::{AuditError, LogFile, Rotation};
use super::queue::{Control, Counts, Entry, LATER_RECORDS, NoRoom, QUEUE_BYTES, QUEUE_RECORDS};
use super::record::{Denied, Record, encode};
use super::sync::Syncer;
use super::words::KeptWords;
use super::writer::{RETRY, Writer};
use crate::sys::sync::atomic::{AtomicUsize, Ordering};
use crate::sys::sync::{Arc, lock};
use crate::sys::thread;
use crossbeam_channel::{Sender, bounded, unbounded};
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// When a sender is told to try again if the queue is full: it is written in less.
const RETRY_FULL: Duration = Duration::from_millis(100);

/// How long a program that ends waits for its log: it ends within a second.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that a message of a peer may have in a record.
pub const MAX_MESSAGE: usize = 256;

/// The range that the size of a file can be set to: more than one record has, and less than any
/// file system takes.
pub const ROTATE_RANGE: RangeInclusive<usize> = 64 << 10..=1 << 40;

/// What a log is told. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file.
    pub file: PathBuf,
    /// The size from which on the file is rotated.
    pub rotate: u64,
    /// How many rotated files are kept.
    pub keep: usize,
    /// What happens if the log cannot be written.
    pub full: Full,
    /// Which words are kept.
    pub words: KeptWords,
    /// Which outcomes of a command to several are kept.
    pub outcomes: KeptOutcomes,
}

impl Settings {
    /// The defaults: 32 files of 256 MiB besides the one that is written.
    pub fn new(file: impl Into<PathBuf>) -> Settings {
        Settings {
            file: file.into(),
            rotate: 256 << 20,
            keep: 32,
            full: Full::Refuse,
            words: KeptWords::Full,
            outcomes: KeptOutcomes::Notable,
        }
    }
}

/// What happens if the log cannot be written, or not as fast as things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// No command is taken.
    Refuse,
    /// Commands run, and records that find no place are counted.
    Drop,
}

impl FromStr for Full {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Full, Self::Err> {
        match text {
            "refuse" => Ok(Full::Refuse),
            "drop" => Ok(Full::Drop),
            _ => Err("expected refuse or drop"),
        }
    }
}

/// Which outcomes of a command to several targets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptOutcomes {
    /// Those that are not done with exit code 0; the tally counts all.
    Notable,
    /// All.
    All,
}

impl FromStr for KeptOutcomes {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<KeptOutcomes, Self::Err> {
        match text {
            "notable" => Ok(KeptOutcomes::Notable),
            "all" => Ok(KeptOutcomes::All),
            _ => Err("expected notable or all"),
        }
    }
}

/// A handle to a log; clones share it.
#[derive(Clone, derive_more::Debug)]
#[debug("Audit")]
pub struct Audit(Arc<Shared>);

struct Shared {
    records: Sender<Entry>,
    control: Sender<Control>,
    counts: Arc<Counts>,
    full: Full,
    words: KeptWords,
    outcomes: KeptOutcomes,
}

/// A command cannot be on record, so it must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .is_failing {
    true => "the audit log cannot be written, so nothing runs",
    false => "more happens than the audit log can take at once, so this does not run",
})]
pub struct Unavailable {
    /// A write failed; else the queue is full.
    pub is_failing: bool,
}

impl Unavailable {
    /// How long to wait before another try.
    pub fn retry_after(self) -> Duration {
        match self.is_failing {
            true => RETRY,
            false => RETRY_FULL,
        }
    }
}

/// There is no place for the first record, or it is used up.
const NO_PLACE: usize = usize::MAX;

/// The places that a command has in the queue; what is left of them is given back when it is
/// dropped.
#[derive(Debug)]
pub struct Reservation {
    audit: Audit,
    /// Bytes of the place for the first record, or [`NO_PLACE`].
    first: AtomicUsize,
    later: AtomicUsize,
}

impl Audit {
    /// Opens a log, and starts the thread that writes it. That ends when the log is closed or its
    /// last handle is gone, and is not joined: it may be blocked in a write for ever.
    ///
    /// # Errors
    /// The file cannot be a log, or the system has no thread left.
    pub fn open(settings: Settings) -> Result<Audit, AuditError> {
        Audit::open_synced_by(settings, File::sync_data)
    }

    /// The same, with another way to have a file written to its disk.
    pub(super) fn open_synced_by(
        settings: Settings,
        sync: impl Fn(&File) -> io::Result<()> + Send + 'static,
    ) -> Result<Audit, AuditError> {
        let rotation = Rotation {
            size: settings.rotate,
            keep: settings.keep,
        };
        let named = |reason| AuditError {
            file: settings.file.clone(),
            reason,
        };
        let (file, tail) = LogFile::open(&settings.file, rotation).map_err(named)?;
        let (records, waiting) = unbounded();
        // A program opens and closes; a test may wait a few times.
        let (control, controls) = bounded(16);
        let counts = Arc::new(Counts::default());
        let syncer = Syncer::start(sync).map_err(|e| named(e.into()))?;
        let writer = Writer::new(file, &tail, waiting, controls, Arc::clone(&counts), syncer);
        thread::spawn("audit", move || writer.run()).map_err(|e| named(e.into()))?;
        Ok(Audit(Arc::new(Shared {
            records,
            control,
            counts,
            full: settings.full,
            words: settings.words,
            outcomes: settings.outcomes,
        })))
    }

    /// Which words are kept.
    pub fn words(&self) -> &KeptWords {
        &self.0.words
    }

    /// Which outcomes of a command to several are kept.
    pub fn outcomes(&self) -> KeptOutcomes {
        self.0.outcomes
    }

    /// Whether [`reserve`](Self::reserve) may find no room, as more happens than can be written at
    /// once, or more is under way than has places: what is queued for others is for them now.
    pub fn is_crowded(&self) -> bool {
        let counts = &self.0.counts;
        counts.records.load(Ordering::Relaxed) >= QUEUE_RECORDS
            || counts.bytes.load(Ordering::Relaxed) >= QUEUE_BYTES
            || counts.later.load(Ordering::Relaxed) >= LATER_RECORDS
    }

    /// How many records wait to be written, or have a place to.
    pub fn waiting(&self) -> usize {
        self.0.counts.records.load(Ordering::Relaxed)
    }

    /// Whether the log could not be written the last time.
    pub fn is_failing(&self) -> bool {
        self.0.counts.is_failing.load(Ordering::Relaxed)
    }

    /// Takes places for a command: for its first record, which has so many bytes of text, and for
    /// so many later ones. If there is no room in the queue, it waits a moment for the thread that
    /// writes, but not for one that stands still, and not for outcomes to come.
    ///
    /// # Errors
    /// There is no room, or the log cannot be written.
    pub fn reserve(&self, texts: usize, later: usize) -> Result<Reservation, Unavailable> {
        let counts = &self.0.counts;
        let refuses = self.0.full == Full::Refuse;
        let is_failing = counts.is_failing.load(Ordering::Relaxed);
        if is_failing && refuses {
            return Err(Unavailable { is_failing });
        }
        let mut taken = counts.take_places(texts, later);
        if refuses && taken == Err(NoRoom::Queue) {
            taken = counts.wait_for_places(texts, later);
        }
        let has_places = taken.is_ok();
        if !has_places && refuses {
            let is_failing = false;
            return Err(Unavailable { is_failing });
        }
        Ok(Reservation {
            audit: self.clone(),
            first: AtomicUsize::new(if has_places { texts } else { NO_PLACE }),
            later: AtomicUsize::new(if has_places { later } else { 0 }),
        })
    }

    /// Queues what no command waits for. If there is no room even for that, it is counted.
    pub fn note(&self, record: &Record<'_>) {
        if !self.0.counts.has_room_besides() {
            return self.drop_one();
        }
        let body = encode(record, 0);
        self.0.counts.add(body.len());
        self.push(body.len(), body);
    }

    /// Queues a denial, or counts it if its address has many.
    pub fn deny(&self, denied: Denied<'_>) {
        // The writer tells how many the others were: it has just been woken by the first ones.
        if lock(&self.0.counts.denials).count(denied.address.ip()) {
            self.note(&Record::Denied(denied));
        }
    }

    fn push(&self, bytes: usize, body: Vec<u8>) {
        let at = now();
        if self.0.records.send(Entry { at, body, bytes }).is_err() {
            // The thread is gone, so nothing is written any more.
            self.0.counts.is_failing.store(true, Ordering::Relaxed);
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.0.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until what was queued is written or a write failed, for so long at most; says
    /// whether it is written.
    pub fn settle(&self, patience: Duration) -> bool {
        let (done, when_done) = bounded(1);
        let asked = self.0.control.try_send(Control::Settle(done)).is_ok();
        asked && when_done.recv_timeout(patience).unwrap_or(false)
    }

    /// Ends the log: waits like [`settle`](Self::settle), and ends the thread unless that is
    /// blocked.
    pub fn close(&self, patience: Duration) -> bool {
        let (done, when_done) = bounded(1);
        let asked = self.0.control.try_send(Control::Close(done)).is_ok();
        let is_written = asked && when_done.recv_timeout(patience).unwrap_or(false);
        if !is_written {
            let lost = self.0.counts.records.load(Ordering::Relaxed);
            log::error!("the audit log is not written to its end; {lost} records are missing");
        }
        is_written
    }
}

impl Reservation {
    /// The log that it is for.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Queues the first record.
    pub fn begin(&self, record: &Record<'_>) {
        let texts = self.first.swap(NO_PLACE, Ordering::Relaxed);
        if texts == NO_PLACE {
            return self.audit.drop_one();
        }
        let body = encode(record, texts);
        let counts = &self.audit.0.counts;
        counts.bytes.fetch_add(body.len(), Ordering::Relaxed);
        counts.bytes.fetch_sub(texts, Ordering::Relaxed);
        self.audit.push(body.len(), body);
    }

    /// Queues a later one.
    pub fn go_on(&self, record: &Record<'_>) {
        let take = |left: usize| left.checked_sub(1);
        let taken = self
            .later
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_err() {
            return self.audit.drop_one();
        }
        let body = encode(record, 0);
        let counts = &self.audit.0.counts;
        counts.later.fetch_sub(1, Ordering::Relaxed);
        counts.add(body.len());
        self.audit.push(body.len(), body);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let counts = &self.audit.0.counts;
        let later = self.later.load(Ordering::Relaxed);
        counts.later.fetch_sub(later, Ordering::Relaxed);
        let texts = self.first.load(Ordering::Relaxed);
        if texts != NO_PLACE {
            counts.give_back(texts);
        }
    }
}

/// A peer's message, as much of it as a record has.
pub fn clipped(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE)]
}
