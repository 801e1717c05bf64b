//! A process that outlives this one: if this one is killed, the watchdog ends what its commands
//! leave behind.
//!
//! It is this program started anew, so it has no thread, lock or secret of this process.
//! The two share a pair of connected sockets: with one byte this process accepts the watchdog, and
//! from then on only its end closes the pair. A watchdog that was not accepted ends nothing. It has
//! a session of its own, and a parent above this process: so this process never takes it for an
//! orphan of its commands, and signals for this process's group or terminal do not reach it.
//!
//! It also has a handle to the socket of this process's connection, if the server holds its place
//! (`watch_socket`). The system resets the connections of a process that is killed with something
//! unread, which looks to the server like a network that broke, and it would wait for this client
//! to come back. So the watchdog ends the connection in its place.
//!
//! Programs themselves die with this process in any case (`PR_SET_PDEATHSIG`), unless they have
//! become another user. The watchdog finds other processes by their mark or the `PECKING_ID` in
//! their environment, and their descendants. A process that has shed both lives on.

use super::identity::ClientIdentity;
use super::proc;
use super::spawn;
use common::sys::sync::{Mutex, lock};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
};
use rustix::process::{Pid, getpid};
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
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

/// What it sends with the socket of a connection.
const SOCKET: u8 = b's';

/// How long the watchdog keeps a socket that it has ended: its last close resets the connection if
/// something is unread, and the server has read its end by then.
const LINGER: Duration = Duration::from_secs(1);

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

/// From now on the watchdog, if there is one, ends this connection if this process is killed. It knows
/// one at a time.
pub(crate) fn watch_socket(socket: &impl AsFd) {
    let watched = lock(&WATCHED).as_ref().map(UnixStream::try_clone);
    let Some(Ok(watched)) = watched else {
        return;
    };
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    if !with.push(SendAncillaryMessage::ScmRights(&sockets))
        || sendmsg(&watched, &[IoSlice::new(&[SOCKET])], &mut with, flags).is_err()
    {
        log::warn!("if this client is killed, its server may hold its place for a while");
    }
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
    if let (Some(watched), Ok(())) = (watched, spawn::detach(NAME))
        && is_accepted()
    {
        let socket = wait_for_end();
        if let Some(socket) = &socket {
            let _ = shutdown(socket, Shutdown::Write);
        }
        let ended = Instant::now();
        end_all_of(watched);
        if socket.is_some() {
            std::thread::sleep(LINGER.saturating_sub(ended.elapsed()));
        }
    }
    true
}

/// Waits until the process has accepted this watchdog, or is no more. Without a buffer: what comes
/// behind that byte may have a socket with it.
fn is_accepted() -> bool {
    let mut first = [0];
    loop {
        match rustix::io::read(io::stdin(), &mut first) {
            Err(Errno::INTR) => {}
            read => return read == Ok(1) && first == [ACCEPTED],
        }
    }
}

/// Waits until the process is no more; whatever the end looks like, it is the end. Returns the
/// socket that it had last.
fn wait_for_end() -> Option<OwnedFd> {
    let mut socket = None;
    loop {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut byte)];
        match recvmsg(io::stdin(), &mut into, &mut with, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            Ok(received) if received.bytes > 0 => {}
            _ => return socket,
        }
        for message in with.drain() {
            if let RecvAncillaryMessage::ScmRights(mut sockets) = message {
                socket = sockets.next().or(socket);
            }
        }
    }
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
