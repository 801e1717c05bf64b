//! Lines for standard output or standard error through a bounded queue and a thread of
//! their own, so that an unread terminal or a full disk never stops service.
//!
//! A line that finds no room in the queue, or cannot be written, is dropped and counted; the
//! count is told as soon as a line goes through again. The console knows nothing of
//! the log; `logging` hands it functions that make lines of records.

use crate::sys::thread;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Lines that may wait for a console: some seconds of a busy server's log.
const QUEUE: usize = 4096;

/// Bytes that may wait for a console, however few lines they are.
const QUEUE_BYTES: usize = 4 << 20;

const BATCH: usize = 64 << 10;

/// How long a program that ends waits for what its consoles have queued, for all of them
/// together: it ends within a second.
const CLOSE_PATIENCE: Duration = Duration::from_millis(250);

/// How many times as long it waits for a console's thread that has not begun to write.
const BUSY_PATIENCE: usize = 40;

enum Entry {
    Line(Line),
    /// Everything before it is written: say so.
    Flush(Sender<()>),
}

/// Adds a line to a batch.
type Make = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// Makes a line, without its end, of a note.
type Note = fn(&str) -> String;

/// A line that the console's thread makes when it is due, or when the console is closed before
/// that: the threads that log, thousands of them, need neither the stack nor the time for it.
struct Line {
    due: Option<Instant>,
    bytes: usize,
    make: Make,
}

/// A handle to the thread that writes; clones share it.
#[derive(Clone, Debug)]
pub struct Console {
    queue: Sender<Entry>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Lines that found no place.
    dropped: AtomicU64,
    /// The thread is in a write, which may take for ever.
    is_writing: AtomicBool,
    /// A wait for it was in vain, and nothing was written since.
    is_stuck: AtomicBool,
    /// What makes lines of notes, if those are not written as they are.
    note: OnceLock<Note>,
}

