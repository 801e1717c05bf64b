//! `client run`: sends one command, prints what it writes, and ends with a code that says
//! how it went.

use crate::cli::Run;
use crate::dial::{BackOff, Signals};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::relay::Relay;
use crate::render;
use client::{Client, Code, RequestError, SendEvent, Sent};
use crossbeam_channel::select;
use std::io::{self, ErrorKind, Stderr, Stdout};
use std::time::Duration;

/// Waits for executors, sends, and prints until the command has ended everywhere.
pub(crate) fn run(client: Client, run: &Run, signals: &Signals) -> Result<Exit, Failure> {
    if let Some(wanted) = run.wait_for {
        wait_for_executors(&client, wanted, signals)?;
    }
    let sent = client.send(run.command())?;
    let mut relay = Relay::to_own_streams();
    match follow(&client, &sent, &mut relay, signals) {
        Followed::ToTheEnd(exit) => {
            client.leave();
            Ok(exit)
        }
        // Nobody reads what comes: leaving takes the command along.
        Followed::UntilOutputFailed(e) => {
            client.leave();
            match e.kind() {
                ErrorKind::BrokenPipe => Ok(relay.exit()),
                _ => Err(Failure::Output(e)),
            }
        }
        Followed::UntilTwoSignals => {
            // Leaving waits for the server a moment; the end of the process does not.
            std::mem::forget(client);
            Ok(Exit::Interrupted)
        }
    }
}

/// How following a command has ended.
enum Followed {
    ToTheEnd(Exit),
    UntilOutputFailed(io::Error),
    UntilTwoSignals,
}

fn follow(
    client: &Client,
    sent: &Sent,
    relay: &mut Relay<Stdout, Stderr>,
    signals: &Signals,
) -> Followed {
    let mut is_interrupted = false;
    loop {
        select! {
            recv(sent.receiver()) -> event => {
                let event = event.unwrap_or(SendEvent::End(Err(RequestError::Lost)));
                if let Err(e) = relay.print(&event) {
                    return Followed::UntilOutputFailed(e);
                }
                if let SendEvent::End(end) = event {
                    return Followed::ToTheEnd(ended(client, relay, &end.err(), is_interrupted));
                }
            }
            recv(signals) -> _ => {
                if is_interrupted {
                    return Followed::UntilTwoSignals;
                }
                is_interrupted = true;
                relay.say("cancelling; interrupt again to leave at once");
                sent.cancel();
            }
        }
    }
}

fn ended(
    client: &Client,
    relay: &mut Relay<Stdout, Stderr>,
    error: &Option<RequestError>,
    is_interrupted: bool,
) -> Exit {
    let mut exit = relay.exit();
    if let Some(error) = error {
        let hint = match error.code() {
            Some(Code::NoTarget) => " (--wait-for N waits until N are there)",
            _ => "",
        };
        relay.say(&format!("{}{hint}", render::refusal(error, client)));
        exit = exit.max(Exit::of_error(error));
    }
    match is_interrupted {
        true => Exit::Interrupted,
        false => exit,
    }
}

/// Waits until so many clients that rank below have slots.
fn wait_for_executors(client: &Client, wanted: u32, signals: &Signals) -> Result<(), Failure> {
    let mut pauses = BackOff::new(Duration::from_millis(20), Duration::from_secs(1));
    let mut is_noticed = false;
    loop {
        let ranking = client.all_members()?;
        let own = ranking.members.iter().find(|m| m.member == client.member());
        let own = own.map_or_else(|| client.rank(), |m| m.rank);
        let executors = ranking
            .members
            .iter()
            .filter(|m| m.slots > 0 && m.rank > own);
        let there = executors.count();
        if there >= wanted as usize {
            return Ok(());
        }
        if !is_noticed {
            eprintln!("waiting for clients below that execute: {there} of {wanted} are there");
            is_noticed = true;
        }
        pauses.wait(signals)?;
    }
}
