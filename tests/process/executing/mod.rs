//! What the tests of real programs share: a server in this process ([`Relay`]), the client's
//! own program as an executor ([`Worker`]) and as a sender ([`client`]), and a sender of bare
//! lines ([`Boss`]).
//!
//! Every wait has an absolute deadline. All that was started is ended and reaped on drop.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses its own part of this"
)]

mod boss;
mod captured;
mod look;
mod program;

use crate::support::{Raw, dial, set_mode};
use server::Running;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) use boss::{Boss, Ran};
pub(crate) use captured::Captured;
pub(crate) use look::{children, eventually, has_gone, pids, wait_until_gone};
pub(crate) use program::{Finished, Program, Worker, client, client_for, start_client};

/// How long a test waits for what ought to come at once, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// From the end of a command's time to its outcome, however stubborn it is.
pub(crate) const STUBBORN: Duration = Duration::from_secs(6);

/// What a busy machine may add to a time that is promised: less than the 2 s for which output is
/// drained, and less than half of the 5 s between SIGTERM and SIGKILL.
pub(crate) const JITTER: Duration = Duration::from_millis(1900);

/// A server in this process.
pub(crate) struct Relay {
    running: Running,
}

impl Relay {
    pub(crate) fn start() -> Relay {
        Relay::start_with(None)
    }

    /// One that asks for a token.
    pub(crate) fn start_with(token: Option<&str>) -> Relay {
        Relay::with(server::Config {
            token: token.map(Into::into),
            ..server::Config::default()
        })
    }

    /// One that holds no place for a client whose connection breaks.
    pub(crate) fn start_without_hold() -> Relay {
        Relay::with(server::Config {
            hold: Duration::ZERO,
            ..server::Config::default()
        })
    }

    fn with(config: server::Config) -> Relay {
        let config = server::Config {
            listen: "127.0.0.1:0".into(),
            max_clients: 64,
            drain: Duration::from_millis(100),
            heartbeat: Duration::from_secs(30),
            ..config
        };
        let running = server::Server::bind(config).and_then(server::Server::spawn);
        Relay {
            running: running.expect("loopback has a free port"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// A sender of bare lines, which ranks above all that join later.
    #[track_caller]
    pub(crate) fn boss(&self) -> Boss {
        Boss::new(self.raw("boss", 0))
    }

    /// A client of bare lines.
    #[track_caller]
    pub(crate) fn raw(&self, name: &str, slots: u32) -> Raw {
        let mut raw = Raw::over(dial(self.address()), true);
        raw.join_as(name, slots);
        raw
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> usize {
        self.running.handle().clients()
    }

    /// Drops every connection at once, as a machine does that loses its power.
    pub(crate) fn abort(&self) {
        self.running.handle().abort();
    }
}

/// A server, a sender that ranks first, and an executor that runs anything.
#[track_caller]
pub(crate) fn anything(slots: u32) -> (Relay, Boss, Worker) {
    let relay = Relay::start();
    let boss = relay.boss();
    let slots = slots.to_string();
    let worker = Worker::start(&relay, &["--allow-any", "--allow-root", "--slots", &slots]);
    (relay, boss, worker)
}

/// A server, a sender that ranks first, and an executor with a policy.
#[track_caller]
pub(crate) fn by_policy(slots: u32, policy: &str) -> (Relay, Boss, Worker, Folder) {
    let relay = Relay::start();
    let boss = relay.boss();
    let folder = Folder::new();
    let policy = folder.file("policy.toml", policy, 0o600);
    let policy = policy.to_str().expect("a plain path");
    let slots = slots.to_string();
    let worker = Worker::start(&relay, &["--policy", policy, "--slots", &slots]);
    (relay, boss, worker, folder)
}

/// Held while a file is written that will be executed, and while a program is started: a
/// child that has not yet become its program holds what we have open, and the system
/// executes no file that is open for writing.
static NO_BUSY_TEXT: Mutex<()> = Mutex::new(());

pub(crate) fn no_busy_text() -> MutexGuard<'static, ()> {
    NO_BUSY_TEXT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of a test's own, gone when it is dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of something in it, as a word.
    pub(crate) fn word(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("plain").to_owned()
    }

    /// Writes a file with a mode.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let _guard = no_busy_text();
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        set_mode(&path, mode);
        path
    }
}

/// The client's program with an environment that says nothing unexpected.
pub(crate) fn client_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pecking"));
    command.env_remove("RUST_LOG").env_remove("PECKING_SERVER");
    command
}

/// The client's program for a user that is not root: where the tests are root's, a copy in a
/// folder that all users may enter from now on, for a user that owns nothing.
pub(crate) fn ordinary_client(folder: &Folder) -> Command {
    use std::os::unix::process::CommandExt;
    const ORDINARY: u32 = 12345;
    if !rustix::process::geteuid().is_root() {
        return client_command();
    }
    set_mode(folder.path(), 0o755);
    let program = folder.path().join("client");
    if !program.exists() {
        let _guard = no_busy_text();
        std::fs::copy(env!("CARGO_BIN_EXE_pecking"), &program).expect("the program can be copied");
    }
    let mut command = Command::new(&program);
    command.env_remove("RUST_LOG").env_remove("PECKING_SERVER");
    command.uid(ORDINARY).gid(ORDINARY).current_dir("/");
    command
}

/// What is left until a deadline; never zero.
pub(crate) fn left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}
