//! Identifies the processes of a command: by the `PECKING_ID` in their environment, and by a mark
//! if they shed their environment, as daemons do. Both name the client's process and its run.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const ID_VARIABLE: &str = "PECKING_ID";

/// A process that runs commands, told apart from all others, also earlier ones of its number.
#[derive(Clone, Copy, Debug, derive_more::Display, PartialEq, Eq)]
#[display("{pid}-{time}")]
pub(crate) struct ClientIdentity {
    pid: u32,
    /// Nanoseconds since 1970 at which it was asked for first.
    time: u64,
}

impl ClientIdentity {
    pub(crate) fn own() -> ClientIdentity {
        static OWN: OnceLock<ClientIdentity> = OnceLock::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "it names this process among earlier ones of its number, and times nothing"
        )]
        *OWN.get_or_init(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
            ClientIdentity {
                pid: std::process::id(),
                // These are enough until the year 2554.
                time: since_epoch.unwrap_or_default().as_nanos() as u64,
            }
        })
    }

    pub(crate) fn parse(text: &str) -> Option<ClientIdentity> {
        let (pid, time) = text.split_once('-')?;
        Some(ClientIdentity {
            pid: pid.parse().ok()?,
            time: time.parse().ok()?,
        })
    }

    /// Whether an environment is that of one of this process's runs.
    pub(crate) fn is_in(self, environment: &[u8]) -> bool {
        let start = format!("{ID_VARIABLE}={self}-");
        variables(environment).any(|variable| variable.starts_with(start.as_bytes()))
    }
}

#[derive(Debug)]
pub(crate) struct RunIdentity {
    /// The value of [`ID_VARIABLE`], which no other run on this machine has.
    pub(crate) id: String,
    /// The mark, which no other run has that this process knows of.
    pub(crate) mark: Mark,
}

impl RunIdentity {
    pub(crate) fn next() -> RunIdentity {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let client = ClientIdentity::own();
        RunIdentity {
            id: format!("{client}-{number}"),
            mark: Mark::of_run(client, number),
        }
    }

    /// Whether an environment is that of one of its processes.
    pub(crate) fn is_in(&self, environment: &[u8]) -> bool {
        let wanted = format!("{ID_VARIABLE}={}", self.id);
        variables(environment).any(|variable| variable == wanted.as_bytes())
    }
}

fn variables(environment: &[u8]) -> impl Iterator<Item = &[u8]> {
    environment.split(|byte| *byte == 0)
}

/// A mark that a process keeps through `fork` and `execve`: its limit of processor time under
/// real-time scheduling (`RLIMIT_RTTIME`), so high that it limits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// The least mark, in microseconds: thousands of years.
    const LEAST: u64 = 1 << 62;

    /// Bits of a mark in which runs of one process differ: more than ever run at a time.
    const RUN_BITS: u32 = 24;

    /// Bits of a mark in which processes of the same number differ.
    const TIME_BITS: u32 = 16;

    fn of_run(client: ClientIdentity, number: u64) -> Mark {
        Mark(Mark::of_client(client) | (number & ((1 << Mark::RUN_BITS) - 1)))
    }

    /// What the marks of a process's runs have in common.
    fn of_client(ClientIdentity { pid, time }: ClientIdentity) -> u64 {
        let time = time & ((1 << Mark::TIME_BITS) - 1);
        let process = u64::from(pid) << Mark::TIME_BITS | time;
        Mark::LEAST | process << Mark::RUN_BITS
    }

    /// Whether it is that of one of a process's runs.
    pub(crate) fn is_of(self, client: ClientIdentity) -> bool {
        self.0 >> Mark::RUN_BITS == Mark::of_client(client) >> Mark::RUN_BITS
    }

    pub(crate) fn of_limit(limit: u64) -> Option<Mark> {
        (limit >= Mark::LEAST && limit != u64::MAX).then_some(Mark(limit))
    }

    pub(crate) fn limit(self) -> u64 {
        self.0
    }
}
