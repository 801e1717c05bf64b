//! One command of a policy: what its entry of the file has become.

use super::pattern::Pattern;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a policy says about one command.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) run: Vec<String>,
    pub(super) args: Vec<Pattern>,
    pub(super) rest: Option<Pattern>,
    pub(super) timeout: Option<Duration>,
    pub(super) max_output: Option<u64>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) slots: Option<u32>,
    pub(super) limits: Limits,
    pub(super) setuid: bool,
    pub(super) umask: Option<u32>,
    pub(super) groups: Option<Vec<Group>>,
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

impl Command {
    /// The program, by its absolute path, and the words that always follow.
    pub fn run(&self) -> &[String] {
        &self.run
    }

    /// What each further word must match, one after the other.
    pub fn args(&self) -> &[Pattern] {
        &self.args
    }

    /// What each word after [`Command::args`] must match; without it there is none.
    pub fn rest(&self) -> Option<&Pattern> {
        self.rest.as_ref()
    }

    /// How long a run may take, whatever its sender allows.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How many bytes of its output leave this machine, whatever its sender asks for.
    pub fn max_output(&self) -> Option<u64> {
        self.max_output
    }

    /// Where it runs.
    pub fn cwd(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// What its environment has besides what every run has.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// How many of it may run at once, within the client's own slots.
    pub fn slots(&self) -> Option<u32> {
        self.slots
    }

    /// The permissions that its new files do not get, if the entry says which.
    pub fn umask(&self) -> Option<u32> {
        self.umask
    }

    /// Its supplementary groups, if the entry says which.
    pub fn groups(&self) -> Option<&[Group]> {
        self.groups.as_deref()
    }

    /// What a run may use of the machine.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether a run may become another user or gain capabilities by what it executes, as `sudo`
    /// does: programs with the set-user-ID bit, the set-group-ID bit or capabilities of their own.
    pub fn setuid(&self) -> bool {
        self.setuid
    }
}
