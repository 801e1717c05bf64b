//! What a server can be told.

use crate::join::token::Token;
use crate::transcript::Transcript;
use common::audit::Audit;
use common::limits;
use common::wire::selector::Selector;
use std::time::Duration;

/// The most clients a server takes, unless it is told otherwise: as many as one tries it
/// with, so that nobody opens a server to hundreds by accident.
pub(crate) const DEFAULT_MAX_CLIENTS: u32 = 5;

/// The most clients a server can be told to take. Far more than threads one machine has;
/// it keeps a typing error from being taken for a wish.
pub const MOST_CLIENTS: u32 = 1_000_000;

/// Commands that may wait for one target: a burst of a thousand lines is no error.
pub(crate) const MAX_QUEUE: usize = 1024;

/// Bytes of commands that may wait for one target: sixteen lines of the longest kind.
pub(crate) const MAX_QUEUE_BYTES: usize = 16 << 20;

/// Sends that one client may have open.
pub(crate) const MAX_SENDS: usize = 4096;

/// How long running commands may take once the server was told to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// The range a heartbeat can be set to: what a loaded machine can still keep, and what notices
/// a dead client on the same day.
pub const HEARTBEAT_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(86_400);

/// The range a server's bound of a line can be set to: at the least what is taken before
/// `join`, at the most a quarter of what may wait for one client.
pub const MAX_LINE_RANGE: std::ops::RangeInclusive<usize> =
    limits::MAX_LINE_BEFORE_JOIN..=limits::OUTBOX_BYTES / 4;

/// The range a server's bound of memory can be set to: at the least what a few clients need that
/// do nothing wrong.
pub const MAX_MEMORY_RANGE: std::ops::RangeInclusive<usize> = 16 << 20..=1 << 50;

/// The part of the machine's memory that is kept for clients, unless the server is told otherwise:
/// it leaves room for the buffers that the system keeps for as many, and for other programs.
const MEMORY_PART: u64 = 4;

/// A quarter of the memory that this process may have.
pub(crate) fn default_max_memory() -> usize {
    let quarter =
        usize::try_from(common::sys::resources::memory() / MEMORY_PART).unwrap_or(usize::MAX);
    quarter.clamp(*MAX_MEMORY_RANGE.start(), *MAX_MEMORY_RANGE.end())
}

/// What a server can be told. The default listens where the first original did, on
/// loopback only, and prints nothing.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, `HOST:PORT`; port 0 takes any free one.
    pub listen: String,
    /// The most clients at a time.
    pub max_clients: u32,
    /// Whom a `send` without a selector is for.
    pub dispatch: Selector<'static>,
    /// After how long a silence a client is asked for a sign of life, and how long it has
    /// to give one.
    pub heartbeat: Duration,
    /// How long running commands may take once the server was told to stop.
    pub drain: Duration,
    /// The longest line taken from a client that has joined, in bytes, its `\n` included.
    pub max_line: usize,
    /// Commands that may wait for one target; at most half of them from one sender.
    pub max_queue: usize,
    /// Bytes of commands that may wait for one target; at most half of them from one sender.
    pub max_queue_bytes: usize,
    /// Sends that one client may have open.
    pub max_sends: usize,
    /// Bytes that are kept for all clients together.
    pub max_memory: usize,
    /// What a client must show to join, if anything.
    pub token: Option<Token>,
    /// Where what clients do is put on record; without it nothing is.
    pub audit: Option<Audit>,
    /// Where the originals' transcript goes.
    pub transcript: Transcript,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: limits::DEFAULT_ADDRESS.into(),
            max_clients: DEFAULT_MAX_CLIENTS,
            dispatch: Selector::Next,
            heartbeat: limits::HEARTBEAT,
            drain: DRAIN,
            max_line: limits::MAX_LINE,
            max_queue: MAX_QUEUE,
            max_queue_bytes: MAX_QUEUE_BYTES,
            max_sends: MAX_SENDS,
            max_memory: default_max_memory(),
            token: None,
            audit: None,
            transcript: Transcript::default(),
        }
    }
}
