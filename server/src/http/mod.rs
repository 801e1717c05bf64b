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

mod api;
mod connections;
mod drive;
mod encrypt;
mod events;
mod guard;
mod metrics;
mod page;
mod response;
mod routes;
mod running;

pub(crate) use running::Bound;
