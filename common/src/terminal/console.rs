//! Lines for standard output or standard error through a bounded queue and a thread of
//! their own, so that a terminal nobody reads or a full disk never stops service.
//!
//! What finds no place in the queue, or cannot be written, is dropped and counted; the
//! count is told as soon as a line goes through again.

use crate::logging::log_limit::{self, LogLimit, Verdict};
use crate::logging::logged;
use crate::sys::thread;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Lines that may wait for a console: some seconds of a busy server's log, and less than
/// a megabyte of memory.
const QUEUE: usize = 4096;

/// Bytes that may wait for a console, however few lines they are.
const QUEUE_BYTES: usize = 4 << 20;

/// The longest message of one log record, in bytes; what is longer is cut.
const LONGEST_MESSAGE: usize = 8 << 10;

/// Bytes that one write takes along.
const BATCH: usize = 64 << 10;

/// How long a program that ends waits for what its consoles have queued, for all of them
/// together: it ends within a second.
const CLOSE_PATIENCE: Duration = Duration::from_millis(250);

enum Entry {
    Line(Vec<u8>),
    Record(Record),
    /// A line that is made at a later time.
    Later(Later),
    /// Everything before it is written: say so.
    Flush(Sender<()>),
}

/// A record of the log, which becomes a line where it is written: the threads that log, thousands
/// of them, need neither the stack nor the time for that.
struct Record {
    at: SystemTime,
    level: log::Level,
    message: String,
}

impl Record {
    #[expect(clippy::disallowed_methods, reason = "it is shown, and times nothing")]
    fn new(level: log::Level, mut message: String) -> Record {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Record {
            at: SystemTime::now(),
            level,
            message,
        }
    }

    /// Adds its line: level, time, message, whatever a peer put into that.
    fn append_to(&self, out: &mut Vec<u8>) {
        let at = humantime::format_rfc3339_millis(self.at);
        let message = crate::terminal::escape::one_line(&self.message);
        // Memory takes everything.
        let _ = writeln!(out, "{at} {:5} {message}", self.level);
    }
}

/// A line that is made when it is due, or when its console is closed before that.
struct Later {
    due: Instant,
    make: Box<dyn FnOnce() -> Vec<u8> + Send>,
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
    /// Somebody waited in vain, and nothing was written since.
    is_stuck: AtomicBool,
}

