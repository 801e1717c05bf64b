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
mod bytes;
mod cancel;
mod carrier;
mod document;
mod drain;
mod exodus;
mod forged;
mod hostile;
mod input;
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
mod scope;
mod select;
mod selector_bounds;
mod selectors;
mod send;
mod state;
mod tiers;
mod time;
mod tls;
mod watch;
mod watch_away;