impl Console {
    /// Starts the thread. It ends when the last handle is gone, and is not joined: it may be
    /// blocked for ever in a write to a pipe that is full and unread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(name: &str, out: impl Write + Send + 'static) -> io::Result<Console> {
        let (queue, entries) = bounded(QUEUE);
        let counts = Arc::new(Counts::default());
        let printer = Printer {
            out,
            counts: Arc::clone(&counts),
            batch: Vec::new(),
            count: 0,
            unwritten: 0,
            later: VecDeque::new(),
        };
        thread::spawn(name, move || printer.run(&entries))?;
        Ok(Console { queue, counts })
    }

    /// Queues text, or drops it if the queue is full. It ends with a newline, or begins with a
    /// carriage return, as a line does that is drawn again and again.
    pub fn print(&self, text: Vec<u8>) {
        let bytes = text.len();
        let make = move |batch: &mut Vec<u8>| batch.extend_from_slice(&text);
        if !self.print_made(None, bytes, make) {
            self.count_dropped(1);
        }
    }

    /// Queues a line that the console's thread makes, at once or when it is due, and that keeps so
    /// many bytes until then; says whether there was room for it.
    pub(crate) fn print_made(
        &self,
        due: Option<Instant>,
        bytes: usize,
        make: impl FnOnce(&mut Vec<u8>) + Send + 'static,
    ) -> bool {
        let make = Box::new(make);
        let entry = Entry::Line(Line { due, bytes, make });
        let waiting = self.counts.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let has_room = waiting <= QUEUE_BYTES && self.queue.try_send(entry).is_ok();
        if !has_room {
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        has_room
    }

    /// Counts lines that are not printed.
    pub(crate) fn count_dropped(&self, lines: u64) {
        self.counts.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// From now on what is [said](Self::say), and what the console itself says, are lines that this
    /// makes.
    pub(crate) fn note_as(&self, note: Note) {
        // A second one is as good as the first.
        let _ = self.counts.note.set(note);
    }

    /// Prints a line and waits for it for a moment; for a console that takes nothing only once.
    pub fn say(&self, what: &str) {
        self.print(self.counts.line_of(what).into_bytes());
        if !self.counts.is_stuck.load(Ordering::Relaxed) {
            self.close();
        }
    }

    /// Waits until what is queued is written, for a moment at most.
    pub fn close(&self) {
        Console::close_all([self]);
    }

    /// [`Console::close`] for several, in no more time than one of them may take: each has a
    /// thread of its own, so one that takes nothing leaves the others their time.
    pub fn close_all<const N: usize>(consoles: [&Console; N]) {
        let deadline = Instant::now() + CLOSE_PATIENCE;
        for console in consoles {
            console.close_by(deadline);
        }
    }

    fn close_by(&self, deadline: Instant) {
        let (done, wait) = bounded(1);
        let queued = self.queue.send_deadline(Entry::Flush(done), deadline);
        if queued.is_err() || !self.is_done_by(&wait, deadline) {
            self.counts.is_stuck.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until the flush is done. A thread that is not in a write when the time is over has not
    /// had a processor yet: what it has to say is not lost on a busy machine.
    fn is_done_by(&self, wait: &Receiver<()>, deadline: Instant) -> bool {
        let mut is_done = wait.recv_deadline(deadline).is_ok();
        for _ in 0..BUSY_PATIENCE {
            if is_done || self.counts.is_writing.load(Ordering::Relaxed) {
                break;
            }
            is_done = wait.recv_timeout(CLOSE_PATIENCE).is_ok();
        }
        is_done
    }
}

impl Counts {
    /// The line of a note.
    fn line_of(&self, what: &str) -> String {
        let what = what.strip_suffix('\n').unwrap_or(what);
        match self.note.get() {
            Some(note) => note(what) + "\n",
            None => format!("{what}\n"),
        }
    }
}

/// Says on standard error why a program ends. `eprintln!` would wait for ever for a pipe that is
/// full and unread, and would panic if the disk is full.
pub fn complain(line: &str) {
    match Console::start("error", io::stderr()) {
        Ok(console) => console.say(line),
        Err(_) => {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// What the thread of a console works with.
struct Printer<W> {
    out: W,
    counts: Arc<Counts>,
    batch: Vec<u8>,
    count: u64,
    /// Lines that were dropped, or could not be written, and not told yet.
    unwritten: u64,
    /// What is to be made later. Each line waits equally long, so the first is due first.
    later: VecDeque<Line>,
}

impl<W: Write> Printer<W> {
    /// Writes until the last handle is gone.
    fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            let first = match self.later.front().and_then(|line| line.due) {
                Some(due) => entries.recv_deadline(due),
                None => entries.recv().map_err(RecvTimeoutError::from),
            };
            if let Err(RecvTimeoutError::Disconnected) = first {
                return;
            }
            let mut flushed = None;
            for entry in first.into_iter().chain(entries.try_iter()) {
                flushed = self.take(entry);
                if flushed.is_some() || self.batch.len() >= BATCH {
                    break;
                }
            }
            self.make_due(flushed.is_some());
            self.write();
            if let Some(done) = flushed {
                let _ = done.send(());
            }
        }
    }

    /// Takes an entry into the batch; returns what wants to hear when it is written.
    fn take(&mut self, entry: Entry) -> Option<Sender<()>> {
        match entry {
            Entry::Line(line) if line.due.is_some() => self.later.push_back(line),
            Entry::Line(line) => self.make(line),
            Entry::Flush(done) => return Some(done),
        }
        None
    }

    fn make(&mut self, line: Line) {
        self.counts.waiting.fetch_sub(line.bytes, Ordering::Relaxed);
        (line.make)(&mut self.batch);
        self.count += 1;
    }

    /// Makes the lines that are due, or all.
    fn make_due(&mut self, all: bool) {
        let now = Some(Instant::now());
        while let Some(line) = self.later.pop_front_if(|line| all || line.due <= now) {
            self.make(line);
        }
    }

    /// Writes the batch. A failed write is no reason to stop: the disk may have room again later.
    fn write(&mut self) {
        self.unwritten += self.counts.dropped.swap(0, Ordering::Relaxed);
        if self.unwritten > 0 {
            let note = format!("({} lines were dropped here)", self.unwritten);
            let note = self.counts.line_of(&note);
            self.batch.extend_from_slice(note.as_bytes());
        }
        self.counts.is_writing.store(true, Ordering::Relaxed);
        let written = self
            .out
            .write_all(&self.batch)
            .and_then(|()| self.out.flush());
        self.counts.is_writing.store(false, Ordering::Relaxed);
        match written {
            Ok(()) => self.unwritten = 0,
            Err(_) => self.unwritten += self.count,
        }
        self.batch.clear();
        self.count = 0;
        self.counts.is_stuck.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Blocks in its first write until it is told to go on.
    struct Stuck {
        entered: mpsc::Sender<()>,
        go_on: mpsc::Receiver<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            let _ = self.go_on.recv();
            let _ = self
                .written
                .send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A console that is blocked in its first write until the sender is dropped, and what it
    /// writes after that.
    fn stuck() -> (Console, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (entered, is_stuck) = mpsc::channel();
        let (free, go_on) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let stuck = Stuck {
            entered,
            go_on,
            written,
        };
        let console = Console::start("test", stuck).expect("a thread");
        console.print(b"first\n".to_vec());
        is_stuck.recv().expect("the thread writes");
        (console, free, lines)
    }

    #[test]
    fn a_console_that_is_full_drops_lines_and_counts_them() {
        let (console, free, lines) = stuck();
        for _ in 0..QUEUE + 7 {
            console.print(b"line\n".to_vec());
        }
        drop(free);
        console.close();
        let text: String = lines.try_iter().collect();
        assert_eq!(console.counts.waiting.load(Ordering::Relaxed), 0);
        assert!(text.starts_with("first\nline\n"));
        assert_eq!(text.matches("line\n").count(), QUEUE);
        assert!(
            text.contains("(7 lines were dropped here)"),
            "{}",
            &text[text.len() - 60..]
        );
    }

    #[test]
    fn a_console_that_takes_nothing_is_waited_for_once() {
        let (console, free, lines) = stuck();
        let began = Instant::now();
        for _ in 0..20 {
            console.say("line");
        }
        assert!(
            began.elapsed() < CLOSE_PATIENCE * 15,
            "{:?}",
            began.elapsed()
        );
        drop(free);
        let all = "first\n".to_owned() + &"line\n".repeat(20);
        let mut text = String::new();
        while text != all {
            let more = lines.recv_timeout(CLOSE_PATIENCE * 40);
            text += &more.unwrap_or_else(|_| panic!("there was only {text}"));
        }
        let deadline = Instant::now() + CLOSE_PATIENCE * 40;
        while console.counts.is_stuck.load(Ordering::Relaxed) {
            assert!(Instant::now() < deadline, "it is read again");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_busy_machine_delays_is_waited_for() {
        let (written, lines) = mpsc::channel();
        let (entered, _entries) = mpsc::channel();
        let (_, go_on) = mpsc::channel();
        let out = Stuck {
            entered,
            go_on,
            written,
        };
        let console = Console::start("test", out).expect("a thread");
        let make = |batch: &mut Vec<u8>| {
            std::thread::sleep(CLOSE_PATIENCE * 2);
            batch.extend_from_slice(b"late\n");
        };
        assert!(console.print_made(None, 5, make));
        console.close();
        assert_eq!(lines.try_recv(), Ok("late\n".to_owned()));
    }

    #[test]
    fn consoles_that_take_nothing_close_in_the_time_of_one() {
        const CONSOLES: u32 = 8;
        // A busy machine may spoil one try.
        let is_quick = (0..3).any(|_| {
            let consoles = [(); CONSOLES as usize].map(|()| stuck());
            let began = Instant::now();
            Console::close_all(consoles.each_ref().map(|(console, ..)| console));
            let took = began.elapsed();
            assert!(took >= CLOSE_PATIENCE, "{took:?} is no patience");
            took < CLOSE_PATIENCE * (CONSOLES - 1)
        });
        assert!(is_quick, "each has a time of its own");
    }
}
