//! Connecting with a signal in view, and waiting gently.

use crate::failure::Failure;
use client::{Client, Code, Config, ConnectError, SharedExecutor};
use common::thread;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, select};
use std::time::Duration;

/// Tells of each SIGINT, SIGTERM and SIGHUP.
pub(crate) type Signals = Receiver<()>;

/// Signals that wait to be looked at: who sends more means the same.
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

/// Ever longer pauses.
pub(crate) struct BackOff {
    next: Duration,
    longest: Duration,
}

impl BackOff {
    /// Pauses from the first to the longest.
    pub(crate) fn new(first: Duration, longest: Duration) -> BackOff {
        BackOff {
            next: first,
            longest,
        }
    }

    /// Waits one pause; an error is a signal.
    pub(crate) fn wait(&mut self, signals: &Signals) -> Result<(), Failure> {
        let pause = self.next;
        self.next = (pause * 3 / 2).min(self.longest);
        match signals.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Failure::Interrupted),
        }
    }
}

/// Joins the server; with `wait`, for as long as it is full.
pub(crate) fn dial(
    config: &Config,
    wait: bool,
    executor: &SharedExecutor,
    signals: &Signals,
) -> Result<Client, Failure> {
    let mut pauses = BackOff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut is_noticed = false;
    loop {
        match dial_once(config, executor, signals) {
            Err(Failure::Connect { error }) if wait && is_full(&error) => {
                if !is_noticed {
                    eprintln!("{} is full; waiting for a place", config.server);
                    is_noticed = true;
                }
                pauses.wait(signals)?;
            }
            result => return result,
        }
    }
}

fn is_full(error: &ConnectError) -> bool {
    error.rpc().is_some_and(|rpc| rpc.is(Code::Full))
}

/// Connects on a thread of its own, so that a signal is heard meanwhile. After a signal
/// that thread is left behind: nobody can end a look-up or a connect that is under way.
fn dial_once(
    config: &Config,
    executor: &SharedExecutor,
    signals: &Signals,
) -> Result<Client, Failure> {
    let (done, dialled) = bounded(1);
    let (config, executor) = (config.clone(), executor.clone());
    let dialling = thread::spawn("dial", move || {
        let _ = done.send(Client::connect(config, executor));
    });
    let dialling = dialling.map_err(Failure::NoThread)?;
    select! {
        recv(dialled) -> result => {
            let _ = dialling.join();
            let panicked = |_| Failure::System {
                what: "the connection",
                why: "connecting panicked".into(),
            };
            Ok(result.map_err(panicked)??)
        }
        recv(signals) -> _ => Err(Failure::Interrupted),
    }
}
