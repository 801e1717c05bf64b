//! The thread that writes a log: in batches, each line linked to the one before. A write that
//! fails is tried again each second, from the byte at which it stopped.

use super::chain::{Head, Stamp, Tail, now};
use super::file::LogFile;
use super::queue::{Control, Counts, Entry};
use super::record::{Gap, GapReason, MoreDenied, Record, encode};
use super::sync::Syncer;
use crate::sys::sync::atomic::Ordering;
use crate::sys::sync::{Arc, lock};
use crossbeam_channel::{Receiver, select};
use std::io;
use std::time::{Duration, Instant};

/// Bytes from which on a batch is written: system calls for so many no longer show.
const BATCH: usize = 256 << 10;

/// How long the thread lets records come together after a batch: at full speed it wakes up a
/// thousand times a second and not for each command. As much is lost if the program is killed.
const COMPANY: Duration = Duration::from_millis(1);

/// How often the file is synchronized with its disk, and denials are counted.
const TICK: Duration = Duration::from_secs(1);

/// How often a failed write is tried again, and when a sender is told to try again then.
pub const RETRY: Duration = Duration::from_secs(1);

/// How often a log that stays broken says so.
const REMIND: Duration = Duration::from_secs(60);

pub(crate) struct Writer {
    file: LogFile,
    head: Head,
    stamp: Stamp,
    records: Receiver<Entry>,
    controls: Receiver<Control>,
    counts: Arc<Counts>,
    batch: Batch,
    /// When the file is to be synchronized and denials are told; `None` if there is nothing.
    tick: Option<Instant>,
    syncer: Syncer,
    /// When a failed write is tried again, and when the log last said that it fails.
    retry: Option<Instant>,
    said: Option<Instant>,
}

/// Lines on their way to the file.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    /// Bytes that are written.
    written: usize,
    /// What of the queue they take.
    records: usize,
    bytes: usize,
}

enum Woken {
    Record(Entry),
    Control(Control),
    Synced(io::Result<()>),
    Time,
    /// The last handle is gone.
    End,
}

impl Writer {
    pub(crate) fn new(
        file: LogFile,
        tail: &Tail,
        records: Receiver<Entry>,
        controls: Receiver<Control>,
        counts: Arc<Counts>,
        syncer: Syncer,
    ) -> Writer {
        let mut writer = Writer {
            file,
            head: tail.head,
            stamp: Stamp::default(),
            records,
            controls,
            counts,
            batch: Batch::default(),
            tick: None,
            syncer,
            retry: None,
            said: None,
        };
        writer.close_off(tail);
        writer
    }

    /// An unfinished line becomes a line, and a record behind it says what it is.
    fn close_off(&mut self, tail: &Tail) {
        let Some(unfinished) = tail.unfinished else {
            return;
        };
        if tail.lacks_line_end {
            self.batch.lines.push(b'\n');
        }
        let whole = Some(self.head.hash);
        self.head.hash = unfinished;
        self.add_own(&Record::Gap(Gap {
            reason: GapReason::UnfinishedLine,
            records: None,
            whole,
        }));
    }

    pub(crate) fn run(mut self) {
        self.write_all();
        loop {
            let woken = self.wait();
            let is_record = matches!(woken, Woken::Record(_));
            match woken {
                Woken::Record(entry) => self.add(&entry),
                Woken::Control(Control::Settle(done)) => {
                    self.write_all();
                    let _ = done.send(self.retry.is_none());
                    continue;
                }
                Woken::Control(Control::Close(done)) => {
                    let is_written = self.end();
                    // Another program may have the file from now on.
                    drop(self);
                    let _ = done.send(is_written);
                    return;
                }
                Woken::End => {
                    self.end();
                    return;
                }
                Woken::Synced(synced) => self.synced(&synced),
                Woken::Time => {}
            }
            self.write_all();
            if is_record {
                std::thread::sleep(COMPANY);
            }
        }
    }

    /// Waits for something to do. While a write fails, records stay in the queue.
    fn wait(&self) -> Woken {
        let until = [self.tick, self.retry].into_iter().flatten().min();
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let time = left.map_or_else(crossbeam_channel::never, crossbeam_channel::after);
        let none = crossbeam_channel::never();
        let records = match self.retry {
            None => &self.records,
            Some(_) => &none,
        };
        select! {
            recv(records) -> entry => entry.map_or(Woken::End, Woken::Record),
            recv(self.controls) -> control => control.map_or(Woken::End, Woken::Control),
            recv(self.syncer.done) -> synced => synced.map_or(Woken::End, Woken::Synced),
            recv(time) -> _ => Woken::Time,
        }
    }

