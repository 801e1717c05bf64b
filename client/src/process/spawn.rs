//! Starts a program with exactly the given arguments and environment, without a shell, without
//! descriptors of ours, in a session of its own without a terminal, and so that it ends with the
//! *thread* that called [`spawn`] (`PR_SET_PDEATHSIG`).
//!
//! The standard library would have to copy the address space: anything between fork and exec makes
//! it fork for real, which costs more than the program itself, and its exec hands a file without
//! `#!` to a shell. So this module does what the C library's `posix_spawn` does inside: the child
//! borrows our memory while the calling thread stands still (`clone(2)` with
//! `CLONE_VM | CLONE_VFORK`), on a stack of its own. It is the only module with `unsafe` in it.

#![allow(unsafe_code)]

use super::identity::Mark;
use crate::policy::Limits;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use libc::{c_char, c_int, c_void};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::{Gid, Uid};
use rustix::process::Pid;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// Bytes of the child's stack: `execve`'s wrapper, and frames of a few words each.
const CHILD_STACK: usize = 32 << 10;

/// The call that takes groups of 32 bits.
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
const SETGROUPS: libc::c_long = libc::SYS_setgroups32;
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const SETGROUPS: libc::c_long = libc::SYS_setgroups;

/// The calls that take a user and a group of 32 bits.
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
const SETRESID: [libc::c_long; 2] = [libc::SYS_setresgid32, libc::SYS_setresuid32];
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const SETRESID: [libc::c_long; 2] = [libc::SYS_setresgid, libc::SYS_setresuid];

#[derive(Debug)]
pub(crate) struct Program {
    /// The file; it is not searched for.
    pub(crate) path: CString,
    /// Its arguments, the name it is called by first.
    pub(crate) argv: Vec<CString>,
    /// Its whole environment, `NAME=value`.
    pub(crate) env: Vec<CString>,
    /// Whether its standard input is a pipe; else it is empty.
    pub(crate) takes_input: bool,
    /// Where it starts; without one, the folder of this process.
    pub(crate) cwd: Option<CString>,
    pub(crate) limits: Limits,
    /// Whether it may gain another user or capabilities, and so get out of this process's reach.
    pub(crate) may_gain_privileges: bool,
    /// The permissions that its new files do not get; those of this process, if none.
    pub(crate) umask: Option<u32>,
    /// Its supplementary groups, which only root can set; those of this process, if none.
    pub(crate) groups: Option<Vec<libc::gid_t>>,
    /// The user and the primary group that it runs as, which only root can set; those of this
    /// process, if none.
    pub(crate) user: Option<(libc::uid_t, libc::gid_t)>,
    pub(crate) mark: Mark,
}

#[derive(Debug)]
pub(crate) struct Spawned {
    /// The leader of a session and a group of the same number. Only its owner reaps it.
    pub(crate) pid: Pid,
    /// Becomes readable when it has ended.
    pub(crate) pidfd: OwnedFd,
    /// Does not block, if it takes input.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Prepare,
    Limit,
    User,
    Folder,
    Execute,
}

#[derive(Debug)]
pub(crate) struct SpawnError {
    pub(crate) step: Step,
    pub(crate) source: io::Error,
}

impl From<io::Error> for SpawnError {
    fn from(source: io::Error) -> SpawnError {
        SpawnError {
            step: Step::Prepare,
            source,
        }
    }
}

/// What the child reads, and where it says how it failed. It lives on the stack of the
/// thread that stands still meanwhile.
struct Plan<'a> {
    program: &'a Program,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    stdio: [c_int; 3],
    parent: libc::pid_t,
    step: Step,
    errno: c_int,
}

