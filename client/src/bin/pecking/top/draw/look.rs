//! How `top` looks: its colours, or what every terminal has in their place.

use crate::top::command::Progress;
use ratatui::style::{Color, Modifier, Style};

/// How things look: without colours, by what every terminal has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) has_colours: bool,
}

impl Look {
    /// Text in this colour, if there are colours.
    pub(super) fn coloured(self, colour: Color) -> Style {
        match self.has_colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    /// What goes well, or has ended so.
    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// What is at work.
    pub(super) fn busy(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// What has failed, or is missing.
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A command, by how it goes.
    pub(super) fn of_command(self, progress: &Progress) -> Style {
        match (progress.is_open, progress.failed()) {
            (_, 1..) => self.bad(),
            (true, _) => self.busy(),
            (false, _) => self.good(),
        }
    }

    /// What is beside the point.
    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The head of a pane; the keys are for the one that is active.
    pub(super) fn head(self, is_active: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        match is_active {
            true => style.add_modifier(Modifier::REVERSED),
            false => style.add_modifier(Modifier::UNDERLINED),
        }
    }
}
