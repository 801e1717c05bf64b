//! `pecking run --wait-for`: waits until there is something to run on.

use crate::dial::{self, Signals};
use crate::failure::Failure;
use crate::run::executors::Executors;
use client::{Backoff, Client};
use common::terminal::console::Console;
use std::time::Duration;

/// Waits until so many clients that rank below have slots, and says so unless it is to be quiet.
pub(super) fn wait_for_executors(
    client: &Client,
    wanted: u32,
    is_quiet: bool,
    signals: &Signals,
    console: &Console,
) -> Result<(), Failure> {
    let mut backoff = Backoff::polling(Duration::from_secs(1));
    let mut is_noticed = is_quiet;
    loop {
        let executors = Executors::of(client)?;
        let there = executors.below;
        if there >= wanted as usize {
            return Ok(());
        }
        if !is_noticed {
            let what = "waiting for clients below that execute";
            console.say(&format!("{what}: {there} of {wanted} are there"));
            if let Some(above) = executors.those_above() {
                console.say(&above);
            }
            is_noticed = true;
        }
        dial::wait(backoff.next_pause(), signals)?;
    }
}
