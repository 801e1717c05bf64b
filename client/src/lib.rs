//! The client of Pecking Order as a library: join a server, command those who rank below,
//! execute for those who rank above.
//!
//! ```
//! use client::{Answer, Client, Command, Config, Job};
//! # let server = server::Server::bind(server::Config {
//! #     listen: "127.0.0.1:0".into(),
//! #     ..Default::default()
//! # })?;
//! # let running = server.spawn()?;
//!
//! let config = Config {
//!     server: running.address().to_string(),
//!     ..Config::default()
//! };
//! // Who comes first ranks highest.
//! let boss = Client::connect(&config, client::Simulation)?;
//! // Any closure executes.
//! let worker = Client::connect(&config, |job: &Job| {
//!     Answer::exited(0, format!("{} did {}\n", job.origin().name, job.words().join(" ")))
//! })?;
//! assert!(boss.rank() < worker.rank());
//!
//! let sent = boss.send(Command::new(["print", "it"]).to("next"))?;
//! let outcomes = sent.wait()?;
//! assert!(outcomes[0].succeeded());
//! assert_eq!(outcomes[0].member, Some(worker.member()));
//! assert_eq!(outcomes[0].stdout, b"client-1 did print it\n");
//! # drop((boss, worker));
//! # running.stop()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Client`] has one thread that reads, and dials again where it is to come back; up to as
//! many threads as it has slots execute, once there is something to do. Whoever sends writes
//! by himself. Dropping the client leaves the server and joins them all.

mod answer;
mod client;
mod config;
mod error;
mod events;
mod executor;
mod handshake;
mod job;
mod life;
mod link;
pub mod load;
mod outcome;
mod pauses;
pub mod policy;
mod process;
mod reader;
mod sent;
#[cfg(test)]
#[path = "../../tests/support/skipped.rs"]
mod skipped;
#[cfg(test)]
mod tests;
mod token;
mod workers;

pub use crate::client::Client;
pub use crate::config::{CONNECT_TIMEOUT, Config, ConnectError};
pub use crate::error::RequestError;
pub use crate::events::{ClientEvent, Disconnect};
pub use crate::executor::{Answer, Ended, Executor, SharedExecutor, Simulation};
pub use crate::job::{Job, Origin, Stop};
pub use crate::outcome::{Outcome, Output};
pub use crate::pauses::Pauses;
pub use crate::process::{Processes, watchdog};
pub use crate::sent::{Command, SendEvent, Sent};
pub use crate::token::Token;
pub use crate::workers::WORKER_THREAD;
pub use common::message::{Code, Id, RpcError};
pub use common::name::Name;
pub use common::protocol::{
    ByeReason, Joined, Leftovers, Member, Members, OutputStream, Status, Tally,
};
pub use common::token::{NoToken, Secret, TokenError};
