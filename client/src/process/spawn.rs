//! Starts a program the way a careful machine wants it started: exactly the arguments and
//! the environment it was given, no shell whatever the file looks like, no descriptor of
//! ours, a session of its own without a terminal, and an end with ours.
//!
//! The standard library cannot do that in one step without copying the address space:
//! anything between fork and exec makes it fork for real, which costs more than the program
//! itself, and its exec hands a file without `#!` to a shell. So this module does what the C
//! library's `posix_spawn` does inside: a child that borrows our memory while the calling
//! thread stands still (`clone(2)` with `CLONE_VM | CLONE_VFORK`), on a stack of its own. It
//! is the only module with `unsafe` in it, and holds nothing else.
//!
//! The child dies with the *thread* that called [`spawn`] (`PR_SET_PDEATHSIG`), so that has
//! to be one that stays.

#![allow(unsafe_code)]

use super::identity::Mark;
use crate::policy::Limits;
use libc::{c_char, c_int, c_void};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::process::Pid;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the child's stack: the deepest call is `execve`'s wrapper, and the frames here
/// hold a few words each.
const CHILD_STACK: usize = 32 << 10;

/// The call that takes groups of 32 bits.
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
const SETGROUPS: libc::c_long = libc::SYS_setgroups32;
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const SETGROUPS: libc::c_long = libc::SYS_setgroups;

/// A program to start.
#[derive(Debug)]
pub(crate) struct Program {
    /// The file; it is not searched for.
    pub(crate) path: CString,
    /// Its arguments, the name it is called by first.
    pub(crate) argv: Vec<CString>,
    /// Its whole environment, `NAME=value`.
    pub(crate) env: Vec<CString>,
    /// Where it starts; where this process is, if nowhere.
    pub(crate) cwd: Option<CString>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// Whether what it executes may give it another user or capabilities. It may then get out of
    /// this process's reach.
    pub(crate) may_gain_privileges: bool,
    /// The permissions that its new files do not get; those of this process, if none.
    pub(crate) umask: Option<u32>,
    /// Its supplementary groups, which only root can set; those of this process, if none.
    pub(crate) groups: Option<Vec<libc::gid_t>>,
    /// By what its descendants are known.
    pub(crate) mark: Mark,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its process, which leads a session and a group of the same number. Its owner alone
    /// reaps it.
    pub(crate) pid: Pid,
    /// Becomes readable when it has ended.
    pub(crate) pidfd: OwnedFd,
    /// What it writes.
    pub(crate) stdout: OwnedFd,
    /// What it writes as errors.
    pub(crate) stderr: OwnedFd,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Preparing pipes, or getting a process.
    Prepare,
    /// Setting a limit.
    Limit,
    /// Going to its folder.
    Folder,
    /// Becoming the program.
    Execute,
}

/// Why a program could not be started.
#[derive(Debug)]
pub(crate) struct SpawnError {
    /// What failed.
    pub(crate) step: Step,
    /// How.
    pub(crate) source: io::Error,
}

/// What the child reads, and where it says how it failed. It lives on the stack of the
/// thread that stands still meanwhile.
struct Plan {
    path: *const c_char,
    argv: *const *const c_char,
    env: *const *const c_char,
    cwd: *const c_char,
    stdio: [c_int; 3],
    limits: [(libc::__rlimit_resource_t, Option<u64>); 3],
    may_gain_privileges: bool,
    umask: Option<libc::mode_t>,
    groups: Option<(usize, *const libc::gid_t)>,
    mark: libc::rlimit,
    parent: libc::pid_t,
    step: Step,
    errno: c_int,
}

/// Starts a program with an empty standard input and two pipes.
///
/// # Errors
/// What failed, as the system said it. Nothing is left behind then.
pub(crate) fn spawn(program: &Program) -> Result<Spawned, SpawnError> {
    let prepare = |source: io::Error| SpawnError {
        step: Step::Prepare,
        source,
    };
    let pipe =
        || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| prepare(e.into()));
    let null = null().map_err(prepare)?;
    let (stdout, stdout_write) = pipe()?;
    let stdout_write = above_standard(stdout_write).map_err(prepare)?;
    let (stderr, stderr_write) = pipe()?;
    let stderr_write = above_standard(stderr_write).map_err(prepare)?;
    let argv = pointers(&program.argv);
    let env = pointers(&program.env);
    let mut plan = Plan {
        path: program.path.as_ptr(),
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        cwd: program.cwd.as_ref().map_or(ptr::null(), |cwd| cwd.as_ptr()),
        stdio: [
            null.as_raw_fd(),
            stdout_write.as_raw_fd(),
            stderr_write.as_raw_fd(),
        ],
        limits: [
            (libc::RLIMIT_AS, program.limits.memory),
            (libc::RLIMIT_CPU, program.limits.cpu_seconds),
            (libc::RLIMIT_NOFILE, program.limits.open_files),
        ],
        may_gain_privileges: program.may_gain_privileges,
        umask: program.umask,
        groups: program
            .groups
            .as_ref()
            .map(|groups| (groups.len(), groups.as_ptr())),
        mark: libc::rlimit {
            rlim_cur: program.mark.limit(),
            rlim_max: libc::RLIM_INFINITY,
        },
        parent: rustix::process::getpid().as_raw_nonzero().get(),
        step: Step::Prepare,
        errno: 0,
    };
    let (pid, pidfd) = clone_child(&mut plan).map_err(prepare)?;
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
        stdout,
        stderr,
    })
}

