//! The server of Pecking Order: ranks clients by tier, and within a tier in the order in which they
//! dial in, and relays their commands to lower-ranked clients.
//!
//! ```
//! use server::{Config, Server};
//!
//! let config = Config { listen: "127.0.0.1:0".into(), max_clients: 10, ..Config::default() };
//! let running = Server::bind(config)?.spawn()?;
//! println!("clients dial {}", running.address());
//! // `stop` tells every client, lets running commands end, and joins every thread.
//! assert_eq!(running.stop()?, server::Shutdown::Drained);
//! # Ok::<(), server::ServerError>(())
//! ```

#![forbid(unsafe_code)]
// The explorer of schedules has no sockets, so nothing there encrypts.
#![cfg_attr(shuttle, allow(dead_code, unused_variables))]

/// A place at which a test can make the server panic for one client; nothing in other builds.
macro_rules! fault_point {
    ($place:ident, $member:expr) => {
        #[cfg(test)]
        crate::testing::trip(crate::testing::Trip::$place, &$member);
    };
    ($timer:ident of $hub:expr) => {
        #[cfg(test)]
        crate::testing::trip_due($hub, $timer);
    };
}

pub mod authority;
mod clock;
mod config;
mod connection;
mod dispatch;
mod drain;
mod eviction;
mod expected;
mod giving_up;
#[cfg(not(shuttle))]
mod http;
mod hub;
mod jobs;
mod join;
mod member;
mod memory_budget;
mod memory_shortage;
#[cfg(not(shuttle))]
pub mod pki;
mod ranking;
mod record;
#[cfg(not(shuttle))]
mod reloading;
mod server;
mod session;
#[cfg(not(shuttle))]
mod state;
mod telemetry;
#[cfg(any(test, feature = "bench"))]
mod testing;
mod throttled_log;
mod timers;
#[cfg(not(shuttle))]
mod tls;
mod transcript;
#[cfg(not(shuttle))]
mod unreadable_file;
pub mod version;
mod watch;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use testing::bench as bench_support;

pub use clock::wall_clock;
pub use common::audit;
pub use config::{
    ClientCertificates, Config, HEARTBEAT_RANGE, HttpConfig, MAX_LINE_RANGE, MAX_MEMORY_RANGE,
    MOST_CLIENTS, ServerTls,
};
pub use expected::{ExpectedError, ExpectedMachines};
pub use join::token::Token;
#[cfg(not(shuttle))]
pub use reloading::KNOWN_WITHIN;
pub use server::{Handle, Running, Server, ServerError, Shutdown};
#[cfg(not(shuttle))]
pub use state::{NoState, StateError, check as check_state};
pub use transcript::Transcript;

/// A duration in whole milliseconds, as far as they can be counted.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
