//! Every bound of the protocol and of what both ends keep in memory, in one
//! place, each with the source of its figure. Bounds of one end alone stand
//! beside the code that keeps them.

use std::time::Duration;

/// The only version of the protocol so far; `join` names it.
pub const PROTOCOL: u64 = 1;

/// The port of the first of the two original programs.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:5555";

/// Bytes of one line an end receives, its `\n` included, once it has joined.
/// A command with its output fits many times over; a thousand clients that each
/// send one such line at a time still fit into a gigabyte.
pub const MAX_LINE: usize = 1 << 20;

/// Bytes of one line before `join`: the longest name and token fit, and thousands cost little.
pub const MAX_LINE_BEFORE_JOIN: usize = 16 << 10;

/// How much longer than what it received a line may be that the server writes:
/// two names, an id, ranks and the fixed words around them.
pub const LINE_HEADROOM: usize = 4 << 10;

/// How long a line may take: 140 kbit/s for a megabyte, less than any link that is of use.
pub const LINE_DEADLINE: Duration = Duration::from_secs(60);

/// Bytes of a request id that is a string: room for a UUID or a trace id.
pub const MAX_ID: usize = 128;

/// Bytes of a client's name: as a label of a host name has it (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 64;

/// Bytes of a proven identity: a SPIFFE id of a usual length, and one label of a log line.
pub const MAX_IDENTITY: usize = 256;

/// The most commands one client executes at once.
pub const MAX_SLOTS: u32 = 1024;

/// Bytes of a selector: the names of some thousands of machines, and a sixteenth of a line.
pub const MAX_SELECTOR: usize = 64 << 10;

/// Items of a selector: one for each machine of a large fleet.
pub const MAX_SELECTOR_ITEMS: usize = 10_000;

/// Items of a selector that have `*`, `?` or `&`. Each costs a pass over every client, and people
/// need a few.
pub const MAX_SELECTOR_PATTERNS: usize = 16;

/// Characters of such an item: twice as many as a name has.
pub const MAX_PATTERN: usize = 128;

/// Names that the node sets of a selector stand for: one for each machine of a large fleet, as with
/// items.
pub const MAX_SELECTOR_NAMES: u64 = 10_000;

/// Tags of a client: enough to say what it is and where it stands.
pub const MAX_TAGS: usize = 16;

/// Characters of a tag's key.
pub const MAX_TAG_KEY: usize = 32;

/// Characters of a tag's value: as many as a name has.
pub const MAX_TAG_VALUE: usize = 64;

/// The largest window a sender may ask for, and the output of one `send` without
/// a window, over all its targets.
pub const MAX_OUTPUT: u64 = 16 << 20;

/// The most that one target's output may be without a window: as much as one line.
pub const MAX_OUTPUT_SHARE: u64 = 1 << 20;

/// The least that one target's output may be without a window, however many targets.
pub const MIN_OUTPUT_SHARE: u64 = 4 << 10;

/// The least that one target may send ahead with a window, however many targets.
pub const MIN_WINDOW_SHARE: u64 = 1 << 10;

/// How many bytes of input a sender may have under way without a window of its own: enough that the
/// next piece is there when a program has read the last.
pub const INPUT_WINDOW: u64 = 64 << 10;

/// The largest window of input: as much as one line, which every target may have to keep.
pub const MAX_INPUT_WINDOW: u64 = 1 << 20;

/// Pieces of input under way: the largest window in pieces of a page each.
pub const MAX_INPUT_PIECES: usize = 256;

/// In steps of how many bytes it is told that input was consumed: a quarter of a window, so that a
/// sender need not stand still, and 64 lines a megabyte.
pub const INPUT_STEP: u64 = 16 << 10;

/// Commands with input that are open at one target: with windows of the usual size these are 4 MiB.
pub const MAX_OPEN_INPUTS: usize = 64;

/// Detached commands that are open: a fleet's jobs of a night, each with as many targets as
/// it likes.
pub const MAX_OPEN_JOBS: usize = 1024;

/// The same, of one owner: a quarter, so that no owner has all the places alone.
pub const MAX_OPEN_JOBS_OF_ONE: usize = MAX_OPEN_JOBS / 4;

