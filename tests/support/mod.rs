//! What the end-to-end tests share: the real server as a process ([`Server`]), a client
//! of bare lines that shares no code with the project ([`Raw`]), and one that reads
//! nothing it is not made to read ([`Still`]).
//!
//! Every wait has an absolute deadline and panics with what it waited for and what had
//! come instead. Nothing here sleeps for a fixed time to wait for an event.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses its own part of this"
)]

pub(crate) mod auth;
mod built;
mod dial;
pub(crate) mod dialled;
mod full_pipe;
pub(crate) mod held;
mod nested_build;
pub(crate) mod pki;
mod printed;
pub(crate) mod programs;
pub(crate) mod proxy;
mod raw;
mod reader;
mod server;
mod skipped;
mod still;
pub(crate) mod terminal;
pub(crate) mod tunnel;
mod vitals;
pub(crate) mod watched;

use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use built::server_program;
pub(crate) use dial::{dial, dial_from, dial_plain, dial_plain_from, try_dial};
pub(crate) use full_pipe::full_pipe;
pub(crate) use raw::{Execute, Raw};
pub(crate) use reader::checked;
pub(crate) use server::Server;
pub(crate) use skipped::skipped;
pub(crate) use still::{Still, Way};
pub(crate) use vitals::{Pairs, Vitals};

/// How long a test waits for anything that ought to come at once: far more than a
/// loaded machine needs, and short enough that a hanging test is soon known.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Held by a test that floods the machine, or that has figures of time or memory, which mean little beside such
/// a test: these run one after another. Other tests run beside them.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is left until a deadline, for calls that take a duration; never zero, which
/// several of them refuse.
pub(crate) fn left(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// Whether something is so at least two times of three. For figures of time: a busy machine may
/// spoil one try, and what is slow for a reason of its own spoils more.
pub(crate) fn is_mostly(mut is_so: impl FnMut() -> bool) -> bool {
    let (first, second) = (is_so(), is_so());
    match first == second {
        true => first,
        false => is_so(),
    }
}

/// A text for a panic message, cut where it would drown the rest.
pub(crate) fn abbreviated(text: &str) -> String {
    const MOST: usize = 300;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start}… ({} bytes)", text.len())
}

/// Whether the programs are built as users have them, on which a promise's figures stand;
/// what is built for debugging gets several times as much.
pub(crate) const IS_RELEASE: bool = !cfg!(debug_assertions);

/// A figure of the release build as a test can hold it: ten times as much for a debug build, which
/// is slower, and runs on machines that do other work as well. What misses a promise for
/// a reason of its own misses it by more.
pub(crate) fn loosely(figure: Duration) -> Duration {
    figure * if IS_RELEASE { 1 } else { 10 }
}

/// Whether something took no less time than the server waits: its clock counts whole milliseconds.
pub(crate) fn took_at_least(took: Duration, least: Duration) -> bool {
    took + Duration::from_millis(1) >= least
}

/// Clients that joined one after another, so that their ranks are their places here.
#[track_caller]
pub(crate) fn ranked<const N: usize>(server: &Server, cast: [(&str, u32); N]) -> [Raw; N] {
    cast.map(|(name, slots)| Raw::join(server, name, slots))
}

/// A server, a sender that executes nothing, and one executor.
pub(crate) fn pair(slots: u32) -> (Server, Raw, Raw) {
    let server = Server::start(9, &[]);
    let [boss, worker] = ranked(&server, [("boss", 0), ("worker", slots)]);
    (server, boss, worker)
}

/// The outcome at a target, without how long it took.
pub(crate) fn outcome(target: &Raw, rank: u64, rest: &Value) -> Value {
    let mut outcome = target.identity(rank);
    for (member, value) in rest.as_object().expect("an object") {
        outcome[member] = value.clone();
    }
    outcome
}

/// Takes `elapsed_ms` out of an outcome.
pub(crate) fn without_time(mut outcome: Value) -> Value {
    let members = outcome.as_object_mut().expect("an outcome is an object");
    members.remove("elapsed_ms");
    outcome
}

/// The ranking as `members` tells it: names in rank order.
#[track_caller]
pub(crate) fn ranking(observer: &mut Raw) -> Vec<String> {
    let result = observer.result("members", &json!({}));
    let members = result["members"].as_array().expect("a list");
    for (rank, member) in members.iter().enumerate() {
        assert_eq!(member["rank"], rank, "ranks have no gaps: {result}");
    }
    assert_eq!(result["total"], members.len(), "{result}");
    let name = |member: &Value| member["name"].as_str().expect("a name").to_owned();
    members.iter().map(name).collect()
}

/// Lets this process, and the servers it starts from now on, have as many sockets as the
/// system allows: some allow no more than a thousand unless they are asked.
pub(crate) fn allow_many_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    // Where even that is refused, the test that needs them says what it could not open.
    let _ = setrlimit(Resource::Nofile, most);
}

/// Writes a file that only its owner can read.
#[track_caller]
pub(crate) fn write_secret(file: impl AsRef<std::path::Path>, text: impl AsRef<[u8]>) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::write(&file, text).expect("the folder can be written");
    std::fs::set_permissions(&file, mode).expect("its mode can be changed");
}

/// Puts a file in the place of one that may be there, as an editor does.
#[track_caller]
pub(crate) fn put_file(file: &std::path::Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(&new, file).expect("a rename");
}

/// Sets the mode of a file or a folder.
pub(crate) fn set_mode(path: impl AsRef<std::path::Path>, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("its owner may");
}
