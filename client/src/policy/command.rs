//! One command of a policy: what its entry of the file has become.

use super::pattern::Pattern;
use super::senders::Senders;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a policy says about one command.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program, by its absolute path, and the words that always follow.
    pub run: Vec<String>,
    /// What each further word must match, one after the other.
    pub args: Vec<Pattern>,
    /// What each word after `args` must match; without it there is none.
    pub rest: Option<Pattern>,
    /// The senders that may run it; without this, every sender that ranks above the client.
    pub from: Option<Senders>,
    /// How a run starts, and its bounds.
    pub settings: Settings,
}

/// How a run of a command starts, and its bounds; `None` leaves that to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether it takes its standard input from the sender, and never runs without; else that is empty.
    pub stdin: bool,
    /// How long a run may take, whatever its sender allows.
    pub timeout: Option<Duration>,
    /// How many bytes of its output leave this machine, whatever its sender asks for.
    pub max_output: Option<u64>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// What its environment has besides what every run has.
    pub env: BTreeMap<String, String>,
    /// How many runs of the command there may be at once, within the client's own slots.
    pub slots: Option<u32>,
    /// What it may use of the machine.
    pub limits: Limits,
    /// Whether it may become another user or gain capabilities by what it executes, as `sudo`
    /// does: programs with the set-user-ID bit, the set-group-ID bit or capabilities of their own.
    pub setuid: bool,
    /// The user that it runs as, if that is not the client's own.
    pub user: Option<User>,
    /// The permissions that its new files do not get.
    pub umask: Option<u32>,
    /// Its supplementary groups, if they are not those of its user.
    pub groups: Option<Vec<Group>>,
}

/// A user of this machine, as the system knew it when the policy was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// The number of its primary group.
    pub group: u32,
    /// The numbers of all groups that it is in.
    pub groups: Vec<u32>,
    /// Its home folder.
    pub home: PathBuf,
}

/// A group of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As the policy names it.
    pub name: String,
    /// Its number.
    pub id: u32,
}

/// What a run of a command may use of the machine; `None` is as much as the client may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its address space (`RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Seconds of processor time (`RLIMIT_CPU`).
    pub cpu_seconds: Option<u64>,
    /// Descriptors it may have open (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
}
