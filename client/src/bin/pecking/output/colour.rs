//! Colours of targets: each name has the same one at every run, as far as there are enough.

use anstyle::AnsiColor;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Colours that can be read on a dark and on a light background; red is for what failed.
const COLOURS: [AnsiColor; 10] = [
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::Cyan,
    AnsiColor::BrightGreen,
    AnsiColor::BrightYellow,
    AnsiColor::BrightBlue,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightCyan,
];

/// The colour of a name.
pub(crate) fn of(name: &str) -> AnsiColor {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    COLOURS[(hasher.finish() % COLOURS.len() as u64) as usize]
}

/// What switches a colour on, and off again.
pub(crate) fn codes(colour: AnsiColor) -> (String, String) {
    let style = colour.on_default();
    (style.render().to_string(), style.render_reset().to_string())
}
