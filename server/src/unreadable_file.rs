//! Whether it is news that a file cannot be read which is looked at again and again.

use std::fmt::Display;

/// What was wrong with a file that could not be read the last time, so that it is told once.
#[derive(Default)]
pub(crate) struct Unread(Option<String>);

impl Unread {
    /// Whether a result is to be told: not if the file still cannot be read, for this reason, as that
    /// is tried at each look.
    pub(crate) fn is_news(&mut self, unread: Option<&impl Display>) -> bool {
        let unread = unread.map(ToString::to_string);
        let is_told = unread.is_some() && unread == self.0;
        self.0 = unread;
        !is_told
    }
}
