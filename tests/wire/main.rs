//! The wire, by the letter of its document: what the server answers to clients of bare
//! lines, which share no code with the project.

#[path = "../fuzz/made.rs"]
mod made;
#[path = "../support/mod.rs"]
mod support;

mod audit;
mod audit_denied;
mod audit_faults;
mod authority;
mod awaiting;
mod bytes;
mod cancel;
mod carrier;
mod document;
mod drain;
mod exodus;
mod expected;
mod forged;
mod hostile;
mod ids;
mod input;
mod job_bounds;
mod jobs;
mod join;
mod life;
mod line;
mod methods;
mod outcome;
mod output;
mod ranks;
mod refused;
mod reload;
mod resume;
mod resume_claims;
mod scope;
mod select;
mod selector_bounds;
mod selectors;
mod send;
mod state;
mod state_file;
mod tiers;
mod time;
mod tls;
mod watch;
mod watch_away;
