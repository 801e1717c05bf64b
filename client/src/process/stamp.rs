//! What makes one process that runs commands different from every other, of this machine and
//! since it started.

use std::fmt;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// A process that runs commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its number.
    pub(crate) pid: u32,
    /// Nanoseconds since 1970, of when it was asked for first.
    pub(crate) time: u64,
}

/// This process.
pub(crate) fn own() -> Stamp {
    static OWN: OnceLock<Stamp> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "it names this process among earlier ones of its number, and times nothing"
    )]
    *OWN.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Stamp {
            pid: std::process::id(),
            // These are enough until the year 2554.
            time: since_epoch.unwrap_or_default().as_nanos() as u64,
        }
    })
}

impl Stamp {
    /// Reads what was written.
    pub(crate) fn parse(text: &str) -> Option<Stamp> {
        let (pid, time) = text.split_once('-')?;
        Some(Stamp {
            pid: pid.parse().ok()?,
            time: time.parse().ok()?,
        })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.time)
    }
}
