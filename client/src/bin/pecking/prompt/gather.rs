//! `:gather on`: what several targets wrote alike is shown once, under their names, when all have ended.

use crate::output::gathering::AllGathered;
use crate::output::render::Style;
use client::OutputStream;

/// Bytes that are gathered of one command: 16 KiB of each of 1,000 targets, more than a user reads.
pub(super) const MOST: usize = 16 << 20;

/// What is shown of all that was gathered. `command` stands in front of each header, if the command is
/// to be named.
pub(super) fn shown(gathered: &AllGathered, command: &str, style: Style) -> Vec<String> {
    let mut shown = Vec::new();
    for (stream, groups) in &gathered.streams {
        let of_stderr = match stream {
            OutputStream::Stdout => "",
            OutputStream::Stderr => ", standard error",
        };
        for group in groups {
            let header = format!("{command}{} ({}){of_stderr}:", group.folded, group.count);
            shown.push(style.line(&header));
            shown.push(style.output_of_others(&group.output));
        }
    }
    let endings = gathered.endings.iter();
    shown.extend(endings.map(|ending| style.line(&format!("{command}{ending}"))));
    shown
}
