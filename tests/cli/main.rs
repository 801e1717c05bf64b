//! Both programs as their users meet them: command lines, what they print, exit codes, and
//! the prompt at a terminal.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod bench;
mod client;
mod documents;
mod prompt;
mod run;
mod server;
mod tls;
mod transcripts;
mod work;
