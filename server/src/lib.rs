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

#![forbid(unsafe_code)]

mod config;
mod connection;
mod dispatch;
mod drain;
mod hub;
mod join;
mod member;
mod ranking;
mod relief;
mod server;
mod session;
#[cfg(any(test, feature = "bench"))]
mod testing;
mod throttled_log;
mod timers;
mod tls;
mod transcript;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use testing::bench as bench_support;

pub use config::{Config, HEARTBEAT_RANGE, MAX_LINE_RANGE, MAX_MEMORY_RANGE, MOST_CLIENTS};
pub use join::token::Token;
pub use server::{Ended, Handle, Running, Server, ServerError};
pub use tls::{ClientCertificates, ServerTls};
pub use transcript::Transcript;
