//! From a sender's words to an argv or a refusal. The argv is made of the entry's own words and of
//! words that its patterns match. There is no shell on the way: a word is one argument.

use super::command::{Command, Settings};
use super::pattern::Pattern;
use super::senders::Sender;
use super::{Policy, display};
use common::wire::text::clip;
use std::fmt;

/// Names that one refusal lists.
const LISTED_NAMES: usize = 16;

/// Patterns that one refusal lists.
const LISTED_PATTERNS: usize = 8;

/// Characters of a pattern that one refusal shows.
const SHOWN_PATTERN: usize = 200;

/// What to start for a command, and within which bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The policy's name for it; what its slots are counted by.
    pub command: String,
    /// The program, by its absolute path, and its arguments; never empty.
    pub argv: Vec<String>,
    /// How it starts, and its bounds.
    pub settings: Settings,
}

/// Why nothing is started. The texts are short enough for a message and safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy has no such command.
    #[error("{word} is no command of this client's policy; it has {accepted}")]
    Unknown {
        /// The sender's first word, quoted.
        word: String,
        /// The names of the commands that the sender may run, as a list.
        accepted: String,
    },
    /// The command is for other senders.
    #[error("{command} is not for this sender, by {reason}")]
    Sender {
        /// The command's name.
        command: String,
        /// The part of the rule that is not satisfied, and what the sender is.
        reason: String,
    },
    /// There are more or fewer words than the command takes.
    #[error("{command} takes {accepted}; it got {got}")]
    Number {
        /// The command's name.
        command: String,
        /// How many words it takes, and what each must match.
        accepted: String,
        /// How many there were after the name.
        got: usize,
    },
    /// A word is not what the command takes in its place.
    #[error("{command}: its word {number}, {word}, does not match {pattern}")]
    Mismatch {
        /// The command's name.
        command: String,
        /// Which word, counted from 1 after the name.
        number: usize,
        /// The word, quoted.
        word: String,
        /// What it must match.
        pattern: String,
    },
    /// It is sent with input, and its entry does not take any.
    #[error("{command} takes no input; its entry in the policy would have to say stdin = true")]
    NoInput {
        /// The command's name.
        command: String,
    },
    /// Its entry takes input, and it is sent without: an empty one could be taken for a real one.
    #[error(
        "{command} takes its input from the sender, and was sent without (pecking run --stdin)"
    )]
    NeedsInput {
        /// The command's name.
        command: String,
    },
    /// The policy allows it, but no system could start it: to be answered as a failure.
    #[error("{command}: its word {number} has a NUL character, which no argument can have")]
    Unstartable {
        /// The command's name.
        command: String,
        /// Which word, counted from 1 after the name.
        number: usize,
    },
}

impl Plan {
    /// Whether a command may be sent with input, or without.
    ///
    /// # Errors
    /// What its entry says about that.
    pub fn check_input(&self, has_input: bool) -> Result<(), Refusal> {
        let command = || self.command.clone();
        match (self.settings.stdin, has_input) {
            (false, true) => Err(Refusal::NoInput { command: command() }),
            (true, false) => Err(Refusal::NeedsInput { command: command() }),
            _ => Ok(()),
        }
    }
}

impl Policy {
    /// What to start for these words of a sender's.
    ///
    /// # Errors
    /// Why nothing, and what would be accepted. Of the senders that would be, it says nothing.
    pub fn plan(&self, sender: &Sender<'_>, words: &[String]) -> Result<Plan, Refusal> {
        let (name, words) = match words {
            [name, words @ ..] => (name.as_str(), words),
            [] => ("", words),
        };
        let (name, command) =
            self.commands
                .get_key_value(name)
                .ok_or_else(|| Refusal::Unknown {
                    word: quoted(name),
                    accepted: self.names(sender),
                })?;
        command.admits(sender).map_err(|reason| Refusal::Sender {
            command: name.clone(),
            reason,
        })?;
        command.check(name, words)?;
        Ok(Plan {
            command: name.clone(),
            argv: [&command.run, words].concat(),
            settings: command.settings.clone(),
        })
    }

    /// The names of the commands that a sender may run, as part of a sentence.
    fn names(&self, sender: &Sender<'_>) -> String {
        let for_sender = self.commands.iter();
        let for_sender = for_sender.filter(|(_, command)| command.admits(sender).is_ok());
        let mut names: Vec<_> = for_sender.map(|(name, _)| name.as_str()).collect();
        let more = names.len().saturating_sub(LISTED_NAMES);
        names.truncate(LISTED_NAMES);
        let list = names.join(", ");
        match (names.len(), more) {
            (0, _) => "none for this sender".into(),
            (_, 0) => list,
            (_, more) => format!("{list} and {more} more"),
        }
    }
}

impl Command {
    /// Whether a sender may run it; the error is why not.
    fn admits(&self, sender: &Sender<'_>) -> Result<(), String> {
        self.from.as_ref().map_or(Ok(()), |from| from.check(sender))
    }

    /// Whether these are words that may follow the command's own.
    fn check(&self, name: &str, words: &[String]) -> Result<(), Refusal> {
        let command = || name.to_owned();
        let is_right = match self.rest {
            Some(_) => words.len() >= self.args.len(),
            None => words.len() == self.args.len(),
        };
        if !is_right {
            return Err(Refusal::Number {
                command: command(),
                accepted: self.accepted(),
                got: words.len(),
            });
        }
        // As many patterns as words: the number is right, and `rest` goes on for ever.
        let patterns = self.args.iter().chain(self.rest.iter().cycle());
        for ((word, pattern), number) in words.iter().zip(patterns).zip(1..) {
            if !pattern.matches(word) {
                return Err(Refusal::Mismatch {
                    command: command(),
                    number,
                    word: quoted(word),
                    pattern: shown_pattern(pattern),
                });
            }
        }
        match words.iter().position(|word| word.contains('\0')) {
            None => Ok(()),
            Some(at) => Err(Refusal::Unstartable {
                command: command(),
                number: at + 1,
            }),
        }
    }

    /// How many words it takes and what they must match, as part of a sentence.
    fn accepted(&self) -> String {
        let mut patterns: Vec<_> = self.args.iter().map(shown_pattern).collect();
        if patterns.len() > LISTED_PATTERNS {
            patterns.truncate(LISTED_PATTERNS);
            patterns.push("…".into());
        }
        if let Some(rest) = &self.rest {
            patterns.push(format!("any number of {}", shown_pattern(rest)));
        }
        let number = match (self.args.len(), &self.rest) {
            (0, _) => return "no further words".into(),
            (1, None) => "1 word more".into(),
            (n, None) => format!("{n} words more"),
            (1, Some(_)) => "1 word or more".into(),
            (n, Some(_)) => format!("{n} words or more"),
        };
        format!("{number}: {}", patterns.join(", then "))
    }
}

/// The start of a peer's word, in quotes, safe for a terminal.
fn quoted(word: &str) -> String {
    display::line(&format!("{:?}", clip(word)))
}

fn shown_pattern(pattern: &Pattern) -> String {
    let text = pattern.as_str();
    match text.char_indices().nth(SHOWN_PATTERN) {
        None => display::line(text),
        Some((at, _)) => display::line(&format!("{}…", &text[..at])),
    }
}

/// What would be started: the argv, as one would type it into a shell.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self
            .argv
            .iter()
            .map(|word| display::shell_word(word))
            .collect();
        f.write_str(&words.join(" "))
    }
}
