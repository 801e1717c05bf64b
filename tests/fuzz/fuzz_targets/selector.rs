//! Fuzzes [`entry::selector`]; `tests/fuzz.sh` runs it.
#![no_main]
#![allow(unsafe_code, reason = "the macro names its function for libFuzzer")]

#[path = "../entry.rs"]
#[allow(dead_code, reason = "each target has one entry")]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::selector(data));
