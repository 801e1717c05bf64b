//! Tests of the wire that are longer than what they test.

mod fast;
mod message;
mod selector;
mod selector_forms;
