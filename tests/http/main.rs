//! What a server shows over HTTP, to clients that share no code with it: the API by its document,
//! metrics by another project's reader, what is refused, what a visitor may cost, and the page in a
//! browser.

#[path = "../fuzz/made.rs"]
#[allow(dead_code, reason = "the seeds of requests are these tests' own")]
mod made;
#[path = "../support/mod.rs"]
mod support;
mod visitor;

mod api;
mod bounds;
mod browser;
mod document;
mod guard;
mod metrics;
mod page;
mod stream;