/// Starts a program with a standard input that is empty or a pipe, and two pipes.
///
/// # Errors
/// What failed, as the system said it. Nothing is left behind then.
pub(crate) fn spawn(program: &Program) -> Result<Spawned, SpawnError> {
    let (input, stdin) = match program.takes_input {
        true => input_pipe()?,
        false => (above_standard(File::open("/dev/null")?.into())?, None),
    };
    let (stdout, stdout_write) = pipe()?;
    let (stderr, stderr_write) = pipe()?;
    if let Some((user, group)) = program.user {
        // It may open its own streams anew, as `/dev/stdout`.
        let input = stdin.is_some().then_some(&input);
        for end in [&stdout_write, &stderr_write].into_iter().chain(input) {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::fs::fchown(end, Some(user), Some(group)).map_err(io::Error::from)?;
        }
    }
    let write_ends = [&stdout_write, &stderr_write].map(AsRawFd::as_raw_fd);
    let mut plan = Plan {
        program,
        argv: pointers(&program.argv),
        env: pointers(&program.env),
        stdio: [input.as_raw_fd(), write_ends[0], write_ends[1]],
        parent: rustix::process::getpid().as_raw_nonzero().get(),
        step: Step::Prepare,
        errno: 0,
    };
    let (pid, pidfd) = clone_child(&mut plan)?;
    if plan.errno != 0 {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        let source = io::Error::from_raw_os_error(plan.errno);
        return Err(SpawnError {
            step: plan.step,
            source,
        });
    }
    Ok(Spawned {
        pid,
        pidfd,
        stdin,
        stdout,
        stderr,
    })
}

/// A pipe for a stream of the program's: the end to read, and the program's end.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read, above_standard(write)?))
}

/// The program's end of a pipe for its input, and ours, which does not block.
fn input_pipe() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // Of this end alone: the program's blocks, as programs expect.
    rustix::io::ioctl_fionbio(&write, true)?;
    Ok((above_standard(read)?, Some(write)))
}

/// Moves a descriptor away from the numbers of the standard three, if this process has
/// them free: the child puts others there, and a descriptor put onto itself would be closed.
fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: c_int = libc::STDERR_FILENO + 1;
    match fd.as_raw_fd() < FIRST {
        true => Ok(rustix::io::fcntl_dupfd_cloexec(fd, FIRST)?),
        false => Ok(fd),
    }
}

/// The null-terminated array of pointers that `execve` takes.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain(std::iter::once(ptr::null())).collect()
}

/// How long a child may take to become the program of another user: it makes system calls only. A
/// file system that keeps it waiting for longer may be lost.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// Starts a child. Once it has another user, processes of that user may stop it before it is the
/// program, and with it the thread that waits here: then it is killed.
fn clone_child(plan: &mut Plan<'_>) -> io::Result<(Pid, OwnedFd)> {
    let pidfd = AtomicI32::new(NO_PIDFD);
    if plan.program.user.is_none() {
        return clone_process(plan, &pidfd);
    }
    let (begun, has_begun) = bounded(0);
    let (cloned, was_killed) = std::thread::scope(|scope| {
        let watch = || kill_if_late(&pidfd, &has_begun, BEGINS_WITHIN);
        let watch = std::thread::Builder::new()
            .name("spawn".into())
            .spawn_scoped(scope, watch)?;
        let cloned = clone_process(plan, &pidfd);
        drop(begun);
        Ok::<_, io::Error>((cloned, watch.join().unwrap_or_default()))
    })?;
    let (pid, pidfd) = cloned?;
    if was_killed {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        let why = "it was stopped before it had begun; processes of its user can do that";
        return Err(io::Error::other(why));
    }
    Ok((pid, pidfd))
}

const NO_PIDFD: c_int = -1;

/// Kills the process of a descriptor if nothing is dropped at the other end within a time; says
/// whether it did.
fn kill_if_late(pidfd: &AtomicI32, has_begun: &Receiver<()>, within: Duration) -> bool {
    if has_begun.recv_timeout(within) != Err(RecvTimeoutError::Timeout) {
        return false;
    }
    let pidfd = pidfd.load(Ordering::Acquire);
    if pidfd == NO_PIDFD {
        return false;
    }
    // SAFETY: the thread that waits for this one has the descriptor open until then.
    let pidfd = unsafe { BorrowedFd::borrow_raw(pidfd) };
    rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL).is_ok()
}

