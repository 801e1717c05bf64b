//! What the server goes on doing when clients, the system or its surroundings fail it.

#[path = "../support/mod.rs"]
mod support;

mod backpressure;
mod clock;
mod console;
mod guesses;
mod handshakes;
mod leaks;
mod pause;
mod ranks;
mod reload;
mod shortage;
