//! What was shown of the commands that were sent, to be shown again.
//!
//! It is kept as it was shown, escaped and with its margin. All of it has a bound, so that a session of
//! weeks takes no more memory: the oldest goes first.

use std::collections::{BTreeMap, VecDeque};

/// Bytes that are kept of one command: half of what may wait for a terminal.
const MOST_OF_ONE: usize = 512 << 10;

/// Bytes that are kept in all: eight commands with much output, or thousands with little.
const MOST: usize = 4 << 20;

/// What was shown, by the IDs of the commands.
#[derive(Debug)]
pub(super) struct Kept {
    most_of_one: usize,
    most: usize,
    bytes: usize,
    commands: BTreeMap<u64, Shown>,
}

#[derive(Debug)]
struct Shown {
    typed: String,
    pieces: VecDeque<String>,
    bytes: usize,
    left_out: usize,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            most_of_one: MOST_OF_ONE,
            most: MOST,
            bytes: 0,
            commands: BTreeMap::new(),
        }
    }
}

impl Kept {
    /// Begins to keep what comes of a command.
    pub(super) fn begin(&mut self, id: u64, typed: &str) {
        let shown = Shown {
            typed: typed.to_owned(),
            pieces: VecDeque::new(),
            bytes: typed.len(),
            left_out: 0,
        };
        self.bytes += shown.bytes;
        self.commands.insert(id, shown);
        self.forget();
    }

    /// Keeps what was shown of a command.
    pub(super) fn add(&mut self, id: u64, text: &str) {
        let Some(shown) = self.commands.get_mut(&id) else {
            return;
        };
        let before = shown.bytes;
        shown.bytes += text.len();
        shown.pieces.push_back(text.to_owned());
        while shown.bytes > self.most_of_one
            && let Some(oldest) = shown.pieces.pop_front()
        {
            shown.bytes -= oldest.len();
            shown.left_out += oldest.len();
        }
        self.bytes = self.bytes - before + shown.bytes;
        self.forget();
    }

    /// What was shown of a command; `None` if nothing is kept of it.
    pub(super) fn again(&self, id: u64) -> Option<String> {
        let shown = self.commands.get(&id)?;
        let left_out = match shown.left_out {
            0 => String::new(),
            bytes => format!("(the first {bytes} bytes are no longer kept)\n"),
        };
        let text: String = shown.pieces.iter().map(String::as_str).collect();
        Some(match (left_out + &text, shown.left_out) {
            (text, 0) if text.is_empty() => "(nothing has come so far)\n".into(),
            (text, _) => text,
        })
    }

    /// The IDs with their commands, in the order in which these were sent.
    pub(super) fn list(&self) -> impl DoubleEndedIterator<Item = (u64, &str)> {
        self.commands
            .iter()
            .map(|(id, shown)| (*id, shown.typed.as_str()))
    }

    fn forget(&mut self) {
        while self.bytes > self.most
            && let Some((_, shown)) = self.commands.pop_first()
        {
            self.bytes -= shown.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound_for_one_and_for_all() {
        let mut kept = Kept {
            most_of_one: 8,
            most: 20,
            ..Kept::default()
        };
        kept.begin(1, "a");
        assert_eq!(
            kept.again(1).as_deref(),
            Some("(nothing has come so far)\n")
        );
        for piece in ["11\n", "22\n", "33\n"] {
            kept.add(1, piece);
        }
        let again = "(the first 3 bytes are no longer kept)\n22\n33\n";
        assert_eq!(kept.again(1).as_deref(), Some(again));
        for id in 2..4 {
            kept.begin(id, "b");
            kept.add(id, "444\n55\n");
        }
        assert_eq!(kept.again(1), None);
        assert_eq!(kept.list().collect::<Vec<_>>(), [(2, "b"), (3, "b")]);
        assert_eq!(kept.bytes, 16);
        kept.add(1, "late\n");
        kept.add(3, "longer than all\n");
        let none = "(the first 23 bytes are no longer kept)\n";
        assert_eq!(kept.again(3).as_deref(), Some(none));
    }
}
