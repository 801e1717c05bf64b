//! The options of `pecking top`.

use crate::output::args::colours;
use clap::{Args, ColorChoice};

/// How `top` looks.
#[derive(Debug, Args)]
pub(crate) struct TopOptions {
    /// Colours: unless NO_COLOR is set, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

impl TopOptions {
    /// Whether there are colours.
    pub(crate) fn has_colours(&self) -> bool {
        colours(self.color).unwrap_or(true)
    }
}
