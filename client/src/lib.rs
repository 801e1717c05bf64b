//! The client of Pecking Order as a library: joins a server, commands the clients that rank below,
//! and executes for the clients that rank above.
//!
//! ```
//! use client::{ExecutionResult, Client, Command, Config, Job};
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
//! // The first client ranks highest.
//! let boss = Client::connect(&config, client::Simulation)?;
//! // Any closure executes.
//! let worker = Client::connect(&config, |job: &Job| {
//!     ExecutionResult::exited(0, format!("{} did {}\n", job.origin().name, job.words().join(" ")))
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
//! The feature `cli`, on by default, has what the program `pecking` is made of, and the load
//! generator behind its `bench`. A program that embeds the library does without it:
//! `default-features = false`.
//!
//! A [`Client`] has one thread that reads, and dials again if it is to reconnect. Up to as many
//! threads as it has slots execute, once there is something to do. A thread that sends writes by
//! itself. Dropping the client leaves the server and ends them.

mod client;
mod config;
mod connection;
mod detached;
mod error;
mod events;
mod execute;
mod line_piece;
#[cfg(feature = "cli")]
pub mod load;
pub mod policy;
mod process;
mod send;
#[cfg(test)]
#[path = "../../tests/support/skipped.rs"]
mod skipped;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod watch;

pub use crate::client::Client;
pub use crate::config::{CONNECT_TIMEOUT, Config, PlainTo};
pub use crate::connection::backoff::Backoff;
pub use crate::detached::JobHandle;
pub use crate::error::{ConnectError, RequestError};
pub use crate::events::{ClientEvent, Disconnect};
pub use crate::execute::executor::{Executor, SharedExecutor, Simulation};
pub use crate::execute::job::input::JobInput;
pub use crate::execute::job::{Job, Origin, StopReason};
pub use crate::execute::result::{Execution, ExecutionResult};
pub use crate::execute::workers::WORKER_THREAD;
pub use crate::process::{Processes, watchdog};
pub use crate::send::command::Command;
pub use crate::send::input::Input;
pub use crate::send::outcome::{Outcome, Output};
pub use crate::send::send_handle::{SendEvent, SendHandle};
pub use crate::tls::{Authorities, ClientCertificate, ClientTls, TlsError};
pub use crate::token::Token;
pub use crate::watch::Watch;
pub use common::audit;
pub use common::net::tls::pin::{NoPin, Pin};
pub use common::token::{NoToken, Secret, TokenError};
pub use common::wire::message::{Code, Id, RpcError};
pub use common::wire::name::Name;
pub use common::wire::watch::{
    Departed, MemberChanges, Sample, ServerFacts, Watched, WatchedCommand, WatchedMember,
    WatchedSender,
};
pub use common::wire::{
    ByeReason, Detached, Identity, JobId, JobSummary, Joined, Kind, Leftovers, Member, Members,
    OutputStream, Reach, Resumed, Right, Selected, SelectedTarget, Status, Tags, Tally, Tier,
};