impl Console {
    /// Starts the thread. It ends when the last handle is gone, and is not joined: it may
    /// be blocked for ever in a write that nobody takes.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn start(name: &str, out: impl Write + Send + 'static) -> io::Result<Console> {
        let (queue, lines) = bounded(QUEUE);
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        thread::spawn(name, move || write_lines(&lines, &counted, out))?;
        Ok(Console { queue, counts })
    }

    /// Queues text, or drops it where the queue is full. It ends with a newline, or begins with a
    /// carriage return, as a line does that is drawn again and again.
    pub fn print(&self, text: Vec<u8>) {
        self.push(text.len(), Entry::Line(text));
    }

    fn push(&self, bytes: usize, entry: Entry) {
        let waiting = self.counts.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > QUEUE_BYTES || self.queue.try_send(entry).is_err() {
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has a line made and printed at a later time; says whether there was a place for that.
    fn print_later(&self, due: Instant, make: impl FnOnce() -> Vec<u8> + Send + 'static) -> bool {
        let make = Box::new(make);
        let later = Entry::Later(Later { due, make });
        self.queue.try_send(later).is_ok()
    }

    /// Says something before anything else is done, where somebody reads it; who does not is waited
    /// for once, and not long.
    pub fn say(&self, what: &str) {
        let end = if what.ends_with('\n') { "" } else { "\n" };
        self.print(format!("{what}{end}").into_bytes());
        if !self.counts.is_stuck.load(Ordering::Relaxed) {
            self.close();
        }
    }

    /// Waits until what is queued is written, as long as somebody takes it.
    pub fn close(&self) {
        Console::close_all([self]);
    }

    /// [`Console::close`] for several, in no more time than one of them may take: each has
    /// its own thread, so one that nobody reads takes nothing from the others.
    pub fn close_all<const N: usize>(consoles: [&Console; N]) {
        let deadline = Instant::now() + CLOSE_PATIENCE;
        for console in consoles {
            console.close_by(deadline);
        }
    }

    fn close_by(&self, deadline: Instant) {
        let (done, wait) = bounded(1);
        let queued = self.queue.send_deadline(Entry::Flush(done), deadline);
        if queued.is_err() || wait.recv_deadline(deadline).is_err() {
            self.counts.is_stuck.store(true, Ordering::Relaxed);
        }
    }
}

/// Says on standard error why a program ends. `eprintln!` would wait for ever for a pipe that is
/// full and unread, and would panic where the disk is full.
pub fn complain(line: &str) {
    match Console::start("error", io::stderr()) {
        Ok(console) => console.say(line),
        Err(_) => {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

fn write_lines(lines: &Receiver<Entry>, counts: &Counts, mut out: impl Write) {
    let mut batch = Vec::new();
    let mut unwritten = 0;
    // Each is due as long after it came as the others, so the first is due first.
    let mut later = VecDeque::<Later>::new();
    loop {
        let first = match later.front().map(|later| lines.recv_deadline(later.due)) {
            None => match lines.recv() {
                Ok(entry) => Some(entry),
                Err(_) => return,
            },
            Some(Ok(entry)) => Some(entry),
            Some(Err(RecvTimeoutError::Timeout)) => None,
            Some(Err(RecvTimeoutError::Disconnected)) => return,
        };
        let mut flushed = None;
        let mut count = 0;
        for entry in first.into_iter().chain(lines.try_iter()) {
            match entry {
                Entry::Later(line) => later.push_back(line),
                Entry::Line(line) => {
                    counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    batch.extend_from_slice(&line);
                    count += 1;
                }
                Entry::Record(record) => {
                    let bytes = record.message.len();
                    counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
                    record.append_to(&mut batch);
                    count += 1;
                }
                Entry::Flush(done) => flushed = Some(done),
            }
            if flushed.is_some() || batch.len() >= BATCH {
                break;
            }
        }
        let now = Instant::now();
        while let Some(line) = later.pop_front_if(|line| flushed.is_some() || line.due <= now) {
            batch.extend((line.make)());
            count += 1;
        }
        unwritten += counts.dropped.swap(0, Ordering::Relaxed);
        if unwritten > 0 {
            let note = format!("({unwritten} lines were dropped here)\n");
            batch.extend_from_slice(note.as_bytes());
        }
        // A failed write is no reason to stop: the disk may have room again later.
        match out.write_all(&batch).and_then(|()| out.flush()) {
            Ok(()) => unwritten = 0,
            Err(_) => unwritten += count,
        }
        batch.clear();
        counts.is_stuck.store(false, Ordering::Relaxed);
        if let Some(done) = flushed {
            let _ = done.send(());
        }
    }
}

/// A logger that shows only so much about one peer: see [`log_limit`].
struct Limited {
    /// What is to be logged. It writes nothing.
    filter: env_logger::Logger,
    limit: Arc<LogLimit>,
    console: Console,
}

impl log::Log for Limited {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        let subject = log_limit::subject().filter(|_| !logged::shows_all());
        let Some(subject) = subject else {
            return self.show(record);
        };
        match self.limit.count(&subject, Instant::now()) {
            Verdict::Show => self.show(record),
            Verdict::Hide => {}
            Verdict::HideAndTell(due) => self.tell_hidden(&subject, due),
        }
    }

    fn flush(&self) {}
}

impl Limited {
    #[inline(never)]
    fn show(&self, record: &log::Record<'_>) {
        let message = record.args().to_string();
        let record = Record::new(record.level(), message);
        self.console
            .push(record.message.len(), Entry::Record(record));
    }

    /// Tells how many lines about a peer are hidden, when that is due. A session logs while it has
    /// little of its stack in use, which stays what it has at the most: so this has a frame of its
    /// own, as all has that the logging of a line does not need.
    #[inline(never)]
    fn tell_hidden(&self, subject: &Arc<str>, due: Instant) {
        let (limit, about) = (Arc::clone(&self.limit), Arc::clone(subject));
        let tell = move || hidden_lines(limit.take_hidden(&about), &about);
        if !self.console.print_later(due, tell) {
            // They are lost like all others that find no place in the queue.
            let hidden = self.limit.take_hidden(subject);
            self.console
                .counts
                .dropped
                .fetch_add(hidden, Ordering::Relaxed);
        }
    }
}

/// The record that tells how many lines are not shown.
fn hidden_lines(count: u64, subject: &str) -> Vec<u8> {
    let lines = if count == 1 { "line" } else { "lines" };
    let message = format!("{count} {lines} of {subject} are not shown here");
    let mut line = Vec::new();
    Record::new(log::Level::Warn, message).append_to(&mut line);
    line
}

/// Sends the `log` crate's records to a console: level, time, message, one line each
/// whatever a peer put into it. `RUST_LOG` chooses; `default` stands where it is unset.
pub fn start_logging(console: Console, default: &str) {
    let given = std::env::var(env_logger::DEFAULT_FILTER_ENV);
    let (filters, wrong) = readable(given.as_deref().unwrap_or(default));
    for part in wrong {
        let part = crate::terminal::escape::one_line(part);
        let warning = format!("warning: invalid logging spec '{part}', ignoring it\n");
        console.print(warning.into_bytes());
    }
    let filter = env_logger::Builder::new().parse_filters(&filters).build();
    let most = filter.filter();
    let limit = Arc::default();
    let logger = Limited {
        filter,
        limit,
        console,
    };
    match log::set_boxed_logger(Box::new(logger)) {
        Ok(()) => log::set_max_level(most),
        Err(e) => log::warn!("logging was already set up: {e}"),
    }
}

/// What a logger can read of what is to be logged, and the parts that it cannot. It would say so
/// itself, with `eprintln!`, and so panic where standard error cannot be written to.
fn readable(filters: &str) -> (String, Vec<&str>) {
    let (directives, text) = match filters.split_once('/') {
        Some((_, text)) if text.contains('/') => return (String::new(), vec![filters]),
        Some((directives, text)) => (directives, format!("/{text}")),
        None => (filters, String::new()),
    };
    let is_readable = |directive: &&str| {
        directive.split_once('=').is_none_or(|(_, level)| {
            let level = level.trim();
            level.is_empty() || level.parse::<log::LevelFilter>().is_ok()
        })
    };
    let (right, wrong): (Vec<&str>, Vec<&str>) =
        directives.split(',').map(str::trim).partition(is_readable);
    (right.join(",") + &text, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn what_a_logger_cannot_read_it_is_not_given() {
        for (filters, right, wrong) in [
            ("", "", &[][..]),
            ("info", "info", &[]),
            ("warn,server = debug,a=/b", "warn,server = debug,a=/b", &[]),
            ("a=b", "", &["a=b"]),
            ("debug, a=loud ,b=1=2/c", "debug/c", &["a=loud", "b=1=2"]),
            ("debug/a/b", "", &["debug/a/b"]),
        ] {
            assert_eq!(readable(filters), (right.to_owned(), wrong.to_vec()));
        }
    }

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
    fn a_console_nobody_reads_drops_and_counts() {
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
    fn who_has_much_to_say_to_nobody_waits_once() {
        let (console, free, lines) = stuck();
        let began = Instant::now();
        for _ in 0..20 {
            console.say("line");
        }
        assert!(
            began.elapsed() < CLOSE_PATIENCE * 4,
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
    fn consoles_nobody_reads_are_closed_in_the_time_of_one() {
        let consoles = [(); 8].map(|()| stuck());
        let began = Instant::now();
        Console::close_all(consoles.each_ref().map(|(console, ..)| console));
        let took = began.elapsed();
        assert!(took >= CLOSE_PATIENCE, "{took:?} is no patience");
        assert!(took < CLOSE_PATIENCE * 4, "{took:?} for eight of them");
    }
}
