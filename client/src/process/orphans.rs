//! What a command leaves behind: processes of its group, and those that left the group but
//! are known by the `PECKING_ID` in their environment. None of them survives the command.
//!
//! This process is the subreaper of all that its commands start (`prctl(2)`,
//! `PR_SET_CHILD_SUBREAPER`), so who loses his parent becomes a child of ours, namely of our
//! first thread; commands themselves are children of the threads that started them. So an
//! orphan is told from a command by where it stands in `/proc`.

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process_group, pidfd_open,
    pidfd_send_signal, test_kill_process_group, waitpid,
};
use std::fs;
use std::time::{Duration, Instant};

/// The variable by which an orphan is known to belong to one run of one command.
pub(crate) const ID_VARIABLE: &str = "PECKING_ID";

/// How long what was killed may take to be gone. A process that takes longer is in the hands
/// of the kernel; it is reaped when it ends.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long to wait before looking again whether those are gone that were killed.
const PAUSE: Duration = Duration::from_millis(1);

/// Kills what is left of a command: its group, whose first process was reaped already or is
/// about to be, and its orphans. `may_be_reused` says that the group's number may belong to
/// somebody else by now, so it is looked at more closely.
pub(crate) fn end(group: Pid, id: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let in_group = kill_group(group);
        let orphans = kill_orphans(id);
        if !in_group && !orphans {
            return;
        }
        if Instant::now() >= deadline {
            log::warn!("some of what a command started cannot be ended (group {group})");
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Kills a group whose leader was reaped; says whether there was anybody in it.
///
/// As long as somebody is in the group its number is not given again, so a process of that
/// number is a stranger, and then the group is not ours any more.
fn kill_group(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() || pidfd_open(group, PidfdFlags::empty()).is_ok() {
        return false;
    }
    kill_process_group(group, Signal::KILL).is_ok()
}

/// Kills and reaps orphans of a command; says whether there were any. Orphans of other
/// commands that have ended by themselves are reaped on the way.
fn kill_orphans(id: &str) -> bool {
    let mut found = false;
    for orphan in orphans() {
        if matches!(
            waitpid(Some(orphan), WaitOptions::NOHANG),
            Ok(Some(_)) | Err(Errno::CHILD)
        ) {
            continue;
        }
        // It is our child and not reaped, so its number cannot be another's meanwhile.
        if belongs_to(orphan, id)
            && let Ok(process) = pidfd_open(orphan, PidfdFlags::empty())
        {
            found = true;
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
    found
}

/// Reaps orphans that have ended; says whether there are others.
pub(crate) fn reap() -> bool {
    let mut alive = false;
    for orphan in orphans() {
        alive |= matches!(waitpid(Some(orphan), WaitOptions::NOHANG), Ok(None));
    }
    alive
}

/// The children of our first thread.
fn orphans() -> Vec<Pid> {
    let me = getpid();
    let children = fs::read_to_string(format!("/proc/self/task/{me}/children"));
    let children = children.unwrap_or_default();
    let numbers = children
        .split_whitespace()
        .filter_map(|number| number.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}

fn belongs_to(process: Pid, id: &str) -> bool {
    let wanted = format!("{ID_VARIABLE}={id}");
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == wanted.as_bytes())
}
