//! A process that outlives this one: if this one is killed, the watchdog ends what its commands
//! leave behind.
//!
//! It is this program started anew, so it has no thread, socket, lock or secret of this process.
//! The two share a pair of connected sockets: with one byte this process accepts the watchdog, and
//! from then on only its end closes the pair. A watchdog that was not accepted ends nothing. It has
//! a session of its own, and a parent above this process: so this process never takes it for an
//! orphan of its commands, and signals for this process's group or terminal do not reach it.
//!
//! Programs themselves die with this process in any case (`PR_SET_PDEATHSIG`), unless they have
//! become another user. The watchdog finds other processes by their mark or the `PECKING_ID` in
//! their environment, and their descendants. A process that has shed both lives on.

use super::identity::ClientIdentity;
use super::proc;
use super::spawn;
use common::sys::sync::{Mutex, lock};
use rustix::process::{Pid, getpid};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The name that a watchdog is called by, in place of the program's.
const NAME: &str = "pecking-watch";

/// This program, also if its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long starting it may take: many times what a busy machine needs.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// How long what was killed may take to be gone: what takes longer is not the watchdog's to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before looking again, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// How many scans must find nothing: a process that forks may be missed once.
const EMPTY_LOOKS: u32 = 2;

/// What this process sends to accept its watchdog.
const ACCEPTED: u8 = b'+';

/// Our end of what the watchdog waits at. It stays open as long as this process lives.
static WATCHED: Mutex<Option<UnixStream>> = Mutex::new(None);

/// Starts a watchdog for this process, once, before its first [`Processes`](crate::Processes). The
/// program's `main` has to begin with [`serve_if_asked`].
///
/// # Errors
/// It could not be started, or [`Processes`](crate::Processes) were there before.
pub fn start() -> io::Result<()> {
    if lock(&WATCHED).is_some() {
        return Ok(());
    }
    if getpid() == Pid::INIT {
        // With the first process of a container the system ends all others in it; and what
        // detaches itself becomes that one's child again.
        return Ok(());
    }
    if spawn::adopts_orphans() {
        let why = "a watchdog has to be started before there is anything that starts programs";
        return Err(io::Error::other(why));
    }
    spawn::notice_ends();
    let (mut here, there) = UnixStream::pair()?;
    let mut starting = Command::new(THIS_PROGRAM)
        .arg0(NAME)
        .arg(ClientIdentity::own().to_string())
        .env_clear()
        .stdin(OwnedFd::from(there))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_for_start(&mut starting)?;
    here.write_all(&[ACCEPTED])?;
    *lock(&WATCHED) = Some(here);
    Ok(())
}

/// Waits until the process has ended that was started: it leaves the watchdog behind.
fn wait_for_start(starting: &mut Child) -> io::Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match starting.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("a watchdog ended: {status}"))),
            None if Instant::now() < deadline => std::thread::sleep(PAUSES[0]),
            None => {
                starting.kill()?;
                starting.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// If this process was started to be a watchdog, does what one does, and says so once that is
/// done: there is nothing left to do for `main` then. It has to be called before anything else.
#[must_use]
pub fn serve_if_asked() -> bool {
    let mut words = std::env::args();
    if words.next().as_deref() != Some(NAME) {
        return false;
    }
    let watched = words.next().and_then(|word| ClientIdentity::parse(&word));
    if let (Some(watched), Ok(())) = (watched, spawn::detach(NAME)) {
        let mut first = [0];
        if io::stdin().read_exact(&mut first).is_ok() && first == [ACCEPTED] {
            // No other byte follows; whatever the end looks like, it is the end.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            end_all_of(watched);
        }
    }
    true
}

/// Ends what the commands of a process have started that is no more.
fn end_all_of(watched: ClientIdentity) {
    let deadline = Instant::now() + PATIENCE;
    let [mut pause, longest] = PAUSES;
    let mut empty_looks = 0;
    while empty_looks < EMPTY_LOOKS && Instant::now() < deadline {
        empty_looks = if end_some_of(watched) {
            0
        } else {
            empty_looks + 1
        };
        std::thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// Kills what is left of the commands of a process; says whether there was anything.
fn end_some_of(watched: ClientIdentity) -> bool {
    let is_marked = |pid| proc::mark(pid).is_some_and(|mark| mark.is_of(watched));
    let is_named = |pid| watched.is_in(&proc::environment(pid));
    let mut found = false;
    // The newest first, and each at once: what forks and ends all the time is gone a moment later.
    for pid in proc::all().into_iter().rev() {
        let Some(stat) = proc::stat(pid).filter(|stat| !stat.is_dead) else {
            continue;
        };
        if is_marked(pid) || is_named(pid) {
            found = true;
            for process in stat.process.tree() {
                process.kill();
            }
        }
    }
    found
}
