//! How one output differs from another.

use crate::output::colour;
use crate::output::screen::Screen;
use anstyle::AnsiColor;
use client::OutputStream;
use similar::TextDiff;
use std::io;
use std::time::Duration;

/// How long finding the smallest difference may take; after that a larger one does.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lines around each difference, as `diff -u` has them.
const CONTEXT: usize = 3;

/// A unified diff from one output to another, each with what stands at its head.
pub(crate) fn unified(from: (&str, &[u8]), to: (&str, &[u8])) -> Vec<u8> {
    let mut config = TextDiff::configure();
    let diff = config.timeout(PATIENCE).diff_lines(from.1, to.1);
    let mut unified = diff.unified_diff();
    let mut text = Vec::new();
    let written = unified
        .context_radius(CONTEXT)
        .header(from.0, to.0)
        .to_writer(&mut text);
    written.expect("memory takes what is written");
    text
}

/// Writes a diff of outputs of other clients.
pub(crate) fn write(diff: &[u8], stream: OutputStream, screen: &mut Screen) -> io::Result<()> {
    let is_coloured = screen.looks()[usize::from(stream == OutputStream::Stderr)].is_coloured;
    for line in diff.split_inclusive(|byte| *byte == b'\n') {
        let colour = match line.first() {
            Some(b'-') => Some(AnsiColor::Red),
            Some(b'+') => Some(AnsiColor::Green),
            Some(b'@') => Some(AnsiColor::Cyan),
            _ => None,
        };
        let colour = colour.filter(|_| is_coloured);
        let (on, off) = colour.map_or_else(Default::default, colour::codes);
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        screen.write_own(stream, on.as_bytes())?;
        screen.write(stream, text)?;
        screen.write_own(stream, off.as_bytes())?;
        screen.write_own(stream, &line[text.len()..])?;
    }
    Ok(())
}
