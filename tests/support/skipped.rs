//! Skipping, so that it is seen.

use std::io::Write;

/// Says which test cannot run on this machine, or not all of it, and why: on the real standard
/// error, since what `println!` and `eprintln!` print is only shown of tests that fail. A test's
/// thread has its name.
pub(crate) fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}\n", thread.name().unwrap_or("a test"));
    // In one write, as other tests print at the same time. If that fails, the test is skipped all the same.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
