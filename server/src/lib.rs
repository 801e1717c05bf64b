//! The server of Pecking Order: ranks clients in the order in which they dial in, and relays
//! their commands to those who rank lower.
//!
//! ```
//! use server::{Config, Server};
//!
//! let config = Config { listen: "127.0.0.1:0".into(), max_clients: 10, ..Config::default() };
//! let running = Server::bind(config)?.spawn()?;
//! println!("clients dial {}", running.address());
//! // `stop` tells everybody, lets running commands end, and joins every thread.
//! assert_eq!(running.stop()?, server::Ended::Drained);
//! # Ok::<(), server::ServerError>(())
//! ```

mod admission;
mod answer;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_support;
mod budget;
mod clock;
mod command;
mod config;
mod connection;
mod dispatcher;
mod door;
mod drain;
mod flushes;
mod hub;
mod keeper;
mod lines;
mod loads;
mod member;
#[cfg(test)]
mod panic_tests;
mod refusals;
mod relief;
mod roster;
#[cfg(all(test, shuttle))]
mod schedules;
mod select;
mod server;
mod session;
mod strangers;
#[cfg(any(test, feature = "bench"))]
mod testing;
mod throttle;
mod throttled_log;
mod token;
mod transcript;
mod workload;

pub use config::{Config, HEARTBEAT_RANGE, MAX_LINE_RANGE, MAX_MEMORY_RANGE, MOST_CLIENTS};
pub use server::{Ended, Handle, Running, Server, ServerError};
pub use token::Token;
pub use transcript::Transcript;