/// Bytes that all jobs together keep, unless that is more than a quarter of what the server may keep in
/// all: the largest output of sixteen of them.
pub const MAX_JOBS_MEMORY: usize = 256 << 20;

/// The part of that, and of the queue of any target, that is for one owner.
pub const JOBS_PART: usize = 4;

/// `job` requests of one client that wait for news.
pub const MAX_JOB_WAITS: usize = 16;

/// How long such a request waits at the most.
pub const JOB_WAIT: Duration = Duration::from_secs(30);

/// How long a detached command may take whose sender does not say.
pub const JOB_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// How long a job is kept after its end, unless the server is told otherwise: an operator's lunch.
pub const KEEP_JOBS: Duration = Duration::from_secs(3600);

/// Bytes of a job's words, and of its selector, in a list of jobs.
pub const MAX_JOB_WORDS: usize = 256;

/// How long a connection may be silent before it is asked for a sign of life, and
/// then how long it has to give one, unless the server is told otherwise.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long after a time-out or a cancel the server waits for the executor's answer
/// before it takes the outcome itself: an executor needs 5 s from SIGTERM to SIGKILL, a quarter of a
/// second after that, and 2 s at the most for processes that take their time to end; the rest is for the way.
pub const ANSWER_GRACE: Duration = Duration::from_secs(8);

/// Members in one answer to `members`: some 200 bytes each, a fifth of a line.
pub const MAX_MEMBERS_PAGE: usize = 1000;

/// Bytes of an answer that is a page of a list: half of a line. It names one entry in any case.
pub const MAX_PAGE: usize = 512 << 10;

/// Bytes of the words of a command that a `refused` notification repeats, and of an
/// executor's message that an outcome carries.
pub const MAX_QUOTED: usize = 4 << 10;

/// Connections at a time that have not joined. A client joins within a round trip, so these
/// are thousands of honest ones a second, and too few threads to be felt.
pub const MAX_UNJOINED: usize = 64;

/// The same, of one address: a quarter, so that no address holds all the places alone.
pub const MAX_UNJOINED_PER_ADDRESS: usize = 16;

/// Connections at a time that have begun a TLS handshake of this protocol and have not joined. A
/// handshake takes a fraction of a millisecond and a round trip, so these are a thousand clients a
/// second from the other end of the world.
pub const MAX_GREETED: usize = 256;

/// The same, of one network (a /24, or a /48 of IPv6): a quarter, as for addresses.
pub const MAX_GREETED_PER_NETWORK: usize = 64;

/// Lines that may wait for one peer before it is a slow consumer.
pub const OUTBOX_LINES: usize = 65_536;

/// Bytes that may wait for one peer before it is a slow consumer.
pub const OUTBOX_BYTES: usize = 64 << 20;

/// A peer that has something waiting must take this much ...
pub const SLOW_PROGRESS: usize = 64 << 10;

/// ... in this time, or it is a slow consumer: a trickle is no progress.
pub const SLOW_PATIENCE: Duration = Duration::from_secs(10);

/// How long what was sent may stay unacknowledged (`TCP_USER_TIMEOUT`, RFC 5482), by how often a
/// peer is asked for a sign of life. A backstop: the system counts a peer, too, that is there and
/// reads nothing, and counts on while this process is stopped. So a slow consumer must always be
/// found first, which takes [`SLOW_PATIENCE`] and as long as buffers take to fill.
pub fn unacknowledged(heartbeat: Duration) -> Duration {
    heartbeat.saturating_mul(2).max(3 * SLOW_PATIENCE)
}

/// How long a connection that is being closed may take to fetch what is already
/// queued for it and to close its own half.
pub const LINGER: Duration = Duration::from_secs(2);

/// How long the place of a client is held that lost its connection, unless the server is told
/// otherwise: what a telephone needs to change its network, and no sender takes for long.
pub const HOLD: Duration = Duration::from_secs(15);

/// Bytes of lines after which the other end is told that they were received: an eighth of what a
/// batch takes, so that little is kept, and the lines of many commands. The protocol asks for 64 KiB,
/// or for a second from this on, which needs no timer then.
pub const ACK_BYTES: usize = 4 << 10;

/// How long a peer may leave unacknowledged what its connection took, before it is a slow consumer.
pub const ACK_PATIENCE: Duration = Duration::from_secs(60);
