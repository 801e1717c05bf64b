//! What is wrong with the text of a TOML file, before it is known which file the text is from: one
//! sentence, and the byte that it is about.

use crate::sys::position::Position;

/// Names that `serde` has for types, each with what the owner of a file would write.
pub type Expected = [(&'static str, &'static str)];

/// A fault of a text.
#[derive(Debug)]
pub struct Fault {
    at: Option<usize>,
    message: String,
}

impl Fault {
    /// A fault at a byte of the text.
    pub fn at(byte: usize, message: impl Into<String>) -> Fault {
        Fault {
            at: Some(byte),
            message: message.into(),
        }
    }

    /// A fault of the text as a whole.
    pub fn of_all(message: impl Into<String>) -> Fault {
        Fault {
            at: None,
            message: message.into(),
        }
    }

    /// What the TOML library found, with its names for types in the words of an owner.
    pub fn of_toml(error: &toml::de::Error, expected: &Expected) -> Fault {
        let message = error.message();
        let in_toml = expected.iter().find_map(|(name, in_toml)| {
            let found = message.strip_suffix(name)?.strip_suffix("expected ")?;
            Some(format!("{found}expected {in_toml}"))
        });
        Fault {
            at: error.span().map(|span| span.start),
            message: in_toml.unwrap_or_else(|| message.to_owned()),
        }
    }

    /// The same, with the table or entry that it is in.
    #[must_use]
    pub fn within(mut self, table: &str) -> Fault {
        self.message = format!("{table}: {}", self.message);
        self
    }

    /// The same, at a byte of the text if it has no place of its own.
    #[must_use]
    pub fn or_at(mut self, byte: usize) -> Fault {
        self.at.get_or_insert(byte);
        self
    }

    /// Its place in the text, if it is one place, and the sentence, which may repeat the text.
    pub fn located(self, text: &[u8]) -> (Option<Position>, String) {
        (self.at.map(|byte| Position::of(text, byte)), self.message)
    }
}
