//! The log: records of the `log` crate, each a line of a console. A record is made into its line
//! on the console's thread, and only so many lines about one peer are shown: see
//! [`log_limit`].

use crate::logging::format::{self, Entry, LogFormat, now};
use crate::logging::log_limit::{self, LogLimit, Verdict};
use crate::logging::logged;
use crate::terminal::console::Console;
use crate::terminal::escape::one_line;
use std::sync::Arc;
use std::time::Instant;

/// The longest message of one record, in bytes; what is longer is cut.
const LONGEST_MESSAGE: usize = 8 << 10;

/// Sends the `log` crate's records to a console. `RUST_LOG` chooses what is logged, or `default`
/// if it is unset or makes no sense.
pub fn start_logging(console: Console, default: &str, format: LogFormat) {
    if format == LogFormat::Json {
        console.note_as(format::note);
    }
    let given = std::env::var("RUST_LOG").ok();
    let mut filter = env_filter::Builder::new();
    // Not `parse`, which complains with `eprintln!`: that panics if nothing can be written.
    if let Err(error) = filter.try_parse(given.as_deref().unwrap_or(default)) {
        let why = error.to_string();
        console.say(&format!("warning: RUST_LOG is ignored: {}", one_line(&why)));
        filter.try_parse(default).expect("the default is right");
    }
    let filter = filter.build();
    let most = filter.filter();
    let logger = Logger {
        filter,
        limit: Arc::default(),
        format,
        console,
    };
    match log::set_boxed_logger(Box::new(logger)) {
        Ok(()) => log::set_max_level(most),
        Err(e) => log::warn!("logging was already set up: {e}"),
    }
}

struct Logger {
    filter: env_filter::Filter,
    limit: Arc<LogLimit>,
    format: LogFormat,
    console: Console,
}

impl log::Log for Logger {
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

// A session logs while it has little of its stack in use, and a stack stays as large as it was at
// its largest: so what the logging of a line does not need has a frame of its own.
impl Logger {
    #[inline(never)]
    fn show(&self, record: &log::Record<'_>) {
        let mut message = record.args().to_string();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        // The console counts the length of what waits for it.
        message.shrink_to_fit();
        let (at, level, format) = (now(), record.level(), self.format);
        let target: Box<str> = match format {
            LogFormat::Text => Box::default(),
            LogFormat::Json => record.target().into(),
        };
        let bytes = message.len() + target.len();
        let make = move |out: &mut Vec<u8>| {
            let (target, message) = (&*target, &*message);
            let entry = Entry {
                at,
                level,
                target,
                message,
            };
            format.append(out, &entry);
        };
        if !self.console.print_made(None, bytes, make) {
            self.console.count_dropped(1);
        }
    }

    /// Tells how many lines about a peer are hidden, when that is due.
    #[inline(never)]
    fn tell_hidden(&self, subject: &Arc<str>, due: Instant) {
        let (limit, about) = (Arc::clone(&self.limit), Arc::clone(subject));
        let format = self.format;
        let make = move |out: &mut Vec<u8>| {
            let count = limit.take_hidden(&about);
            let lines = if count == 1 { "line" } else { "lines" };
            let message = format!("{count} {lines} of {about} are not shown here");
            let entry = Entry {
                at: now(),
                level: log::Level::Warn,
                target: module_path!(),
                message: &message,
            };
            format.append(out, &entry);
        };
        if !self.console.print_made(Some(due), 0, make) {
            self.console.count_dropped(self.limit.take_hidden(subject));
        }
    }
}