/// What every program reads: nothing. It is opened once, and stays.
fn null() -> io::Result<&'static OwnedFd> {
    static NULL: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(null) = NULL.get() {
        return Ok(null);
    }
    let null = above_standard(File::open("/dev/null")?.into())?;
    Ok(NULL.get_or_init(|| null))
}

/// Moves a descriptor away from the numbers of the standard three, where this process has
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

/// Runs [`child`] in a process that shares our memory, until it has become the program or
/// has failed; its number, and a descriptor of it.
fn clone_child(plan: &mut Plan) -> io::Result<(Pid, OwnedFd)> {
    let mut stack = Vec::<u128>::with_capacity(CHILD_STACK / size_of::<u128>());
    let mut everything = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `everything` is filled before it is read, `before` is filled by the call that
    // reads it. `stack` is aligned and as long as it says, and its end is the top of a stack
    // that grows downwards. The child gets a pointer to `plan`, which outlives it or, rather,
    // its use of our memory: with CLONE_VFORK this thread stands still until the child has
    // become another program or has ended. No handler of ours can run in the child: all
    // signals are blocked here, and the child forgets the handlers before it unblocks them.
    // `pidfd` is filled where the call succeeds, and then nobody else has that descriptor.
    let (pid, pidfd) = unsafe {
        libc::sigfillset(everything.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, everything.as_ptr(), before.as_mut_ptr());
        let top = stack.as_mut_ptr().add(stack.capacity()).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let (plan, mut pidfd) = (ptr::from_mut(plan).cast(), -1);
        let pid = libc::clone(child, top, flags, plan, &raw mut pidfd);
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
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
/// returns where it succeeds.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: the pointer is that of `clone_child`, whose thread stands still, so nobody else
    // looks at the plan. Every pointer in it is to memory that the caller of `spawn` holds.
    unsafe {
        let plan = &mut *plan.cast::<Plan>();
        if let Err(step) = become_program(plan) {
            plan.errno = *libc::__errno_location();
            plan.step = step;
        }
        libc::_exit(127)
    }
}

/// # Safety
/// Only in a child made by [`clone_child`].
unsafe fn become_program(plan: &Plan) -> Result<(), Step> {
    let check = |result: c_int, step: Step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: system calls with arguments that live as long as the plan. `action` and `none`
    // are plain data of which all zeroes is a valid value (SIG_DFL, the empty set).
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        for signal in 1..=libc::SIGRTMAX() {
            // The C library keeps two to itself; whoever started this process may still have
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
        check(
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
            Step::Prepare,
        )?;
        if !plan.may_gain_privileges {
            let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
            let done = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, unused, unused, unused);
            check(done, Step::Prepare)?;
        }
        if libc::getppid() != plan.parent {
            // Our parent ended before it could be asked for.
            libc::_exit(127);
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
        if let Some(umask) = plan.umask {
            libc::umask(umask);
        }
        if let Some((number, groups)) = plan.groups {
            // The C library would have the parent's threads do the same.
            let result = libc::syscall(SETGROUPS, number, groups);
            check(if result < 0 { -1 } else { 0 }, Step::Prepare)?;
        }
        if !plan.cwd.is_null() {
            check(libc::chdir(plan.cwd), Step::Folder)?;
        }
        for (resource, limit) in plan.limits {
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
        // Where whoever started this process has bounded it below that, there is no mark.
        libc::setrlimit(libc::RLIMIT_RTTIME, &raw const plan.mark);
        let none: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(plan.path, plan.argv, plan.env);
    }
    Err(Step::Execute)
}

/// Whether orphans of what this process starts are its own children.
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

/// Leaves everything behind that this process was started with, but for the standard three
/// descriptors: goes on in a new process in a session of its own, under another name and without
/// a mark, that ends by no signal that a terminal or a service manager sends. The process that
/// called this ends with 0 once that is so.
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
