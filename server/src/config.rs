//! The settings of a server.

use crate::authority::Authority;
use crate::expected::ExpectedMachines;
use crate::join::token::Token;
use crate::transcript::Transcript;
use common::audit::Audit;
use common::limits;
use common::wire::selector::Selector;
use std::path::PathBuf;
use std::time::Duration;

/// The most clients a server can be told to take: far more than threads one machine has, so it only
/// catches typing errors.
pub const MOST_CLIENTS: u32 = 1_000_000;

/// The range of a heartbeat: what a loaded machine can still keep, and what notices a dead client on
/// the same day.
pub const HEARTBEAT_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(86_400);

/// The range of the bound of a line: at the least the bound before `join`, at the most a quarter of
/// what may wait for one client.
pub const MAX_LINE_RANGE: std::ops::RangeInclusive<usize> =
    limits::MAX_LINE_BEFORE_JOIN..=limits::OUTBOX_BYTES / 4;

/// The range of the bound of memory: at the least what a few clients need that do nothing wrong.
pub const MAX_MEMORY_RANGE: std::ops::RangeInclusive<usize> = 16 << 20..=1 << 50;

/// The memory for clients, unless the server is told otherwise: a quarter of what this process may
/// have leaves room for the buffers that the system keeps for as many, and for other programs.
fn default_max_memory() -> usize {
    let quarter = usize::try_from(common::sys::resources::memory() / 4).unwrap_or(usize::MAX);
    quarter.clamp(*MAX_MEMORY_RANGE.start(), *MAX_MEMORY_RANGE.end())
}

/// The settings of a server. The default listens where the first original did, on
/// loopback only, and prints nothing.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, `HOST:PORT`; port 0 takes any free one.
    pub listen: String,
    /// The most clients at a time. The default is few, so that no server is open to hundreds by
    /// accident.
    pub max_clients: u32,
    /// The targets of a `send` without a selector.
    pub dispatch: Selector<'static>,
    /// After how long a silence a client is asked for a sign of life, and how long it has
    /// to give one.
    pub heartbeat: Duration,
    /// How long the place of a client that asks for it is held after its connection broke; zero
    /// holds none.
    pub hold: Duration,
    /// Where the places that are held are kept for the next start of the server; without it they end
    /// with it.
    pub state: Option<PathBuf>,
    /// How long running commands may take once the server was told to stop.
    pub drain: Duration,
    /// The longest line taken from a client that has joined, in bytes, its `\n` included.
    pub max_line: usize,
    /// Commands that may wait for one target; at most half of them from one sender. The default takes
    /// a burst of a thousand lines.
    pub max_queue: usize,
    /// Bytes of commands that may wait for one target; at most half of them from one sender. The
    /// default takes sixteen lines of the longest kind.
    pub max_queue_bytes: usize,
    /// Sends that one client may have open.
    pub max_sends: usize,
    /// Bytes that are kept for all clients together.
    pub max_memory: usize,
    /// How long a detached command is kept after its end.
    pub keep_jobs: Duration,
    /// What a client must show to join, if anything.
    pub token: Option<Token>,
    /// What it encrypts with; without this, everything goes in the clear.
    pub tls: Option<ServerTls>,
    /// Which identities may join, and what they may do; with this, `token` counts for nothing.
    pub authority: Option<Authority>,
    /// The machines that ought to be here, for those that look which are missing; without it the server
    /// expects none.
    pub expected: Option<ExpectedMachines>,
    /// Where what clients do is put on record; without it nothing is.
    pub audit: Option<Audit>,
    /// Where it shows itself to browsers and monitoring; without it, it does not.
    pub http: Option<HttpConfig>,
    /// The originals' transcript, and its console.
    pub transcript: Transcript,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: limits::DEFAULT_ADDRESS.into(),
            max_clients: 5,
            dispatch: Selector::Next,
            heartbeat: limits::HEARTBEAT,
            hold: limits::HOLD,
            state: None,
            drain: Duration::from_secs(5),
            max_line: limits::MAX_LINE,
            max_queue: 1024,
            max_queue_bytes: 16 << 20,
            max_sends: 4096,
            max_memory: default_max_memory(),
            keep_jobs: limits::KEEP_JOBS,
            token: None,
            tls: None,
            authority: None,
            expected: None,
            audit: None,
            http: None,
            transcript: Transcript::default(),
        }
    }
}

/// Where and to which clients a server shows itself over HTTP. With the server's own certificate if
/// it encrypts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen, `HOST:PORT`; port 0 takes any free one.
    pub listen: String,
    /// Names by which browsers may reach it, besides `localhost`, addresses, the host in `listen`
    /// and the names of the server's certificate.
    pub hosts: Vec<String>,
    /// A token that shows everything. Tokens with which clients join count as well. If the server
    /// has none at all, it asks for none.
    pub token: Option<Token>,
}

/// What a server needs to encrypt. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The server's certificate in PEM form, and behind it those between it and its authority. If
    /// clients are to pin the authority's key, its own certificate comes last.
    pub cert: PathBuf,
    /// The private key of the first certificate, in PEM form.
    pub key: PathBuf,
    /// Which certificates clients may show.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates clients show, for an identity that no token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The certificates of the authorities that sign them, in PEM form.
    pub ca: PathBuf,
    /// Whether a client without one is turned away in the handshake.
    pub required: bool,
}