    /// Writes what is queued, as far as that succeeds.
    fn write_all(&mut self) {
        loop {
            self.tell_dropped();
            self.fill();
            if self.batch.lines.is_empty() {
                self.tick_if_due();
            }
            if self.batch.lines.is_empty() {
                return;
            }
            if let Err(e) = self.write_batch() {
                // An earlier file is closed only then, and if it is deleted, a full disk has room.
                self.syncer.begin();
                return self.failed(&e);
            }
            self.succeeded();
            self.tick_if_due();
        }
    }

    /// Takes records out of the queue until the batch is large enough.
    fn fill(&mut self) {
        while self.batch.lines.len() < BATCH
            && let Ok(entry) = self.records.try_recv()
        {
            self.add(&entry);
        }
    }

    fn add(&mut self, entry: &Entry) {
        let stamp = self.stamp.of(entry.at);
        self.head.seal(&mut self.batch.lines, stamp, &entry.body);
        self.batch.records += 1;
        self.batch.bytes += entry.bytes;
    }

    /// Adds a record of the writer's own, which takes nothing of the queue.
    fn add_own(&mut self, record: &impl serde::Serialize) {
        let stamp = self.stamp.of(now());
        self.head
            .seal(&mut self.batch.lines, stamp, &encode(record, 0));
    }

    /// Says how many records found no place, once the batch before is through.
    fn tell_dropped(&mut self) {
        if !self.batch.lines.is_empty() {
            return;
        }
        let dropped = self.counts.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.add_own(&Record::Gap(Gap {
                reason: GapReason::Dropped,
                records: Some(dropped),
                whole: None,
            }));
        }
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let batch = &mut self.batch;
        let is_begun = batch.lines[..batch.written]
            .last()
            .is_some_and(|b| *b != b'\n');
        if self.file.make_ready(!is_begun)? && is_begun {
            // The line begins anew in the other file.
            let begin = memchr::memrchr(b'\n', &batch.lines[..batch.written]);
            batch.written = begin.map_or(0, |at| at + 1);
        }
        while batch.written < batch.lines.len() {
            match self.file.write(&batch.lines[batch.written..]) {
                Ok(written) => batch.written += written,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) {
        self.counts.is_failing.store(true, Ordering::Relaxed);
        let now = Instant::now();
        self.retry = Some(now + RETRY);
        if self.said.is_none_or(|said| now - said >= REMIND) {
            self.said = Some(now);
            let file = self.file.shown();
            log::error!("the audit log {file} cannot be written: {error}; it is tried each second");
        }
    }

    fn succeeded(&mut self) {
        self.counts.written(self.batch.records, self.batch.bytes);
        self.batch.lines.clear();
        self.batch.lines.shrink_to(2 * BATCH);
        (self.batch.written, self.batch.records, self.batch.bytes) = (0, 0, 0);
        if let Some(file) = self.file.on_disk() {
            self.syncer.note(file);
        }
        self.tick.get_or_insert_with(|| Instant::now() + TICK);
        self.works_again();
    }

    /// Notes that nothing fails any more, if that is so.
    fn works_again(&mut self) {
        if !self.batch.lines.is_empty() || self.syncer.trouble().is_some() {
            return;
        }
        self.retry = None;
        if self.said.take().is_some() {
            log::warn!("the audit log {} is written again", self.file.shown());
        }
        self.counts.is_failing.store(false, Ordering::Relaxed);
    }

    /// Once a second, if something was written.
    fn tick_if_due(&mut self) {
        if self.tick.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let more = lock(&self.counts.denials).end_second();
        for (from, more) in more {
            self.add_own(&MoreDenied { from, more });
        }
        self.syncer.begin();
        if let Some(trouble) = self.syncer.trouble() {
            self.failed(&io::Error::other(trouble));
        }
        self.tick = self.syncer.is_owed().then(|| Instant::now() + TICK);
    }

    fn synced(&mut self, synced: &io::Result<()>) {
        self.syncer.ended(synced);
        match synced {
            Err(error) if self.syncer.trouble().is_some() => self.failed(error),
            _ => self.works_again(),
        }
    }

    /// Writes what there is, once more if the last try failed; says whether all of it is written.
    fn end(&mut self) -> bool {
        self.tick = Some(Instant::now());
        self.write_all();
        // The denials that have just been counted.
        self.write_all();
        let is_synced = self.syncer.finish();
        self.batch.lines.is_empty() && is_synced
    }
}