/// Runs [`child`] in a process that shares our memory, until it has become the program or
/// has failed; its number, and a descriptor of it, which `pidfd` has as soon as there is a process.
fn clone_process(plan: &mut Plan<'_>, pidfd: &AtomicI32) -> io::Result<(Pid, OwnedFd)> {
    let mut stack = Vec::<u128>::with_capacity(CHILD_STACK / size_of::<u128>());
    let mut everything = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `everything` is filled before it is read, `before` is filled by the call that
    // reads it. `stack` is aligned and as long as it says, and its end is the top of a stack
    // that grows downwards. The child gets a pointer to `plan`, which outlives it or, rather,
    // its use of our memory: with CLONE_VFORK this thread stands still until the child has
    // become another program or has ended. No handler of ours can run in the child: all
    // signals are blocked here, and the child forgets the handlers before it unblocks them.
    // `pidfd` is filled if the call succeeds, and then nothing else owns that descriptor.
    let (pid, pidfd) = unsafe {
        libc::sigfillset(everything.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, everything.as_ptr(), before.as_mut_ptr());
        let top = stack.as_mut_ptr().add(stack.capacity()).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let plan = ptr::from_mut(plan).cast();
        let pid = libc::clone(child, top, flags, plan, pidfd.as_ptr());
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        let pidfd = pidfd.load(Ordering::Acquire);
        (pid, (pidfd >= 0).then(|| OwnedFd::from_raw_fd(pidfd)))
    };
    let pid = Pid::from_raw(pid);
    let pid = pid.ok_or_else(|| io::Error::other("the system gave a process no number"))?;
    // Kernels before 5.2 do not know what was asked for, and do the rest of it.
    let pidfd = pidfd.ok_or_else(|| {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        io::Error::from(io::ErrorKind::Unsupported)
    })?;
    Ok((pid, pidfd))
}

/// What the child does: system calls only, no allocation, no lock, no panic. It never
/// returns if it succeeds.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: the pointer is that of `clone_child`. Its thread stands still, so no other
    // code looks at the plan. Every pointer in it is to memory that the caller of `spawn` holds.
    unsafe {
        let plan = &mut *plan.cast::<Plan<'_>>();
        if let Err(step) = become_program(plan) {
            plan.errno = *libc::__errno_location();
            plan.step = step;
        }
        libc::_exit(127)
    }
}

/// # Safety
/// Only in a child made by [`clone_child`].
unsafe fn become_program(plan: &Plan<'_>) -> Result<(), Step> {
    let program = plan.program;
    let check = |result: c_int, step: Step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: system calls with arguments that live as long as the plan. `action` and `none`
    // are plain data of which all zeroes is a valid value (SIG_DFL, the empty set).
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        for signal in 1..=libc::SIGRTMAX() {
            // The C library keeps two to itself; the parent of this process may still have
            // had them ignored. Of the other two that fail, the system allows no change.
            if libc::sigaction(signal, &raw const action, ptr::null_mut()) < 0 {
                let default = [0u64; 8];
                let (none, set_size) = (ptr::null_mut::<c_void>(), 8usize);
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    &raw const default,
                    none,
                    set_size,
                );
            }
        }
        // A session has no terminal until its leader opens one that no other session has. And a
        // process can join no group of another session: so neither ours nor another command's.
        check(libc::setsid(), Step::Prepare)?;
        if !program.may_gain_privileges {
            let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
            let done = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, unused, unused, unused);
            check(done, Step::Prepare)?;
        }
        for (target, source) in plan.stdio.iter().enumerate() {
            check(libc::dup2(*source, target as c_int), Step::Prepare)?;
        }
        // What is left open is closed by becoming the program. Kernels before 5.11 do not
        // know the call; all that this project opens is closed then anyway.
        libc::syscall(
            libc::SYS_close_range,
            3,
            c_int::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        if let Some(umask) = program.umask {
            libc::umask(umask);
        }
        for (resource, limit) in [
            (libc::RLIMIT_AS, program.limits.memory),
            (libc::RLIMIT_CPU, program.limits.cpu_seconds),
            (libc::RLIMIT_NOFILE, program.limits.open_files),
        ] {
            if let Some(limit) = limit {
                // With a second between the two, the program hears SIGXCPU before SIGKILL, and
                // its end says what it died of.
                let more = u64::from(resource == libc::RLIMIT_CPU);
                let limit = libc::rlimit {
                    rlim_cur: limit,
                    rlim_max: limit + more,
                };
                check(libc::setrlimit(resource, &raw const limit), Step::Limit)?;
            }
        }
        // If the parent of this process has bounded it below that, there is no mark.
        let mark = libc::rlimit {
            rlim_cur: program.mark.limit(),
            rlim_max: libc::RLIM_INFINITY,
        };
        libc::setrlimit(libc::RLIMIT_RTTIME, &raw const mark);
        become_user(program)?;
        // After the change of the user, which takes that back.
        check(
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
            Step::Prepare,
        )?;
        if libc::getppid() != plan.parent {
            // Our parent ended before it could be asked for.
            libc::_exit(127);
        }
        if let Some(cwd) = &program.cwd {
            check(libc::chdir(cwd.as_ptr()), Step::Folder)?;
        }
        let none: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(program.path.as_ptr(), plan.argv.as_ptr(), plan.env.as_ptr());
    }
    Err(Step::Execute)
}

