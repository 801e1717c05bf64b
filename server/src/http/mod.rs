//! What a server shows to browsers and to monitoring, over HTTP: a page (`/`), the API that the page
//! uses (`/api/v1/…`), metrics (`/metrics`), and whether it lives and is ready. Nothing can be
//! commanded here: it answers `GET`, and reads no body.
//!
//! HTTP is `hyper`'s, without a runtime: each connection has a thread, which drives hyper's state
//! machine over the connection's non-blocking calls and waits in `poll(2)` between them ([`drive`]).
//! So an address that this server listens at is served by the same sockets and the same TLS as its
//! clients, and all of its bounds are here: connections ([`connections`]), what is read of a request
//! and what waits for a reader ([`drive`]). Other blocking libraries (`oxhttp`, `tiny_http`,
//! `rouille`) own their sockets: they have no TLS of ours, no end, no deadline for a request and no
//! room for a stream that does not read.
//!
//! It reads what the server keeps ([`crate::telemetry`], the ranking), and no thread that serves
//! clients ever waits for it.

#[cfg(not(shuttle))]
mod api;
#[cfg(not(shuttle))]
mod connections;
#[cfg(not(shuttle))]
mod drive;
#[cfg(not(shuttle))]
mod encrypt;
#[cfg(not(shuttle))]
mod events;
#[cfg(not(shuttle))]
mod guard;
#[cfg(not(shuttle))]
mod metrics;
#[cfg(not(shuttle))]
mod page;
#[cfg(not(shuttle))]
mod routes;
#[cfg(not(shuttle))]
mod running;

#[cfg(not(shuttle))]
pub(crate) use running::{Bound, Running};

use crate::join::token::Token;

/// Where and to which clients a server shows itself over HTTP. With the server's own certificate if
/// it encrypts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen, `HOST:PORT`; port 0 takes any free one.
    pub listen: String,
    /// Names by which browsers may reach it, besides `localhost`, addresses, the host in `listen`
    /// and the names of the server's certificate.
    pub hosts: Vec<String>,
    /// A token that shows everything. Tokens with which clients join count as well. If the server
    /// has none at all, it asks for none.
    pub token: Option<Token>,
}
