//! Both programs as their users meet them: command lines, what they print, exit codes, and
//! the prompt at a terminal.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod bad_input;
mod bench;
mod bench_compare;
mod bench_terminal;
mod certificates;
mod client;
mod client_held;
mod config;
mod demo;
mod documents;
mod jobs;
mod log_format;
mod piped;
mod prompt;
mod prompt_keys;
mod prompt_loss;
mod prompt_safety;
mod run;
mod run_again;
mod run_exit_codes;
mod run_json;
mod run_output;
mod run_rolling;
mod run_stdin;
mod run_terminal;
mod run_waiting;
mod server;
mod server_log;
mod service;
mod state;
mod targets;
mod tls;
mod top;
mod transcripts;
mod work;
