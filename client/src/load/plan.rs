//! What is to be measured.

use common::limits::{MAX_OUTPUT, MAX_OUTPUT_SHARE, MIN_OUTPUT_SHARE};
use std::time::Duration;

/// Bytes of commands and results that one pair may have under way: dozens of the largest lines.
pub const MOST_AHEAD: usize = 64 << 20;

/// What is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which clients send, and to which.
    pub shape: Shape,
    /// How a sender names its executor.
    pub to: To,
    /// How many sends each sender has open, 1 to 1024.
    pub window: u32,
    /// Bytes of each command, besides its first word.
    pub payload: usize,
    /// Bytes of each result.
    pub result: usize,
    /// How much is sent.
    pub amount: Amount,
    /// How long to send before anything counts.
    pub warm_up: Duration,
    /// Clients that only join, and stay until the end.
    pub idle: u32,
    /// Threads that senders and executors share.
    pub threads: usize,
}

/// Which clients send, and to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// So many senders, each with an executor of its own.
    Pairs(u32),
    /// One sender, and so many executors that execute each of its sends.
    FanOut(u32),
}

/// How a sender names its executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum To {
    /// By its name; all of a fan-out by a pattern
    #[default]
    Name,
    /// As the next below
    Next,
    /// By its rank
    Rank,
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many sends, of all senders together.
    Sends(u64),
    /// For so long.
    Time(Duration),
}

impl Shape {
    /// How many send.
    pub fn senders(self) -> u32 {
        match self {
            Shape::Pairs(pairs) => pairs,
            Shape::FanOut(_) => 1,
        }
    }

    /// How many execute each send.
    pub fn targets(self) -> u32 {
        match self {
            Shape::Pairs(_) => 1,
            Shape::FanOut(executors) => executors,
        }
    }
}

impl Plan {
    /// How many clients it needs a place for.
    pub fn clients(&self) -> u64 {
        let senders = u64::from(self.shape.senders());
        senders + senders * u64::from(self.shape.targets()) + u64::from(self.idle)
    }

    /// The most bytes that a result may have, for the server not to cut it.
    pub fn longest_result(&self) -> u64 {
        let share = MAX_OUTPUT / u64::from(self.shape.targets().max(1));
        share.clamp(MIN_OUTPUT_SHARE, MAX_OUTPUT_SHARE)
    }
}
