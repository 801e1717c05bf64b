//! Connecting with a signal in view, and waiting gently.

use crate::failure::Failure;
use client::{Backoff, Client, Code, Config, ConnectError, SharedExecutor};
use common::sys::thread;
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, select};
use std::time::Duration;

/// Tells of each SIGINT, SIGTERM and SIGHUP.
pub(crate) type Signals = Receiver<()>;

/// Signals that wait to be looked at: more of them mean the same.
const MOST_SIGNALS: usize = 4;

/// From now on signals are told here instead of ending the process.
pub(crate) fn signals() -> Result<Signals, Failure> {
    let (tell, signals) = bounded(MOST_SIGNALS);
    let handler = move || {
        let _ = tell.try_send(());
    };
    ctrlc::set_handler(handler).map_err(|e| Failure::System {
        what: "signals",
        why: e.to_string(),
    })?;
    Ok(signals)
}

/// Waits, unless a signal comes, which is the error.
pub(crate) fn wait(pause: Duration, signals: &Signals) -> Result<(), Failure> {
    match signals.recv_timeout(pause) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        _ => Err(Failure::Interrupted),
    }
}

/// What joining for the first time waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For nothing: what goes wrong is an error at once.
    No,
    /// For a place at a full server, and for a name that is taken, for instance by an earlier
    /// connection of this client that the server still believes in.
    ForPlace,
    /// For these, and for a server that is not there yet.
    ForServer,
}

/// How often a client tries again if the server turned it away in favour of others.
const MOST_TURNED_AWAY: u32 = 5;

/// Joins the server, as long as there is something to wait for, and names that on the console.
pub(crate) fn dial(
    config: &Config,
    wait_for: Wait,
    executor: &SharedExecutor,
    signals: &Signals,
    console: &Console,
) -> Result<Client, Failure> {
    let mut polls = Backoff::polling(Duration::from_secs(2));
    let mut pauses = Backoff::new();
    // The first try is made at once: no server was lost.
    pauses.reset();
    let mut noticed = String::new();
    let mut turned_away = 0;
    loop {
        let error = match dial_once(config, executor, signals) {
            Err(Failure::Connect(error)) => error,
            result => return result,
        };
        if matches!(error, ConnectError::TurnedAway { .. }) && turned_away < MOST_TURNED_AWAY {
            if turned_away == 0 {
                pauses.reset();
            }
            turned_away += 1;
            wait(pauses.next_pause(), signals)?;
            continue;
        }
        // Without a token there is nothing to wait for: a file that is wrong is told at once.
        if wait_for == Wait::No
            || matches!(error, ConnectError::NoToken(_) | ConnectError::NoTls(_))
        {
            return Err(error.into());
        }
        let is = |code| error.rpc().is_some_and(|rpc| rpc.is(code));
        let server = &config.server;
        let taken = match &config.name {
            _ if is(Code::Full) => Some(format!("{server} is full; waiting for a place")),
            Some(name) if is(Code::NameTaken) => Some(format!(
                "the name {name:?} is taken at {server}; waiting for it"
            )),
            _ => None,
        };
        if let Some(taken) = taken {
            notice(console, &mut noticed, taken);
            wait(polls.next_pause().max(error.retry_after()), signals)?;
        } else if wait_for == Wait::ForServer && !error.is_final() {
            notice(console, &mut noticed, format!("{error}; trying again"));
            wait(pauses.next_pause().max(error.retry_after()), signals)?;
        } else {
            return Err(error.into());
        }
    }
}

/// Says what it waits for, once.
fn notice(console: &Console, last: &mut String, what: String) {
    if *last != what {
        console.say(&one_line(&what));
        *last = what;
    }
}

/// A look-up or a connect that is under way cannot be ended.
fn dial_once(
    config: &Config,
    executor: &SharedExecutor,
    signals: &Signals,
) -> Result<Client, Failure> {
    let (config, executor) = (config.clone(), executor.clone());
    let dialled = beside(signals, "dial", move || Client::connect(config, executor))?;
    let panicked = || Failure::System {
        what: "the connection",
        why: "connecting panicked".into(),
    };
    Ok(dialled.ok_or_else(panicked)??)
}

/// Does what nothing can end on a thread of its own, so that a signal is heard meanwhile. After a
/// signal that thread is left behind. Returns nothing if it panics.
pub(crate) fn beside<T: Send + 'static>(
    signals: &Signals,
    name: &'static str,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, Failure> {
    let (done, acted) = bounded(1);
    let acting = thread::spawn(name, move || drop(done.send(act()))).map_err(Failure::NoThread)?;
    select! {
        recv(acted) -> result => {
            let _ = acting.join();
            Ok(result.ok())
        }
        recv(signals) -> _ => Err(Failure::Interrupted),
    }
}
