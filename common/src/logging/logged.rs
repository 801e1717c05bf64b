//! What of a command a log shows: at `info` its first word and how many follow. The other words
//! may be passwords, and what an executor says may repeat them; they are for `debug`.

use std::fmt;

/// Whether the log shows everything, and as many lines of it as there are.
pub(crate) fn shows_all() -> bool {
    log::max_level() >= log::Level::Debug
}

/// The words of a command: `whole` at `debug`, else `first` and how many follow it.
pub fn command(
    first: impl fmt::Display,
    whole: impl fmt::Display,
    count: usize,
) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        if shows_all() {
            return whole.fmt(f);
        }
        first.fmt(f)?;
        match count.saturating_sub(1) {
            0 => Ok(()),
            1 => f.write_str(" and 1 more word"),
            more => write!(f, " and {more} more words"),
        }
    })
}

/// What a peer says of a command, behind `": "`: at `debug` only, since it may repeat words of it.
pub fn details(text: impl fmt::Display) -> impl fmt::Display {
    fmt::from_fn(move |f| match shows_all() {
        true => write!(f, ": {text}"),
        false => Ok(()),
    })
}