/// Takes the groups and the user of the program, for good: the saved user as well. That comes late,
/// since from then on processes of that user may stop this one, and with it the thread that waits.
///
/// # Safety
/// Only in a child made by [`clone_child`].
unsafe fn become_user(program: &Program) -> Result<(), Step> {
    let check = |result: libc::c_long| if result < 0 { Err(Step::User) } else { Ok(()) };
    // SAFETY: system calls with numbers, and an array that lives as long as the program. The C
    // library's own calls would have the parent's threads do the same.
    unsafe {
        if let Some(groups) = &program.groups {
            check(libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()))?;
        }
        if let Some((user, group)) = program.user {
            let [setresgid, setresuid] = SETRESID;
            // With the secure bit `no-setuid-fixup` they would outlive the change of the user
            // (capabilities(7)). A system without them says so, and has none.
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_CLEAR_ALL,
                0,
                0,
                0,
            );
            check(libc::syscall(setresgid, group, group, group))?;
            check(libc::syscall(setresuid, user, user, user))?;
        }
    }
    Ok(())
}

static ADOPTS_ORPHANS: AtomicBool = AtomicBool::new(false);

/// Whether orphans of what this process starts are its own children from now on.
pub(crate) fn adopts_orphans() -> bool {
    ADOPTS_ORPHANS.load(Ordering::Relaxed)
}

/// Makes orphans of what this process starts its own children, so that they can be found.
pub(crate) fn adopt_orphans() {
    ADOPTS_ORPHANS.store(true, Ordering::Relaxed);
    notice_ends();
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        log::warn!("orphans of commands cannot be adopted: {e}");
    }
}

/// Takes back a parent's setting that has this process ignore the ends of its children
/// (SIGCHLD): the system would reap them by itself, and how they ended would be lost.
pub(crate) fn notice_ends() {
    // SAFETY: `action` is filled by the call before it is read, and SIG_DFL is always valid.
    unsafe {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        let known = libc::sigaction(libc::SIGCHLD, ptr::null(), action.as_mut_ptr()) == 0;
        if known && action.assume_init_ref().sa_sigaction == libc::SIG_IGN {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Goes on in a new process in a session of its own, with nothing of the old one but the standard
/// three descriptors, under another name and without a mark. The new process ignores the signals of
/// terminals and service managers; the old one ends with 0.
///
/// To be called while this process has one thread.
pub(crate) fn detach(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: nothing in this process has a descriptor from 3 on that it uses, as it has just
    // begun; `daemon` forks, which is safe with one thread; SIG_IGN is always valid, `name`
    // outlives the call that reads it, and `limit` is plain data.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, c_int::MAX, 0);
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        // Another client may have executed this one's client, and then the mark is of that. What
        // has it is ended with that.
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit);
        }
        // Last, as this process ends at once, and the new one has all of the above from it.
        let (to_root, keep_standard) = (0, 1);
        if libc::daemon(to_root, keep_standard) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{PidfdFlags, Signal};

    #[test]
    fn a_stopped_child_that_does_not_begin_is_killed() {
        let mut sleep = std::process::Command::new("/bin/sleep");
        let mut child = sleep.arg("1000").spawn().expect("a program");
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).expect("a process");
        rustix::process::kill_process(pid, Signal::STOP).expect("it is ours");
        let (begun, has_begun) = bounded::<()>(0);
        let number = AtomicI32::new(pidfd.as_raw_fd());
        assert!(kill_if_late(&number, &has_begun, Duration::from_millis(10)));
        assert!(!child.wait().expect("it ends").success());
        drop(begun);
        assert!(
            !kill_if_late(&number, &has_begun, Duration::from_secs(60)),
            "it had begun"
        );
    }
}
